"""Overriding the fixtures: in a conftest, in a module, for one test."""

import socket

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_port_option_in_a_conftest(auto_project, free_port):
    auto_project.run(
        f"""
@pytest.mark.parametrize("turn", [1, 2, 3])
async def test_address(turn, twilio_oauth_emulator, twilio_oauth_session):
    assert twilio_oauth_emulator.base_url == twilio_oauth_session.base_url == "http://127.0.0.1:{free_port}"
    await twilio_oauth_session.fetch_certs()
""",
        conftest=f"""
import pytest

@pytest.fixture
def twilio_oauth_emulator_options():
    return {{"port": {free_port}}}
""",
    ).assert_outcomes(passed=3)


def test_emulator_options_for_one_test_and_for_a_class(auto_project):
    auto_project.run(
        """
@pytest.mark.parametrize("twilio_oauth_emulator_options", [{"errors": "twilio"}])
async def test_errors(twilio_oauth_emulator, twilio_oauth_session):
    with pytest.raises(InvalidClientError) as caught:
        await twilio_oauth_session.create_device_code(client_sid="OQ0", scopes=["openid"])
    assert caught.value.code == 322402

class TestDates:
    @pytest.fixture
    def twilio_oauth_emulator_options(self):
        return {"dates": "iso8601", "interval": 2, "client_sid": "OQ1", "public": True, "seed": 7}

    async def test_dates(self, twilio_oauth_emulator, twilio_oauth_session):
        e = twilio_oauth_emulator
        assert (e.client_sid, e.client_secret, e.policy.interval) == ("OQ1", None, 2)
        code = await twilio_oauth_session.create_device_code(client_sid="OQ1", scopes=["openid"])
        assert code.interval == 2

async def test_other_tests_have_the_defaults(twilio_oauth_emulator, twilio_oauth_session):
    with pytest.raises(InvalidClientError) as caught:
        await twilio_oauth_session.create_device_code(client_sid="OQ0", scopes=["openid"])
    assert caught.value.code is None
    assert twilio_oauth_emulator.policy.interval == 5
"""
    ).assert_outcomes(passed=3)


def test_overridden_clock_moves_only_by_advance(auto_project):
    auto_project.run(
        """
from datetime import UTC, datetime, timedelta

START = datetime(2030, 5, 6, tzinfo=UTC)

@pytest.fixture
def twilio_oauth_clock():
    return VirtualClock(START, auto=False)

async def test_time(twilio_oauth_emulator, twilio_oauth_session, twilio_oauth_clock):
    e = twilio_oauth_emulator
    flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"])
    authorization = await flow.start()
    assert authorization.expires_at == START + timedelta(seconds=299)
    twilio_oauth_clock.advance(6)
    assert type(await flow.poll(authorization)) is Pending
    assert e.requests[-1].received_on == START + timedelta(seconds=6)
"""
    ).assert_outcomes(passed=1)


def test_session_options(auto_project):
    auto_project.run(
        """
@pytest.fixture
def twilio_oauth_session_options():
    return {"retry": RetryPolicy.none(), "timeout": 3.0}

async def test_no_retry(twilio_oauth_emulator, twilio_oauth_session):
    assert twilio_oauth_session.timeout == 3.0
    twilio_oauth_emulator.faults.on("certs").respond(503)
    with pytest.raises(ServerError):
        await twilio_oauth_session.fetch_certs()
    assert len(twilio_oauth_emulator.requests) == 1
"""
    ).assert_outcomes(passed=1)


def test_session_has_the_issuer_of_the_emulator(auto_project):
    auto_project.run(
        """
@pytest.mark.parametrize("twilio_oauth_emulator_options", [{"issuer": "https://issuer.example"}])
async def test_issuer(twilio_oauth_emulator, twilio_oauth_session):
    assert twilio_oauth_session.issuer == "https://issuer.example"
    assert (await twilio_oauth_session.discovered_endpoint("revocation_endpoint")).endswith("/oauth2/revoke")
"""
    ).assert_outcomes(passed=1)


def test_event_loops_of_session_scope(project):
    scopes = [f"asyncio_default_{of}_loop_scope = session" for of in ("fixture", "test")]
    project.configure("asyncio_mode = auto", *scopes)
    project.run(
        """
@pytest.mark.parametrize("turn", [1, 2])
async def test_certs(turn, twilio_oauth_session, twilio_oauth_emulator):
    assert (await twilio_oauth_session.fetch_certs()).keys
    assert len(twilio_oauth_emulator.requests) == 1
"""
    ).assert_outcomes(passed=2)


def test_unknown_option_is_an_error(auto_project):
    result = auto_project.run(
        """
@pytest.mark.parametrize("twilio_oauth_emulator_options", [{"prot": 5000}])
async def test_it(twilio_oauth_emulator):
    pass
"""
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*TypeError*unexpected keyword argument 'prot'*"])


def test_clock_option_is_an_error_that_names_the_clock_fixture(auto_project):
    result = auto_project.run(
        """
@pytest.mark.parametrize("twilio_oauth_emulator_options", [{"clock": VirtualClock()}])
async def test_it(twilio_oauth_emulator):
    pass
"""
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*override the fixture twilio_oauth_clock*"])
