"""The checks of `twilio-oauth doctor`. Each goes as far as it can with what those before it have found."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import attrs

from twilio_oauth_async.cli.doctor_server import (
    ABSENT,
    WITHOUT_CREDENTIALS,
    Probe,
    describe_api,
    describe_dialect,
    describe_endpoints,
    send,
)
from twilio_oauth_async.cli.opening import device_flow_of, open_session, token_store
from twilio_oauth_async.cli.settings import DEFAULT_RANK, shown
from twilio_oauth_async.cli.stored_token import key_of
from twilio_oauth_async.errors import ApiError, ConfigurationError, TwilioOAuthError
from twilio_oauth_async.protocol.endpoints import choose_base_url
from twilio_oauth_async.protocol.sanitization import clean

if TYPE_CHECKING:
    from twilio_oauth_async.cli.invocation import Invocation
    from twilio_oauth_async.client.session import OAuthSession

State: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

TIMEOUT: Final = 5.0
"""Seconds for one check."""

SMALL_SKEW, LARGE_SKEW = 30.0, 300.0
"""Seconds between the clocks that are worth a warning, and that let ID tokens fail."""


def _clean(text: str) -> str:
    return clean(text, ())


@attrs.frozen
class Finding:
    """The result of one check. It has no secret."""

    name: str
    state: State
    text: str = attrs.field(converter=_clean)
    """A part may come from the server, and is not trusted."""
    cure: str = ""
    """What to do about it."""

    def as_json(self) -> dict[str, str]:
        """Return it for a bug report."""
        return attrs.asdict(self)


Report: TypeAlias = Callable[[Finding], None]


async def check_all(invocation: Invocation, report: Report) -> None:
    """Run all checks that create nothing, and report each."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("twilio-oauth-async", "aiohttp"))
    system = f"{platform.system()} {platform.machine()}"
    report(Finding("versions", "ok", f"{packages}, Python {platform.python_version()}, {system}"))
    _check_settings(invocation, report)
    try:
        url = choose_base_url(*invocation.settings.server())
    except ConfigurationError as error:
        report(Finding("server", "failed", str(error), "Correct base_url, region or edge where it is set."))
        return
    await _check_store(invocation, report)
    if await _check_network(url, report):
        async with open_session(invocation.settings) as session:
            # The credentials are not sent to a server that is another one.
            if await _check_api(session, report):
                await _check_server(session, report, has_credentials=invocation.settings.credentials() is not None)


def _check_settings(invocation: Invocation, report: Report) -> None:
    settings, config = invocation.settings, invocation.config
    if invocation.problem is None:
        state = "found" if config.path.exists() else "not found, which is no problem"
        report(Finding("configuration file", "ok", f"{config.path} ({state}), profile {settings.profile}"))
    else:
        cure = "Correct the file, or name another profile; the checks go on without it."
        report(Finding("configuration file", "failed", invocation.problem, cure))
    for name, setting in settings.values.items():
        if setting.rank < DEFAULT_RANK:
            report(Finding("setting", "ok", f"{name} {_shown(shown(name, setting))} from {setting.source}"))
    if not settings.get("client_id"):
        cure = "Set TWILIO_CLIENT_ID, or add client_id to the profile: the SID of your OAuth app."
        report(Finding("client id", "failed", "there is none", cure))
    if settings.credentials() is None and settings.flow != "client_credentials":
        cure = "Set TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN, or TWILIO_API_KEY with TWILIO_API_SECRET."
        report(Finding("credentials", "failed", "there are none, or one half of a pair is missing", cure))


async def _check_store(invocation: Invocation, report: Report) -> None:
    store = token_store(invocation.settings)
    try:
        stored = await store.load(key_of(invocation.settings)) if invocation.settings.get("client_id") else None
        await store.close()
    except TwilioOAuthError as error:
        report(Finding("store", "failed", str(error), "Make the file and its folder private, or name another store."))
        return
    text = "no token is stored for this profile"
    if stored is not None:
        text = f"a token is stored, which expires at {stored.token.access_token_expires_at or 'an unknown time'}"
    report(Finding("store", "ok", f"{store.path}: {text}"))


