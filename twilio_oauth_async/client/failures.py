"""What a failed request means: an error of this package, without the texts of aiohttp, which may hold secrets."""

from __future__ import annotations

import ssl
import traceback

import aiohttp
import attrs

from twilio_oauth_async.errors import AnswerLostError, ProtocolError, TransportError
from twilio_oauth_async.protocol.messages import Request

NO_FREE_CONNECTION = "no free connection within the time limit"

_WAITS = {
    "_wait_for_available_connection": NO_FREE_CONNECTION,
    "_resolve_host": "the host name could not be resolved within the time limit",
    "connect": "no connection within the time limit",
}
"""Functions of aiohttp's connector, the innermost first, and what is reported if the time limit ends one of them.

Trace signals report the same, but cost an eighth of the CPU time of each request. A traceback costs nothing until a
request fails. Only the text depends on it: if aiohttp renames a function, the text is a more general one.
"""

_CERTIFICATE_REASONS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed, and not trusted here",
    19: "is issued by an unknown authority",
    20: "is issued by an unknown authority",
    21: "is issued by an unknown authority",
    62: "belongs to another host name",
    64: "belongs to another IP address",
}
"""``verify_code`` of OpenSSL (x509_vfy.h), and what it says about the certificate of the server."""

_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE"}
"""``reason`` of OpenSSL for bytes that are no TLS, for example a response of a server that speaks plain HTTP."""


@attrs.frozen
class Failure:
    """The request got no usable response."""

    error: TransportError | ProtocolError
    """`AnswerLostError`: the request was sent and must not be repeated. Any other `TransportError`: it was not sent, or
    it may be repeated."""
    retryable: bool
    """The next attempt may succeed."""


def failure_of(error: Exception, request: Request, *, is_sent: bool | None) -> Failure:
    """Convert an exception of aiohttp or the system to a `Failure`.

    The error is `AnswerLostError` if the server may have processed a request that must not be repeated. `is_sent` is
    None if that is not known, as for a request without a body.
    """
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure(TransportError(f"the TLS handshake failed: {_tls_reason(error)}"), False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failure(TransportError("no connection within the time limit"), True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure(TransportError("the host name could not be resolved"), True)
    if isinstance(error, UnicodeError):
        return Failure(TransportError("the host name of the server is not valid"), False)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Failure(TransportError(f"the proxy refused the connection with status {error.status}"), True)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Failure(TransportError("no connection to the proxy; check its URL"), True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failure(TransportError("no connection to the server; check the network and the URL of the server"), True)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure(ProtocolError("the head of the response is invalid HTTP or too large"), False)
    is_late = isinstance(error, TimeoutError)
    if is_sent is False:
        reason = (
            "the request was not sent within the time limit"
            if is_late
            else "the connection failed before the request was sent"
        )
    else:
        reason = "no complete response within the time limit" if is_late else "the connection failed"
    if is_late and not is_sent:
        reason = _interrupted_wait(error) or reason
    kind = TransportError if request.repeatable or is_sent is False else AnswerLostError
    return Failure(kind(reason), True)


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    """Return what is wrong, in words of this package: OpenSSL's text may contain what the server sent."""
    cause: object = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = _CERTIFICATE_REASONS.get(getattr(cause, "verify_code", 0), "is not trusted")
        return f"the certificate of the server {reason}"
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return "the server does not speak TLS; check that its port is one for https"
    return "the server and this client agree on no protocol or cipher"


def _interrupted_wait(error: Exception) -> str | None:
    """Return what the request waited for if the time limit ended the wait for a connection; else None."""
    # aiohttp cancels its own task at the time limit, and raises the TimeoutError from that CancelledError.
    cancelled = error.__cause__
    if cancelled is None:
        return None
    functions = {frame.f_code.co_name for frame, _ in traceback.walk_tb(cancelled.__traceback__)}
    return next((text for function, text in _WAITS.items() if function in functions), None)
