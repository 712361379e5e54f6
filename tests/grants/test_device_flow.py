import asyncio
import logging

import pytest

from tests.helpers.event_loop import settle
from tests.helpers.raw_server import hang_up, http, silence
from tests.helpers.scripted_server import CODE_BODY, PENDING, SLOW_DOWN, TOKEN, scripted_device_flow
from twilio_oauth_async import (
    AccessDeniedError,
    AnswerLostError,
    ApiError,
    ConfigurationError,
    DeviceCodeExpiredError,
    DeviceFlow,
    InvalidClientError,
    OAuthSession,
)


@pytest.mark.parametrize(
    "arguments",
    [
        {"client_sid": ""},
        {"scopes": []},
        {"scopes": "openid"},
        {"scopes": ["a b"]},
        {"audiences": ["a b"]},
        {"client_secret": ""},
        {"device_id": "a\n"},
        {"grant_type": ""},
        {"prompt": "a text"},
    ],
)
def test_bad_use_is_told_before_any_request(arguments):
    with pytest.raises(ConfigurationError):
        DeviceFlow(OAuthSession(), **{"client_sid": "OQ1", "scopes": ["openid"], **arguments})


def test_a_flow_shows_no_secret():
    flow = DeviceFlow(OAuthSession(), client_sid="OQ1", scopes=["openid"], client_secret="s3cr3t")
    assert repr(flow) == "DeviceFlow(client_sid='OQ1', scopes=('openid',))"


@pytest.mark.asyncio
async def test_run_needs_a_prompt_and_asks_nobody_without_one():
    async with scripted_device_flow(TOKEN, prompt=None) as setup:
        with pytest.raises(ConfigurationError, match="prompt"):
            await setup.flow.run()
        assert setup.server.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_run_shows_the_code_and_waits_for_the_token(kind):
    seen = []

    async def prompt(authorization):
        await asyncio.sleep(0)
        seen.append(authorization)

    async with scripted_device_flow(
        PENDING, PENDING, TOKEN, prompt=prompt if kind == "coroutine function" else seen.append
    ) as setup:
        assert (await setup.flow.run()).access_token == "acc-canary"
        assert setup.times == pytest.approx([5.05, 10.1, 15.15])
    [authorization] = seen
    assert authorization.user_code == "ABCD"
    assert authorization.verification_uri == setup.server.base_url + "/activate"


@pytest.mark.asyncio
async def test_what_a_poll_sends():
    async with scripted_device_flow(TOKEN, client_secret="s", device_id="tv") as setup:
        await setup.flow.run()
        poll = setup.server.requests[1]
    assert poll.target == "/v1/token"
    assert poll.body == (
        b"GrantType=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&ClientSid=OQ1"
        b"&ClientSecret=s&DeviceCode=dev-canary&DeviceId=tv"
    )


@pytest.mark.asyncio
async def test_another_grant_type_can_be_given():
    async with scripted_device_flow(TOKEN, grant_type="device_code") as setup:
        await setup.flow.run()
        assert setup.server.requests[1].body.startswith(b"GrantType=device_code&")


@pytest.mark.asyncio
async def test_slow_down_counts_for_all_later_polls():
    async with scripted_device_flow(PENDING, SLOW_DOWN, PENDING, PENDING, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05, 10.1, 10.1, 10.1])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault",
    [
        hang_up,
        http(502, b"<html>", "text/html"),
        http(500, b""),
        http(200, b"<html>", "text/html"),
        http(429, b"", None),
    ],
)
async def test_no_single_fault_kills_a_flow(fault):
    async with scripted_device_flow(PENDING, fault, fault, PENDING, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05, 10.1, 20.2, 5.05])


@pytest.mark.asyncio
async def test_a_silent_server_is_polled_ever_less_often_up_to_a_cap():
    async with scripted_device_flow(*[silence] * 4, TOKEN, code={**CODE_BODY, "expires_in": 3600}) as setup:
        setup.session.timeout = 0.02
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 20.2, 40.4, 60.6])


@pytest.mark.asyncio
async def test_retry_after_of_a_poll():
    async with scripted_device_flow(
        http(503, b"", None, Retry_After="30"), http(429, b"", None, Retry_After="1"), TOKEN
    ) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 30.3, 5.05])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(400, {"error": "access_denied"}), AccessDeniedError),
        (http(400, {"error": "expired_token"}), DeviceCodeExpiredError),
        (http(401, {"error": "invalid_client"}), InvalidClientError),
        (http(400, {"error": "foo"}), ApiError),
        (http(403, {"code": 1}), ApiError),
    ],
)
async def test_a_refusal_ends_it(answer, kind):
    async with scripted_device_flow(PENDING, answer, TOKEN) as setup:
        with pytest.raises(kind) as caught:
            await setup.flow.run()
        assert len(setup.times) == 2
    assert caught.value.status in {400, 401, 403}
    assert caught.value.__context__ is None


@pytest.mark.asyncio
async def test_no_request_after_expiry():
    async with scripted_device_flow(PENDING, code={**CODE_BODY, "expires_in": 12}) as setup:
        with pytest.raises(DeviceCodeExpiredError) as caught:
            await setup.flow.run()
        assert caught.value.status is None
        assert setup.times == pytest.approx([5.05, 10.1])
        # Nobody waits for a poll that cannot come any more.
        assert setup.clock.monotonic() == pytest.approx(10.1)


