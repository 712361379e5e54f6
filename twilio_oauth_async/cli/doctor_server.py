"""Harmless requests by which `twilio-oauth doctor` learns which endpoints a server has, and how it reports errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

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
    "absent": ("GET", "/v1/twilio-oauth-doctor"),
}
"""A POST has an empty form: it lacks every parameter, so it creates nothing."""

WITHOUT_CREDENTIALS: Final = ("discovery", "token", "v2 metadata", "v2 token")
"""The requests that are sent first, without credentials."""

ABSENT: Final = "absent"
"""A path that the API does not have: a server that responds to it as to all others is not the API."""

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


async def send(session: OAuthSession, name: str, timeout: float, *, with_account: bool = True) -> Probe:
    """Send one of the requests, once.

    Args:
        session: sends it.
        name: of the endpoint.
        timeout: seconds.
        with_account: with the credentials of the account, where the endpoint takes them.
    """
    method, path = _PATHS[name]
    is_post = method == "POST"
    request = Request(
        method=method,
        path=path,
        headers=FORM_HEADERS if is_post else {},
        body=b"" if is_post else None,
        with_account=with_account and not path.startswith("/v2"),
        repeatable=False,
    )
    outcome = await session.exchange(request, _as_it_is, timeout=timeout)
    if isinstance(outcome, TwilioOAuthError):
        return Probe(problem=str(outcome))
    return Probe(outcome.status, outcome.headers, outcome.body)


def _as_it_is(response: Response, context: Context) -> Response:  # noqa: ARG001 - signature of a parse function
    return response


def describe_api(probes: Mapping[str, Probe]) -> str:
    """Return why a server is not the API, by its responses to `WITHOUT_CREDENTIALS` and `ABSENT`; empty: it may be."""
    responses = [probe for probe in probes.values() if probe.status is not None]
    if not responses:
        return next(iter(probes.values())).problem
    if any(_is_of_api(probe) for name, probe in probes.items() if name != ABSENT):
        return ""
    statuses = ", ".join(map(str, sorted({probe.status for probe in responses if probe.status is not None})))
    kinds = ", ".join(sorted({probe.headers.get("Content-Type", "no content type") for probe in responses}))
    alike = "each path alike, also one that does not exist" if len({p.status for p in responses}) == 1 else "otherwise"
    return f"this is not Twilio's OAuth API: it responds {alike}, with status {statuses} ({kinds})"


def _is_of_api(probe: Probe) -> bool:
    """Return whether a response is a document or an error of the API."""
    try:
        body: Any = json.loads(probe.body)
    except ValueError:
        return False
    return isinstance(body, dict) and bool({"issuer", "error", "code"} & set(cast("dict[str, object]", body)))


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
