"""What web_aiohttp.py and web_fastapi.py have in common: all but the web framework. The page is in web_assets/.

Needs twilio-oauth-async[file,emulator] and segno.
"""

import argparse
import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import socket
import tempfile
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import jinja2
import segno
from _service import Service, service

from twilio_oauth_async import (
    ApiError,
    AuthorizationCodeFlow,
    ConfigurationError,
    DeviceFlow,
    DeviceFlowPool,
    LoginRequired,
    PendingAuthorization,
    SignIn,
    StoreError,
    TokenManagers,
    TwilioOAuthError,
    UserInfo,
)
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

ASSETS = Path(__file__).parent / "web_assets"
PAGE = jinja2.Environment(loader=jinja2.FileSystemLoader(ASSETS), autoescape=True).get_template("page.html")
SCOPES = ["openid", "profile"]
TAKE_UP = 10.0  # seconds between two looks for sign-ins that a killed process left behind
MAX_REDIRECTED = 1_000  # how many browsers may be at Twilio with the second button at once
COOKIE_AGE = 30 * 24 * 3600  # seconds
OUT_OF_DATE = "This page was out of date, and nothing was done."
NOT_BEGUN = "This browser has not begun a sign-in, or has already finished it."
FAILED = "Twilio did not answer as it should. Please try again in a moment."

log = logging.getLogger("web")