async def _check_network(url: str, report: Report) -> bool:
    """Return whether a server was reached."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    try:
        async with asyncio.timeout(TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        cure = "Check the name of the server (region, edge, base_url) and the DNS of this machine."
        report(Finding("name", "failed", f"{host} cannot be resolved: {_reason(error)}", cure))
        return False
    addresses = sorted({str(address[4][0]) for address in found})
    report(Finding("name", "ok", f"{host} is {', '.join(addresses[:4])}"))
    try:
        async with asyncio.timeout(TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError) as error:
        cure = "Check the firewall, and whether this machine needs a proxy."
        report(Finding("connection", "failed", f"{host} port {port}: {_reason(error)}", cure))
        return False
    report(Finding("connection", "ok", f"{host} port {port} accepts connections"))
    if parts.scheme != "https":
        report(Finding("TLS", "skipped", "this server has plain HTTP, which is allowed on loopback only"))
        return True
    return await _check_tls(host, port, report)


async def _check_tls(host: str, port: int, report: Report) -> bool:
    problem = ""
    try:
        async with asyncio.timeout(TIMEOUT):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
        certificate: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
        protocol = str(writer.get_extra_info("ssl_object").version())
        writer.close()
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message
    except (OSError, TimeoutError) as error:
        problem = _reason(error)
    else:
        issuer = ", ".join(value for part in certificate.get("issuer", ()) for _, value in part)
        report(Finding("TLS", "ok", f"{protocol}, certificate issued by {issuer}, until {certificate.get('notAfter')}"))
        return True
    issuer = await asyncio.to_thread(_issuer_of, host, port)
    cure = "If a proxy of your company issues the certificate, name its CA file in SSL_CERT_FILE."
    report(Finding("TLS", "failed", f"{problem}; the certificate was issued by {issuer}", cure))
    return False


def _issuer_of(host: str, port: int) -> str:
    """Return the issuer of a certificate that is not trusted. Nothing else is sent to the server."""
    from cryptography import x509

    try:
        pem = ssl.get_server_certificate((host, port), timeout=TIMEOUT)
        return x509.load_pem_x509_certificate(pem.encode()).issuer.rfc4514_string()
    except (OSError, ValueError):
        return "an unknown issuer"


async def _check_api(session: OAuthSession, report: Report) -> bool:
    """Return whether the server has the API, as far as it responds to requests without credentials."""
    names = (*WITHOUT_CREDENTIALS, ABSENT)
    found = {name: await send(session, name, TIMEOUT, with_account=False) for name in names}
    problem = describe_api(found)
    if problem:
        cure = "Check base_url, region and edge, and whether a proxy or a login page of this network responds."
        report(Finding("server", "failed", problem, cure))
    return not problem


async def _check_server(session: OAuthSession, report: Report, *, has_credentials: bool) -> None:
    probes = {name: await send(session, name, TIMEOUT) for name in ("discovery", "certs", "userinfo", "device code")}
    probes |= {name: await send(session, name, TIMEOUT) for name in ("token", "v2 metadata", "v2 token")}
    discovery = probes["discovery"]
    if discovery.status is None:
        report(Finding("server", "failed", discovery.problem, "Check base_url: this may be another server."))
        return
    _check_clock(discovery, session.clock.now(), report)
    if has_credentials:
        _check_credentials(discovery, report)
    state, text, cure = describe_endpoints(probes)
    report(Finding("endpoints", state, text, cure))
    report(Finding("errors", "ok", describe_dialect(probes)))
    await _check_documents(session, report)


def _check_clock(probe: Probe, now: datetime, report: Report) -> None:
    try:
        skew = (parsedate_to_datetime(probe.headers.get("Date", "")) - now).total_seconds()
    except (ValueError, TypeError):
        report(Finding("clock", "skipped", "the server sends no date"))
        return
    text = f"the clock of the server is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    cure = "Set the clock of this machine, for example with NTP."
    if abs(skew) >= LARGE_SKEW:
        report(Finding("clock", "failed", text, cure))
    elif abs(skew) >= SMALL_SKEW:
        report(Finding("clock", "warning", text, cure))
    else:
        report(Finding("clock", "ok", "agrees with that of the server"))


def _check_credentials(probe: Probe, report: Report) -> None:
    if probe.status == 401:
        cure = "Check the SID and the token. An API key must belong to this account, and to the region of the server."
        report(Finding("credentials", "failed", "the server refuses them", cure))
    elif probe.status is not None and probe.status < 300:
        report(Finding("credentials", "ok", "the server accepts them"))
    else:
        report(Finding("credentials", "skipped", f"the server responds with status {probe.status}"))


async def _check_documents(session: OAuthSession, report: Report) -> None:
    try:
        document = await session.fetch_openid_discovery()
        if document.issuer is not None and document.issuer != session.issuer:
            cure = "Set issuer in the profile if you trust this server."
            report(Finding("discovery", "warning", f"the issuer is {document.issuer}, not {session.issuer}", cure))
        else:
            report(Finding("discovery", "ok", f"issuer {document.issuer}"))
        keys = (await session.fetch_certs()).keys or ()
        report(Finding("keys", "ok", f"{len(keys)} signing keys: {', '.join(str(key.get('alg')) for key in keys)}"))
    except TwilioOAuthError as error:
        report(Finding("discovery", "warning", str(error), "ID tokens cannot be verified without it."))


async def check_device_code(invocation: Invocation, create_code: bool, report: Report) -> None:
    """Request a device code, if the user allows it."""
    settings = invocation.settings
    if settings.flow != "device" or not create_code:
        report(Finding("device flow", "skipped", "no device code was requested; --create-code requests one"))
        return
    async with open_session(settings) as session:
        try:
            code = await device_flow_of(settings, session).start()
        except ApiError as error:
            cure = 'Try `twilio-oauth login --web`, or flow = "client_credentials" in the profile.'
            report(Finding("device flow", "failed", str(error), cure))
        except TwilioOAuthError as error:
            report(Finding("device flow", "failed", str(error)))
        else:
            text = f"the server issues codes; users approve at {code.verification_uri}, every {code.interval:g} s"
            report(Finding("device flow", "ok", text))


def _shown(value: object) -> str:
    return " ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no response within {TIMEOUT:g} s"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
