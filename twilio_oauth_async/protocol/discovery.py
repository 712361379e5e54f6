"""The discovery document, the validation of the endpoints in it (RFC 8414), and the key set.

Requests of the contract go to fixed paths and need no discovery. The v1 authorization page and the revocation endpoint
have no fixed path and are taken from the discovery document. A manipulated document must not send a user or a token to
another host.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from twilio_oauth_async.errors import ConfigurationError, ProtocolError, RevocationUnsupported
from twilio_oauth_async.protocol.endpoints import CERTS, DISCOVERY, SERVER_METADATA, is_secure
from twilio_oauth_async.protocol.key_set_response import read_key_set, skip_unusable_entries
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import Certs, OpenidDiscovery, ServerMetadata
from twilio_oauth_async.protocol.response_parsing import Parsed, parse

DiscoveredEndpoint: TypeAlias = Literal["authorization_endpoint", "revocation_endpoint"]


def build_openid_discovery() -> Request:
    """Build ``GET /v1/.well-known/openid-configuration``."""
    return Request(method="GET", path=DISCOVERY, repeatable=True)


def parse_openid_discovery(response: Response, context: Context) -> Parsed[OpenidDiscovery]:
    """Parse the response as `OpenidDiscovery`. `trusted_endpoint` validates its endpoints."""
    return parse(response, context, OpenidDiscovery)


def build_server_metadata() -> Request:
    """Build ``GET /.well-known/oauth-authorization-server`` (RFC 8414 3.1)."""
    return Request(method="GET", path=SERVER_METADATA, repeatable=True, with_account=False)


def parse_server_metadata(response: Response, context: Context) -> Parsed[ServerMetadata]:
    """Parse the response as `ServerMetadata`. Its URLs are not validated."""
    return parse(response, context, ServerMetadata)


def build_certs() -> Request:
    """Build ``GET /v1/certs``."""
    return Request(method="GET", path=CERTS, repeatable=True)


def parse_certs(response: Response, context: Context) -> Parsed[Certs]:
    """Parse the response as `Certs`, without entries that are not objects. The keys are not validated."""
    return parse(response, context, Certs, skip_unusable_entries, read=read_key_set)


def trusted_endpoint(discovery: OpenidDiscovery, name: DiscoveredEndpoint, *, issuer: str, base_url: str) -> str:
    """Validate the URL of an endpoint in the discovery document, and return it.

    Args:
        discovery: the document as received.
        name: which endpoint.
        issuer: the required issuer of the document, compared exactly (RFC 8414 3.3).
        base_url: the base URL of the API. The endpoint must be on its host or on the issuer's host.

    Raises:
        ProtocolError: the document has another issuer, or the URL of the endpoint is not allowed.
        RevocationUnsupported: the document has no revocation endpoint.
        ConfigurationError: the document has no authorization endpoint.
    """
    if discovery.issuer != issuer:
        raise ProtocolError("the issuer of the discovery document is not the issuer of the session")
    url: str | None = getattr(discovery, name)
    if url is None:
        if name == "revocation_endpoint":
            raise RevocationUnsupported(
                "the discovery document has no revocation_endpoint; the server cannot revoke tokens before they expire"
            )
        raise ConfigurationError(f"the discovery document has no {name}; the server does not support it")
    if (
        not url.isascii()
        or not url.isprintable()
        or not is_secure(url)
        or "@" in urlsplit(url).netloc  # user@host: the part before the @ may look like an allowed host
        or _origin(url) not in {_origin(base_url), _origin(issuer)}
    ):
        raise ProtocolError(f"the discovery document's {name} is not an https URL on the host of the API or the issuer")
    return url


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
