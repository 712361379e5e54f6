"""The part of web_aiohttp.py and web_fastapi.py that does not depend on the web framework. The page is in web_assets/.

Needs twilio-oauth-async[file,emulator] and segno.
"""

import argparse
import hashlib
import hmac
import logging
import re
import secrets
import socket
import tempfile
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import jinja2
import segno
from _service import Service, service

from twilio_oauth_async import (
    AuthorizationCodeFlow,
    DeviceFlow,
    DeviceFlowPool,
    LoginRequired,
    PendingAuthorization,
    SignIn,
    TokenManagers,
    TwilioOAuthError,
    UserInfo,
)
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

ASSETS = Path(__file__).parent / "web_assets"
PAGE = jinja2.Environment(loader=jinja2.FileSystemLoader(ASSETS), autoescape=True).get_template("page.html")
SCOPES = ["openid", "profile"]
MAX_REDIRECTED = 1_000  # browsers that were sent to Twilio by the second button and have not returned
COOKIE_AGE = 30 * 24 * 3600  # seconds
OUT_OF_DATE = "This page is out of date. Nothing was changed."
NOT_STARTED = "This browser has not started a sign-in, or has already completed it."
FAILED = "Twilio did not respond as expected. Please try again in a moment."

log = logging.getLogger("web")


@dataclass(frozen=True)
class Visitor:
    """A browser, identified only by the secret in its cookie. A `SignIn.id` or stored data alone gives no access."""

    secret: str
    sign_in: str = ""  # SignIn.id; useless without the secret

    @classmethod
    def new(cls) -> Self:
        return cls(secrets.token_urlsafe(32))

    @classmethod
    def from_cookie(cls, cookie: str | None) -> Self | None:
        return cls(*cookie.split(".")) if cookie and re.fullmatch(r"[\w-]{43}\.[\w-]{0,64}", cookie, re.ASCII) else None

    @property
    def cookie(self) -> str:
        return f"{self.secret}.{self.sign_in}"

    @property
    def key(self) -> str:
        """The key of the token in the store: a hash, so that the store and the log do not reveal the cookie."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def csrf(self) -> str:
        """The CSRF token in each form, which pages of other sites cannot know."""
        return hmac.digest(self.secret.encode(), b"csrf", "sha256").hex()

    def has_csrf(self, csrf: object) -> bool:
        """Return whether `csrf` is the CSRF token of this visitor."""
        return isinstance(csrf, str) and hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Backend:
    """Signs visitors in (with a code or in the browser) and out."""

    def __init__(self, twilio: Service, folder: Path, url: str) -> None:
        self.session = session = twilio.session
        sid, secret = twilio.client_sid, twilio.client_secret
        tokens = FileTokenStore(folder / "tokens.db", clock=session.clock)
        flow = DeviceFlow(session, client_sid=sid, client_secret=secret, scopes=SCOPES)
        flows = FileFlowStore(folder / "flows.db", clock=session.clock)
        self.pool = DeviceFlowPool(flow, tokens=tokens, flows=flows)
        self.managers = TokenManagers(flow, store=tokens)
        self.code_flow = AuthorizationCodeFlow(
            session, client_sid=sid, client_secret=secret, scopes=SCOPES, redirect_uri=f"{url}/callback"
        )
        # Keyed by visitor and `state`, and removed at the callback: valid once, and for that browser only.
        self.redirected: OrderedDict[tuple[str, str], PendingAuthorization] = OrderedDict()
        self.running = AsyncExitStack()
        self.is_https = url.startswith("https:")
        # The __Host- prefix prevents subdomains from setting this cookie; it needs https.
        self.cookie_name = "__Host-visitor" if self.is_https else "visitor"
        self.headers = {
            # Browsers apply form-action also to redirects after a form was sent.
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

    async def stop(self) -> None:
        """Release the pending sign-ins, so that the next process can resume them. This also ends the event streams."""
        await self.running.aclose()
        await self.managers.close()

    async def user(self, visitor: Visitor) -> UserInfo | None:
        """Return the signed-in user; None if no user is signed in, empty `UserInfo` if Twilio is not available."""
        try:
            return await self.managers.get(visitor.key).user_info()
        except LoginRequired:
            return None
        except TwilioOAuthError as error:
            log.warning("user info could not be fetched: %s", error)
            return UserInfo()

    async def sign_in(self, visitor: Visitor) -> SignIn | None:
        """Return the sign-in of this visitor; None if there is none or it belongs to another visitor."""
        sign_in = await self.pool.find(visitor.sign_in) if visitor.sign_in else None
        return sign_in if sign_in is not None and sign_in.user == visitor.key else None

    async def connect(self, visitor: Visitor) -> Visitor:
        """Start a sign-in with a code, as a new visitor, so that a cookie set by an attacker gets no access."""
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
        """Start a sign-in in the browser and return the URL to which the browser must go."""
        pending = await self.code_flow.start()
        self.redirected[visitor.key, pending.state] = pending
        if len(self.redirected) > MAX_REDIRECTED:
            self.redirected.popitem(last=False)
        return pending.url

    async def callback(self, visitor: Visitor | None, state: str, path_and_query: str) -> Visitor | None:
        """Complete a sign-in in the browser, as a new visitor; None if it is not pending in this browser."""
        pending = self.redirected.pop((visitor.key, state), None) if visitor else None
        if pending is None:
            return None
        token = await self.code_flow.finish(pending, path_and_query)
        visitor = Visitor.new()
        await self.managers.get(visitor.key).adopt(token)
        return visitor

    async def sign_out(self, visitor: Visitor) -> Visitor:
        await self.managers.get(visitor.key).logout()
        return Visitor.new()

    async def page(self, visitor: Visitor, *, is_known: bool) -> str:
        """Return the page for this visitor."""
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
    """Parse the command line: the folder for state, our public URL, and the listening socket."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=port, default=8080, help="port on 127.0.0.1; 0: a free port (default: 8080)")
    parser.add_argument(
        "--url", help="public URL, if a proxy forwards requests to this server: https://connect.example.com"
    )
    parser.add_argument("--state", type=Path, help="folder for sign-ins and tokens (default: a temporary one)")
    options = parser.parse_args()
    if options.url and not re.fullmatch(r"https://[\w.-]+(:\d+)?|http://(127\.0\.0\.1|localhost)(:\d+)?", options.url):
        parser.error("--url must be https://HOST[:PORT] without a path, or http:// with 127.0.0.1 or localhost")
    try:
        listener = socket.create_server(("127.0.0.1", options.port))
    except OSError as error:
        parser.error(f"--port {options.port}: {error.strerror}")
    return options.state, options.url or f"http://127.0.0.1:{listener.getsockname()[1]}", listener


@asynccontextmanager
async def open_backend(state: Path | None, url: str) -> AsyncGenerator[Backend]:
    """Start a backend and stop it when the block ends."""
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(service())
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = Backend(twilio, folder, url)
        stack.push_async_callback(backend.stop)
        await backend.start()
        print(f"Users approve at {twilio.session.base_url}. Open {url}", flush=True)
        yield backend
