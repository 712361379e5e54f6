import asyncio
import logging

import pytest

from tests.helpers.event_loop import settle
from tests.helpers.raw_server import hang_up, http, silence
from tests.helpers.scripted_server import CODE_BODY, EXPIRED, PENDING, SLOW_DOWN, TOKEN, scripted_device_flow
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
        {"prompt": "not callable"},
    ],
)
def test_device_flow_with_invalid_argument_raises(arguments):
    with pytest.raises(ConfigurationError):
        DeviceFlow(OAuthSession(), **{"client_sid": "OQ1", "scopes": ["openid"], **arguments})


def test_device_flow_repr_shows_no_secret():
    flow = DeviceFlow(OAuthSession(), client_sid="OQ1", scopes=["openid"], client_secret="secret-canary")
    assert repr(flow) == "DeviceFlow(client_sid='OQ1', scopes=('openid',))"


@pytest.mark.asyncio
async def test_run_without_prompt_raises_and_sends_nothing():
    async with scripted_device_flow(TOKEN, prompt=None) as setup:
        with pytest.raises(ConfigurationError, match="prompt"):
            await setup.flow.run()
        assert setup.server.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_run_shows_the_code_and_waits_for_the_token(kind):
    shown = []

    async def prompt(authorization):
        await asyncio.sleep(0)
        shown.append(authorization)

    async with scripted_device_flow(
        PENDING, PENDING, TOKEN, prompt=prompt if kind == "coroutine function" else shown.append
    ) as setup:
        assert (await setup.flow.run()).access_token == "acc-canary"
        assert setup.times == pytest.approx([5.05, 10.1, 15.15])
    [authorization] = shown
    assert authorization.user_code == "ABCD"
    assert authorization.verification_uri == setup.server.base_url + "/activate"


@pytest.mark.asyncio
async def test_poll_sends_grant_type_client_device_code_and_device_id():
    async with scripted_device_flow(TOKEN, client_secret="s", device_id="tv") as setup:
        await setup.flow.run()
        poll = setup.server.requests[1]
    assert poll.target == "/v1/token"
    assert poll.body == (
        b"GrantType=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&ClientSid=OQ1"
        b"&ClientSecret=s&DeviceCode=dev-canary&DeviceId=tv"
    )


@pytest.mark.asyncio
async def test_poll_sends_the_given_grant_type():
    async with scripted_device_flow(TOKEN, grant_type="device_code") as setup:
        await setup.flow.run()
        assert setup.server.requests[1].body.startswith(b"GrantType=device_code&")


@pytest.mark.asyncio
async def test_slow_down_lengthens_all_later_intervals():
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
async def test_run_continues_after_temporary_failures(fault):
    async with scripted_device_flow(PENDING, fault, fault, PENDING, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05, 10.1, 20.2, 5.05])


@pytest.mark.asyncio
async def test_silent_server_is_polled_at_growing_intervals_up_to_a_cap():
    async with scripted_device_flow(*[silence] * 4, TOKEN, code={**CODE_BODY, "expires_in": 3600}) as setup:
        setup.session.timeout = 0.02
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 20.2, 40.4, 60.6])


@pytest.mark.asyncio
async def test_retry_after_of_a_poll_delays_the_next_poll():
    async with scripted_device_flow(
        http(503, b"", None, Retry_After="30"), http(429, b"", None, Retry_After="1"), TOKEN
    ) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 30.3, 5.05])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (http(400, {"error": "access_denied"}), AccessDeniedError),
        (http(400, {"error": "expired_token"}), DeviceCodeExpiredError),
        (http(401, {"error": "invalid_client"}), InvalidClientError),
        (http(400, {"error": "foo"}), ApiError),
        (http(403, {"code": 1}), ApiError),
    ],
)
async def test_run_with_final_error_raises_and_stops_polling(response, kind):
    async with scripted_device_flow(PENDING, response, TOKEN) as setup:
        with pytest.raises(kind) as caught:
            await setup.flow.run()
        assert len(setup.times) == 2
    assert caught.value.status in {400, 401, 403}
    assert caught.value.__context__ is None


@pytest.mark.asyncio
async def test_run_sends_no_poll_after_expiry_and_raises_at_once():
    async with scripted_device_flow(PENDING, code={**CODE_BODY, "expires_in": 12}) as setup:
        with pytest.raises(DeviceCodeExpiredError) as caught:
            await setup.flow.run()
        assert caught.value.status is None
        assert setup.times == pytest.approx([5.05, 10.1])
        # The error is raised as soon as no further poll is possible, not at expiry.
        assert setup.clock.monotonic() == pytest.approx(10.1)


