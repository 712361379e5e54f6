"""Uses of the public API, as in programs. Not run: mypy and pyright, both strict, must accept every line."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import assert_type

import aiohttp

from twilio_oauth_async import (
    DEVICE_CODE_GRANT,
    AccessDeniedError,
    ApiError,
    Approved,
    AuthorizationCodeFlow,
    Certs,
    Clock,
    CodeIssued,
    ConfigurationError,
    DeviceAuthorization,
    DeviceCode,
    DeviceCodeExpiredError,
    DeviceFlow,
    DeviceFlowError,
    DeviceFlowEvent,
    DeviceFlowPool,
    DeviceFlowRunner,
    IdTokenVerifier,
    MemoryTokenStore,
    OAuthSession,
    OpenidDiscovery,
    Pending,
    ProtocolError,
    RateLimitedError,
    RetryPolicy,
    SignIn,
    SignInNotFound,
    SlowedDown,
    SystemClock,
    Token,
    TokenManager,
    TooManySignIns,
    TransportError,
    TwilioOAuthError,
    Unreachable,
    UserInfo,
    VirtualClock,
)
from twilio_oauth_async.emulator import Emulator

SID = "OQ00000000000000000000000000000000"


async def run_in_a_script() -> Token:
    async with OAuthSession.from_env(region="ie1", timeout=10) as session:
        assert_type(session, OAuthSession)
        flow = DeviceFlow(session, client_sid=SID, scopes=["openid"], prompt=lambda a: print(a.instructions()))
        return assert_type(await flow.run(), Token)


async def call_every_endpoint(http: aiohttp.ClientSession, clock: Clock) -> None:
    session = OAuthSession(
        "AC0", "secret", base_url="https://oauth.twilio.com", http=http, retry=RetryPolicy(attempts=2), clock=clock
    )
    await session.open()
    discovery = assert_type(await session.fetch_openid_discovery(), OpenidDiscovery)
    assert_type(discovery.scopes_supported, tuple[str, ...] | None)
    certs = assert_type(await session.fetch_certs(), Certs)
    for key in certs.keys or ():
        assert_type(key["kid"], object)
    code = assert_type(await session.create_device_code(client_sid=SID, scopes=("a", "b"), audiences=["c"]), DeviceCode)
    assert_type(code.interval, float | None)
    token = assert_type(
        await session.create_token(grant_type=DEVICE_CODE_GRANT, client_sid=SID, device_code=code.device_code), Token
    )
    assert_type(token.access_token_expires_at, datetime | None)
    assert_type(token.expires_within(60, datetime.now(UTC)), bool)
    assert_type(Token.from_json(token.to_json()), Token)
    user = assert_type(await session.fetch_user_info(access_token=token.access_token), UserInfo)
    assert_type(user.email, str | None)
    await session.close()


async def poll_in_a_bot(flow: DeviceFlow, stored: str | bytes) -> str:
    """Stores the flow as text between two polls."""
    authorization = assert_type(DeviceAuthorization.from_json(stored), DeviceAuthorization)
    step = assert_type(await flow.poll(authorization), Pending | SlowedDown | Unreachable | Approved)
    if isinstance(step, Approved):
        return step.token.to_json()
    return assert_type(step, Pending | SlowedDown | Unreachable).authorization.to_json()


async def show_progress(flow: DeviceFlow) -> None:
    events = assert_type(flow.events(), AsyncGenerator[DeviceFlowEvent, None])
    async for event in events:
        match event:
            case CodeIssued(authorization):
                print(authorization.instructions(app_name="Bar"))
            case Unreachable(error=error):
                assert_type(error, TwilioOAuthError)
            case Approved(token):
                assert_type(token, Token)
            case _:
                assert_type(event, Pending | SlowedDown)


def create_prompts(session: OAuthSession) -> None:
    async def send(authorization: DeviceAuthorization) -> None:
        print(authorization.user_code)

    def show(authorization: DeviceAuthorization) -> None:
        print(authorization.verification_uri_complete or authorization.verification_uri)

    for prompt in (send, show):
        DeviceFlow(session, client_sid=SID, scopes=("openid",), prompt=prompt)


async def verify_who_signed_in(session: OAuthSession) -> Token:
    verifier = IdTokenVerifier(session, client_sid=SID)
    flow = DeviceFlow(session, client_sid=SID, scopes=["openid"], verifier=verifier)
    assert_type(flow.verifier, IdTokenVerifier | None)
    AuthorizationCodeFlow(session, client_sid=SID, scopes=["openid"], verifier=verifier)
    return assert_type(await flow.refresh(await flow.wait(await flow.start())), Token)


async def start_and_wait(flow: DeviceFlow) -> Token | None:
    authorization = await flow.start()
    assert_type(authorization.expires_at, datetime)
    try:
        return await flow.wait(authorization)
    except RateLimitedError as error:
        assert_type(error.retry_after, float | None)
    except (AccessDeniedError, DeviceCodeExpiredError) as error:
        # They are both a DeviceFlowError and an ApiError.
        flow_error: DeviceFlowError = error
        api_error: ApiError = error
        print(flow_error, api_error.status)
    except TransportError as error:
        assert_type(error.attempts, int)
    except ProtocolError as error:
        assert_type(error.request_id, str | None)
    except ConfigurationError as error:
        value_error: ValueError = error
        print(value_error)
    return None


async def sign_many_users_in(flow: DeviceFlow, user: str) -> None:
    async def notify(sign_in: SignIn) -> None:
        print(sign_in.context["chat"], sign_in.state, sign_in.to_dict())

    async with DeviceFlowPool(flow, tokens=MemoryTokenStore(), max_flows=10, on_end=notify) as pool:
        runner: DeviceFlowRunner = pool
        try:
            sign_in = assert_type(await runner.submit(user, context={"chat": "7"}), SignIn)
        except TooManySignIns as error:
            assert_type(error.retry_after, float)
            return
        async for event in pool.events(sign_in.id):
            assert_type(event, SignIn)
        async for event in pool.all_events():
            assert_type(event.problem, str | None)
        assert_type(await runner.find(sign_in.id), SignIn | None)
        assert_type(await runner.find_user(user), SignIn | None)
        try:
            await runner.result(sign_in.id)
        except SignInNotFound as error:
            lookup_error: LookupError = error
            print(lookup_error)
        await runner.cancel(sign_in.id)
        assert_type(runner.manager(user), TokenManager)


async def use_the_emulator() -> None:
    clocks: tuple[Clock, ...] = (SystemClock(), VirtualClock())
    async with Emulator(clock=clocks[1]) as emulator:
        assert_type(emulator.base_url, str)
        session = OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url)
        DeviceFlow(
            session, client_sid=emulator.client_sid, scopes=["openid"], prompt=lambda a: emulator.approve(a.user_code)
        )