@pytest.mark.asyncio
@pytest.mark.parametrize("expires_in", [0, -5])
async def test_a_code_that_is_born_dead_is_never_polled(expires_in):
    async with scripted_device_flow(TOKEN, code={**CODE_BODY, "expires_in": expires_in}) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.times == []


@pytest.mark.asyncio
async def test_a_slow_down_storm_ends_at_expiry():
    async with scripted_device_flow(SLOW_DOWN) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.gaps == sorted(setup.gaps)
        assert len(setup.gaps) == 10
        assert setup.clock.monotonic() < 300


@pytest.mark.asyncio
async def test_a_code_used_up_by_a_lost_answer_says_so():
    async with scripted_device_flow(hang_up, http(400, {"error": "invalid_grant"})) as setup:
        with pytest.raises(AnswerLostError, match="whose response was lost"):
            await setup.flow.run()


@pytest.mark.asyncio
async def test_an_attempt_never_outlives_its_flow():
    async with scripted_device_flow(silence, code={**CODE_BODY, "interval": 1, "expires_in": 1.1}) as setup:
        # 0.05 s are left at the first poll, of a session that would wait for 30.
        with pytest.raises(DeviceCodeExpiredError):
            await asyncio.wait_for(setup.flow.run(), 5)
        assert len(setup.times) == 1


@pytest.mark.asyncio
async def test_odd_numbers_of_the_server_are_logged_and_survived(caplog):
    async with scripted_device_flow(PENDING, TOKEN, code={**CODE_BODY, "interval": 0, "expires_in": None}) as setup:
        with caplog.at_level(logging.WARNING):
            await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05])
    assert len(caplog.records) == 2


@pytest.mark.asyncio
async def test_the_wall_clock_may_jump():
    async with scripted_device_flow(PENDING, PENDING, TOKEN) as setup:
        authorization = await setup.flow.start()
        waiting = asyncio.create_task(setup.flow.wait(authorization))
        while not setup.times:
            await asyncio.sleep(0)
        setup.clock.shift_wall(7 * 86_400)
        while len(setup.times) < 2:
            await asyncio.sleep(0)
        setup.clock.shift_wall(-30 * 86_400)
        await waiting
        assert setup.gaps == pytest.approx([5.05, 5.05, 5.05])


@pytest.mark.asyncio
async def test_a_suspended_machine_polls_once_on_waking():
    async with scripted_device_flow(PENDING, PENDING, TOKEN) as setup:
        setup.clock.auto = False
        waiting = asyncio.create_task(setup.flow.run())
        await settle()
        setup.clock.advance(120)
        await settle()
        assert setup.times == [120]
        setup.clock.advance(5.05)
        await settle()
        assert setup.times == [120, 125.05]
        setup.clock.advance(3600)
        with pytest.raises(DeviceCodeExpiredError):
            await waiting
        assert len(setup.times) == 2


@pytest.mark.asyncio
async def test_one_flow_object_serves_many_at_once():
    async with scripted_device_flow(*[PENDING] * 20, TOKEN) as setup:
        state = await setup.flow.start()
        tokens = await asyncio.gather(*(setup.flow.wait(state) for _ in range(20)))
        assert {token.access_token for token in tokens} == {"acc-canary"}
        assert max(setup.times) == pytest.approx(10.1)


@pytest.mark.asyncio
@pytest.mark.parametrize("moment", ["prompt", "between polls", "during a poll"])
async def test_cancelling_is_prompt_and_clean(moment):
    reached = asyncio.Event()

    async def stuck(authorization):
        reached.set()
        await asyncio.Event().wait()

    prompt = stuck if moment == "prompt" else (lambda authorization: reached.set())
    async with scripted_device_flow(silence if moment == "during a poll" else PENDING, prompt=prompt) as setup:
        setup.clock.auto = moment == "during a poll"
        running = asyncio.create_task(setup.flow.run())
        await reached.wait()
        if moment == "during a poll":
            while not setup.times:
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert "sleepers=0" in repr(setup.clock)


@pytest.mark.asyncio
async def test_a_session_closed_in_the_middle_ends_the_flow():
    async with scripted_device_flow(PENDING) as setup:
        setup.clock.auto = False
        waiting = asyncio.create_task(setup.flow.run())
        await settle()
        await setup.session.close()
        setup.clock.advance(6)
        with pytest.raises(ConfigurationError, match="not open"):
            await waiting


@pytest.mark.asyncio
async def test_what_is_logged(caplog):
    async with scripted_device_flow(PENDING, http(500, b""), TOKEN) as setup:
        with caplog.at_level(logging.DEBUG):
            await setup.flow.run()
    ours = [record for record in caplog.records if record.name == "twilio_oauth_async.grants.device_flow"]
    assert [(record.levelname, record.getMessage().split(": ")[-1]) for record in ours] == [
        ("INFO", "polling every 5.0 s until 2026-01-01T00:05:00+00:00"),
        ("DEBUG", "Pending"),
        ("DEBUG", "Unreachable"),
        ("INFO", "Approved"),
    ]
    assert "canary" not in caplog.text