@pytest.mark.asyncio
@pytest.mark.parametrize("expires_in", [0, -5])
async def test_run_with_code_expired_on_receipt_sends_no_poll(expires_in):
    async with scripted_device_flow(TOKEN, code={**CODE_BODY, "expires_in": expires_in}) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.times == []


@pytest.mark.asyncio
async def test_run_with_endless_slow_down_ends_at_expiry():
    async with scripted_device_flow(SLOW_DOWN) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.gaps == sorted(setup.gaps)
        assert len(setup.gaps) == 10
        assert setup.clock.monotonic() < 300


@pytest.mark.asyncio
async def test_invalid_grant_after_lost_response_reports_the_loss():
    async with scripted_device_flow(hang_up, http(400, {"error": "invalid_grant"})) as setup:
        with pytest.raises(AnswerLostError, match="whose response was lost"):
            await setup.flow.run()


@pytest.mark.asyncio
async def test_invalid_interval_and_missing_lifetime_are_logged_and_replaced(caplog):
    async with scripted_device_flow(PENDING, TOKEN, code={**CODE_BODY, "interval": 0, "expires_in": None}) as setup:
        with caplog.at_level(logging.WARNING):
            await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05])
    assert len(caplog.records) == 2


@pytest.mark.asyncio
async def test_wait_is_not_affected_by_wall_clock_jumps():
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
async def test_run_on_suspended_machine_polls_once_after_resume():
    """The sleep before the poll stands still with the monotonic clock, and the code may expire meanwhile."""
    async with scripted_device_flow(PENDING, EXPIRED) as setup:
        setup.clock.auto = False
        waiting = asyncio.create_task(setup.flow.run())
        await settle()
        setup.clock.suspend(120)
        await settle()
        assert setup.times == []
        setup.clock.advance(5.05)
        await settle()
        assert setup.times == [5.05]
        setup.clock.suspend(3600)
        setup.clock.advance(5.05)
        with pytest.raises(DeviceCodeExpiredError):
            await waiting
        assert setup.times == [5.05, 10.1]


@pytest.mark.asyncio
async def test_run_after_blocked_event_loop_polls_once():
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
async def test_wait_concurrent_calls_on_one_flow_object_return_the_token():
    async with scripted_device_flow(*[PENDING] * 20, TOKEN) as setup:
        state = await setup.flow.start()
        tokens = await asyncio.gather(*(setup.flow.wait(state) for _ in range(20)))
        assert {token.access_token for token in tokens} == {"acc-canary"}
        assert max(setup.times) == pytest.approx(10.1)


@pytest.mark.asyncio
@pytest.mark.parametrize("moment", ["prompt", "between polls", "during a poll"])
async def test_run_cancelled_ends_at_once_and_leaves_no_sleeper(moment):
    prompted = asyncio.Event()

    async def never_return(authorization):
        prompted.set()
        await asyncio.Event().wait()

    prompt = never_return if moment == "prompt" else (lambda authorization: prompted.set())
    async with scripted_device_flow(silence if moment == "during a poll" else PENDING, prompt=prompt) as setup:
        setup.clock.auto = moment == "during a poll"
        running = asyncio.create_task(setup.flow.run())
        await prompted.wait()
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
async def test_run_with_session_closed_between_polls_raises():
    async with scripted_device_flow(PENDING) as setup:
        setup.clock.auto = False
        waiting = asyncio.create_task(setup.flow.run())
        await settle()
        await setup.session.close()
        setup.clock.advance(6)
        with pytest.raises(ConfigurationError, match="not open"):
            await waiting


@pytest.mark.asyncio
async def test_run_logs_start_polls_and_end_without_secrets(caplog):
    async with scripted_device_flow(PENDING, http(500, b""), TOKEN) as setup:
        with caplog.at_level(logging.DEBUG):
            await setup.flow.run()
    records = [record for record in caplog.records if record.name == "twilio_oauth_async.grants.device_flow"]
    assert [(record.levelname, record.getMessage().split(": ")[-1]) for record in records] == [
        ("INFO", "polling every 5.0 s until 2026-01-01T00:05:00+00:00"),
        ("DEBUG", "Pending"),
        ("DEBUG", "Unreachable"),
        ("INFO", "Approved"),
    ]
    assert "canary" not in caplog.text