@dataclass(frozen=True)
class Visitor:
    """A browser: it holds a secret, in a cookie. Who knows no more than `SignIn.id`, or what is stored, is nobody."""

    secret: str
    sign_in: str = ""  # SignIn.id; worth something only beside the secret

    @classmethod
    def new(cls) -> Self:
        return cls(secrets.token_urlsafe(32))

    @classmethod
    def of(cls, cookie: str | None) -> Self | None:
        return cls(*cookie.split(".")) if cookie and re.fullmatch(r"[\w-]{43}\.[\w-]{0,64}", cookie, re.ASCII) else None

    @property
    def cookie(self) -> str:
        return f"{self.secret}.{self.sign_in}"

    @property
    def key(self) -> str:
        """Under which the token is stored. A hash: whoever reads the store or a log cannot make a cookie of it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def csrf(self) -> str:
        """What each form carries: pages of other sites cannot know it."""
        return hmac.digest(self.secret.encode(), b"csrf", "sha256").hex()

    def sent(self, csrf: object) -> bool:
        return isinstance(csrf, str) and hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Backend:
    """Two ways to sign in and one to sign out, for visitors."""

    def __init__(self, twilio: Service, folder: Path, url: str) -> None:
        self.session = session = twilio.session
        sid, secret = twilio.client_sid, twilio.client_secret
        tokens = FileTokenStore(folder / "tokens.json")
        flow = DeviceFlow(session, client_sid=sid, client_secret=secret, scopes=SCOPES)
        flows = FileFlowStore(folder / "flows.json", clock=session.clock)
        self.pool = DeviceFlowPool(flow, tokens=tokens, flows=flows)
        self.managers = TokenManagers(flow, store=tokens)
        self.code_flow = AuthorizationCodeFlow(
            session, client_sid=sid, client_secret=secret, scopes=SCOPES, redirect_uri=f"{url}/callback"
        )
        # By visitor and `state`, and taken out when the browser comes back: good once, and for that browser only.
        self.redirected: OrderedDict[tuple[str, str], PendingAuthorization] = OrderedDict()
        self.running = AsyncExitStack()
        self.is_https = url.startswith("https:")
        # The prefix keeps subdomains from planting a cookie of theirs; it needs https.
        self.cookie_name = "__Host-visitor" if self.is_https else "visitor"
        self.headers = {
            # Browsers apply form-action to where a form is redirected, too.
            "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
            f"img-src data:; form-action 'self' {session.base_url} https://*.twilio.com; base-uri 'none'; "
            "frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def start(self) -> None:
        await self.running.enter_async_context(self.pool)
        self.running.callback(asyncio.create_task(self.take_up()).cancel)

    async def stop(self) -> None:
        """Let go of the sign-ins under way, for the next process. It ends the event streams as well."""
        await self.running.aclose()
        await self.managers.close()

    async def take_up(self) -> None:
        """A killed process lets go of nothing. Its claims run out a minute later, when we have long been started."""
        while True:
            await self.session.clock.sleep(TAKE_UP)
            try:
                await self.pool.take_up()
            except StoreError as error:
                log.warning("pending sign-ins could not be looked for: %s", error)

    async def user(self, visitor: Visitor) -> UserInfo | None:
        """Who is signed in with this browser; an empty one where Twilio does not tell just now."""
        manager = self.managers.get(visitor.key)
        for _ in range(2):
            try:
                token = await manager.access_token()
            except LoginRequired:
                return None
            try:
                return await self.session.fetch_user_info(access_token=token)
            except TwilioOAuthError as error:
                log.warning("no user info: %s", error)
                if not isinstance(error, ApiError) or error.status != 401:
                    break
                manager.invalidate(token)  # taken back in the account's settings? Then nobody is signed in any more.
        return UserInfo()

    async def sign_in(self, visitor: Visitor) -> SignIn | None:
        """The visitor's own one, and nobody else's."""
        sign_in = await self.pool.find(visitor.sign_in) if visitor.sign_in else None
        return sign_in if sign_in is not None and sign_in.user == visitor.key else None

    async def connect(self, visitor: Visitor) -> Visitor:
        """Begin with a code. As a new visitor: a cookie that somebody planted in this browser is worth nothing then."""
        sign_in = await self.sign_in(visitor)
        if (sign_in is not None and not sign_in.is_over) or await self.user(visitor) is not None:
            return visitor
        visitor = Visitor.new()
        return replace(visitor, sign_in=(await self.pool.submit(visitor.key)).id)

    async def cancel(self, visitor: Visitor) -> None:
        sign_in = await self.sign_in(visitor)
        if sign_in is not None:
            await self.pool.cancel(sign_in.id)

    async def redirect(self, visitor: Visitor) -> str:
        """Begin in the browser, which must go to this URL."""
        pending = await self.code_flow.start()
        self.redirected[visitor.key, pending.state] = pending
        if len(self.redirected) > MAX_REDIRECTED:
            self.redirected.popitem(last=False)
        return pending.url

    async def came_back(self, visitor: Visitor | None, state: str, path_and_query: str) -> Visitor | None:
        """Signed in, as a new visitor again; None where this browser was not sent there, or has been here before."""
        pending = self.redirected.pop((visitor.key, state), None) if visitor else None
        if pending is None:
            return None
        token = await self.code_flow.finish(pending, path_and_query)
        visitor = Visitor.new()
        await self.managers.get(visitor.key).adopt(token)
        return visitor

    async def sign_out(self, visitor: Visitor) -> Visitor:
        with suppress(ConfigurationError):  # a server that cannot revoke; the token is forgotten all the same
            await self.managers.get(visitor.key).logout()
        return Visitor.new()

    async def page(self, visitor: Visitor, *, is_known: bool) -> str:
        """How things stand for this visitor."""
        user = await self.user(visitor) if is_known else None
        sign_in = await self.sign_in(visitor)
        qr = None
        if sign_in is not None:
            link = sign_in.verification_uri_complete or sign_in.verification_uri
            qr = segno.make(link, error="m").svg_data_uri(border=2, scale=4)
        return PAGE.render(csrf=visitor.csrf, user=user, sign_in=sign_in, qr=qr)


def problem_page(problem: str) -> str:
    return PAGE.render(problem=problem)


def port(text: str) -> int:
    if not 0 <= int(text) < 1 << 16:
        raise ValueError
    return int(text)


def arguments(description: str | None) -> tuple[Path | None, str, socket.socket]:
    """The command line: where state is kept, our address as browsers know it, and where we listen."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=port, default=8080, help="on this machine; 0: a free one (default: 8080)")
    parser.add_argument(
        "--url", help="as browsers know us, where a proxy stands before us: https://connect.example.com"
    )
    parser.add_argument("--state", type=Path, help="folder of sign-ins and tokens (default: forgotten at the end)")
    options = parser.parse_args()
    if options.url and not re.fullmatch(r"https://[\w.-]+(:\d+)?|http://(127\.0\.0\.1|localhost)(:\d+)?", options.url):
        parser.error("--url must be https://HOST[:PORT] without anything behind it, or http:// for this machine alone")
    try:
        listener = socket.create_server(("127.0.0.1", options.port))
    except OSError as error:
        parser.error(f"--port {options.port}: {error.strerror}")
    return options.state, options.url or f"http://127.0.0.1:{listener.getsockname()[1]}", listener


@asynccontextmanager
async def opened(state: Path | None, url: str) -> AsyncGenerator[Backend]:
    """A backend that is running."""
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(service())
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = Backend(twilio, folder, url)
        stack.push_async_callback(backend.stop)
        await backend.start()
        print(f"People approve at {twilio.session.base_url}. Open {url}", flush=True)
        yield backend
