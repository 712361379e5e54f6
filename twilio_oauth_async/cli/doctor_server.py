"""Harmless requests by which `twilio-oauth doctor` learns which endpoints a server has, and how it reports errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.parameters import FORM_HEADERS

if TYPE_CHECKING:
    from twilio_oauth_async.client.session import OAuthSession

_PATHS: Final[Mapping[str, tuple[str, str]]] = {
    "discovery": ("GET", "/v1/.well-known/openid-configuration"),
    "certs": ("GET", "/v1/certs"),
    "userinfo": ("GET", "/v1/userinfo"),
    "device code": ("POST", "/v1/device/code"),
    "token": ("POST", "/v1/token"),
    "v2 metadata": ("GET", "/.well-known/oauth-authorization-server"),
    "v2 token": ("POST", "/v2/token"),
}
"""A POST has an empty form: it lacks every parameter, so it creates nothing."""

_ABSENT = frozenset({404, 405, 410, 501})
"""Statuses by which a server says that it does not have an endpoint."""


@attrs.frozen
class Probe:
    """The response to one of these requests."""

    status: int | None = None
    """None: there was no response."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    problem: str = ""
    """Why there was no response."""


async def send(session: OAuthSession, name: str, timeout: float) -> Probe:
    """Send one of the requests, once.

    Args:
        session: sends it, with the credentials of the account.
        name: of the endpoint.
        timeout: seconds.
    """
    method, path = _PATHS[name]
    is_post = method == "POST"
    request = Request(
        method=method,
        path=path,
        headers=FORM_HEADERS if is_post else {},
        body=b"" if is_post else None,
        with_account=not path.startswith("/v2"),
        repeatable=False,
    )
    outcome = await session.exchange(request, _as_it_is, timeout=timeout)
    if isinstance(outcome, TwilioOAuthError):
        return Probe(problem=str(outcome))
    return Probe(outcome.status, outcome.headers, outcome.body)


def _as_it_is(response: Response, context: Context) -> Response:  # noqa: ARG001 - signature of a parse function
    return response


def describe_endpoints(probes: Mapping[str, Probe]) -> tuple[Literal["ok", "warning", "failed"], str, str]:
    """Return what is known of the endpoints: state, text and cure."""
    present = [name for name, probe in probes.items() if probe.status is not None and probe.status not in _ABSENT]
    absent = [f"{name} ({probe.status or 'no response'})" for name, probe in probes.items() if name not in present]
    text = f"the server has {', '.join(present) or 'none'}"
    if not absent:
        return "ok", text, ""
    text += f"; it lacks {', '.join(absent)}"
    if not present:
        return "failed", text, "Check base_url, region and edge: this is another server."
    if "device code" not in present or "token" not in present:
        cure = 'Twilio offers most of v1 to some accounts only. Try flow = "client_credentials" in the profile.'
        return "warning", text, cure
    return "warning", text, ""


def describe_dialect(probes: Mapping[str, Probe]) -> str:
    """Return in which form the server reports errors."""
    found: set[str] = set()
    for probe in probes.values():
        if probe.status is None or probe.status < 400:
            continue
        try:
            body: Any = json.loads(probe.body)
        except ValueError:
            found.add("no JSON")
            continue
        if isinstance(body, dict):
            found.add("OAuth (RFC 6749)" if "error" in body else "Twilio" if "code" in body else "another JSON object")
    return f"the server reports errors as {', '.join(sorted(found)) or 'unknown: none was seen'}"
