"""The fixtures in the tests of a project."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/testing.md"

pytest_plugins = ["pytester"]

EXAMPLE = """\
async def test_sign_in(twilio_oauth_emulator, twilio_oauth_session):
    e = twilio_oauth_emulator
    token = await DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"], prompt=lambda a: e.approve(a.user_code)).run()
"""  # noqa: E501 - the shortest possible test, kept on three lines
CHECKS = """\
    assert token.id_token
    assert (await twilio_oauth_session.fetch_user_info(access_token=token.access_token)).email == e.user.email
"""


@pytest.mark.parametrize("more", ["", CHECKS], ids=["unchanged", "with checks"])
def test_example_in_strict_mode(project, more):
    project.run("@pytest.mark.asyncio\n" + EXAMPLE + more).assert_outcomes(passed=1)


@pytest.mark.parametrize("more", ["", CHECKS], ids=["unchanged", "with checks"])
def test_example_in_auto_mode(auto_project, more):
    auto_project.run(EXAMPLE + more).assert_outcomes(passed=1)


def test_example_of_the_page(auto_project):
    [code] = re.findall(r"^```python\n(.*?async def test_.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[
        -1:
    ]
    auto_project.run(code.rpartition("```python\n")[2]).assert_outcomes(passed=1)


def test_denied_sign_in_fails_the_test(auto_project):
    result = auto_project.run(EXAMPLE.replace("e.approve", "e.deny"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*AccessDeniedError*"])


def test_sign_in_of_minutes_takes_no_real_time(auto_project):
    # The conftest of this suite fails a test that sleeps, in the nested run too.
    auto_project.run(
        """
async def test_expiry(twilio_oauth_emulator, twilio_oauth_session, twilio_oauth_clock):
    flow = DeviceFlow(
        twilio_oauth_session, client_sid=twilio_oauth_emulator.client_sid, scopes=["openid"], prompt=lambda a: None
    )
    with pytest.raises(DeviceCodeExpiredError):
        await flow.run()
    assert 290 < twilio_oauth_clock.monotonic() < 300
    assert len(twilio_oauth_emulator.requests.to("poll")) == 59
    assert not twilio_oauth_emulator.requests.polled_faster_than(5)
"""
    ).assert_outcomes(passed=1)


def test_each_test_has_its_own_emulator(auto_project):
    auto_project.run(
        """
@pytest.fixture
def twilio_oauth_report_unused_faults():
    return False

@pytest.mark.parametrize("turn", [1, 2])
async def test_state(turn, twilio_oauth_emulator, twilio_oauth_session, twilio_oauth_clock):
    e = twilio_oauth_emulator
    assert (len(e.requests), e.pending_device_codes, twilio_oauth_clock.monotonic()) == (0, 0, 0.0)
    e.faults.on("certs").respond(500)
    await twilio_oauth_session.create_device_code(client_sid=e.client_sid, scopes=["openid"])
    twilio_oauth_clock.advance(1)
    assert (len(e.requests), e.pending_device_codes) == (1, 1)

async def test_no_fault_is_left(twilio_oauth_emulator, twilio_oauth_session):
    assert (await twilio_oauth_session.fetch_certs()).keys
"""
    ).assert_outcomes(passed=3)


def test_emulator_and_session_share_the_clock(auto_project):
    auto_project.run(
        """
async def test_clock(twilio_oauth_emulator, twilio_oauth_session, twilio_oauth_clock):
    assert type(twilio_oauth_clock) is VirtualClock
    assert twilio_oauth_emulator.clock is twilio_oauth_session.clock is twilio_oauth_clock
"""
    ).assert_outcomes(passed=1)


def test_session_and_emulator_are_closed_after_the_test(auto_project):
    # Warnings are errors in the project: an open socket or session would cause one when it is collected.
    auto_project.run(
        """
import gc

async def test_uses_both(twilio_oauth_session, twilio_oauth_emulator):
    await twilio_oauth_session.fetch_certs()
    test_uses_both.port = int(twilio_oauth_emulator.base_url.rpartition(":")[2])

async def test_server_is_closed():
    import asyncio
    gc.collect()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", test_uses_both.port)
""",
        options=("-Werror",),
    ).assert_outcomes(passed=2)


def test_fixtures_used_by_another_fixture_of_a_synchronous_test(auto_project):
    auto_project.run(
        """
@pytest.fixture
async def token(twilio_oauth_emulator, twilio_oauth_session):
    e = twilio_oauth_emulator
    flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                      prompt=lambda a: e.approve(a.user_code))
    return await flow.run()

def test_token(token):
    assert token.id_token
"""
    ).assert_outcomes(passed=1)


def test_fixtures_are_listed_with_docstrings(auto_project):
    result = auto_project.run("", options=("--fixtures",))
    for name in ("emulator", "session", "clock", "emulator_options", "session_options"):
        result.stdout.re_match_lines([rf"twilio_oauth_{name} -- .*"])
    result.stdout.no_fnmatch_line("*no docstring available*twilio*")
