"""Device authorization request and response (RFC 8628 3.1 and 3.2), and the state of the flow that they start."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urljoin

import attrs

from twilio_oauth_async.errors import ApiError, ConfigurationError
from twilio_oauth_async.protocol import codec, strict_json
from twilio_oauth_async.protocol.argument_checks import number
from twilio_oauth_async.protocol.device_flow_policy import explain_refused_code
from twilio_oauth_async.protocol.endpoints import DEVICE_CODE, is_secure
from twilio_oauth_async.protocol.instructions import Instructions
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import DeviceCode
from twilio_oauth_async.protocol.parameters import (
    FORM_HEADERS,
    check_audiences,
    check_client,
    check_scopes,
    encode_form,
    is_printable_ascii,
    is_visible_ascii,
)
from twilio_oauth_async.protocol.response_parsing import Parsed, check_text, parse
from twilio_oauth_async.protocol.serializable import Storable

_log = logging.getLogger(__name__)


def build_device_code(*, client_sid: str, scopes: Sequence[str], audiences: Sequence[str] = ()) -> Request:
    """Build ``POST /v1/device/code`` (RFC 8628 3.1). Scopes and audiences are sent as repeated keys.

    Raises:
        ConfigurationError: `client_sid` is not valid, `scopes` is empty, or a scope or audience is not valid.
    """
    check_client(client_sid)
    check_scopes(scopes)
    if not scopes:
        # RFC 9700 2.3: least privilege. No default fits every application.
        raise ConfigurationError("scopes must name at least one scope, for example ['openid']")
    check_audiences(audiences)
    return Request(
        method="POST",
        path=DEVICE_CODE,
        headers=FORM_HEADERS,
        body=encode_form(
            [("ClientSid", client_sid), *(("Scopes", s) for s in scopes), *(("Audiences", a) for a in audiences)]
        ),
        repeatable=True,  # an unused device code expires without effect
    )


def parse_device_code(response: Response, context: Context) -> Parsed[DeviceCode]:
    """Parse the response as `DeviceCode`. URIs become absolute; numbers may also be sent as text.

    An error that means that the server does not offer the device flow says so (`device_flow_policy`).
    """

    def prepare(body: Mapping[str, object]) -> Mapping[str, object]:
        prepared = dict(body)
        for name in ("expires_in", "interval"):
            prepared[name] = codec.read_number(body.get(name))
            if prepared[name] is None and body.get(name) is not None:
                _log.warning("device code response: %s is not a number; ignoring it", name)
        for name in ("device_code", "user_code"):
            check_text(name, body.get(name), is_printable_ascii)
        for name in ("verification_uri", "verification_uri_complete"):
            prepared[name] = _absolute_uri(name, body.get(name), context.base_url)
        return prepared

    parsed = parse(response, context, DeviceCode, prepare, required="device_code")
    return explain_refused_code(parsed) if isinstance(parsed, ApiError) else parsed


def _check_interval(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    seconds = number(value)
    if seconds is None or not 0 < seconds < math.inf:
        # A stored flow may be damaged. Without a pause between polls the flow would become a busy loop.
        raise ConfigurationError(f"{attribute.name}: not a positive number of seconds")


@attrs.frozen(kw_only=True)
class DeviceAuthorization(Instructions, Storable):
    """State of a pending device flow. Immutable: each poll returns the next state.

    With ``to_json()`` and ``from_json()`` another process, or the same one after a restart, can continue the flow. The
    JSON contains the device code, so keep it as secret as a token. ``str`` and ``repr`` never show the device code.
    """

    client_sid: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...] = ()
    device_code: str = attrs.field(repr=False)
    """Sent only to the server. Do not show it to the user or to any third party (RFC 8628 3.3)."""
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    interval: float = attrs.field(validator=_check_interval)
    """Seconds between two polls, already increased by each ``slow_down``."""
    expires_at: datetime
    """UTC."""
    next_poll_at: datetime
    """UTC. No poll is sent before this time."""
    faults: int = 0
    """Number of polls in a row without a usable response."""
    answer_lost: bool = False
    """Since the last ``authorization_pending``, a response was lost or unusable that may have contained the token."""


def _absolute_uri(name: str, value: object, base_url: str) -> object:
    """Return the URI that the user opens, resolved against `base_url` because Twilio's examples are relative."""
    if not isinstance(value, str):
        return value
    url: str | None = None
    if is_visible_ascii(value):
        try:
            url = urljoin(base_url + "/", value)
        except ValueError:
            url = None
    if url is None or not is_secure(url):
        # The user types a password on this page: no other scheme is allowed, and plain http only to loopback.
        raise strict_json.Malformed(f"{name}: not an https URL")
    return url
