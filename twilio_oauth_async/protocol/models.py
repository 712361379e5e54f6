"""Classes for the successful responses of the API: one per schema of the contract, with the field names of the JSON.

All classes are immutable. Classes that hold secrets leave them out of the ``repr`` and refuse to be pickled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol import codec
from twilio_oauth_async.protocol.serializable import HoldsSecrets, Storable

_USER_SID = re.compile(r"US[0-9a-fA-F]{32}")


def _check_aware(_: object, attribute: attrs.Attribute[datetime | None], value: object) -> None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise ConfigurationError(f"{attribute.name} must be an aware datetime, for example datetime.now(UTC)")


def _check_user_sid(_: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and not _USER_SID.fullmatch(value):
        raise ConfigurationError(f"{attribute.name}: not US followed by 32 hexadecimal digits")


@attrs.frozen(kw_only=True)
class OpenidDiscovery:
    """Metadata of the authorization server (``oauth.v1.openid_discovery``).

    Of the URLs, the package uses only `authorization_endpoint` and `revocation_endpoint`. The contract fixes the other
    paths.
    """

    issuer: str | None = None
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    jwk_uri: str | None = None
    """Twilio's spelling of OIDC's ``jwks_uri``."""
    response_type_supported: tuple[str, ...] | None = None
    subject_type_supported: tuple[str, ...] | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None
    """Names as the server sends them: Twilio uses ``ECDSA`` and ``RSA256`` for ES256 and RS256."""
    scopes_supported: tuple[str, ...] | None = None
    claims_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool | None = None
    """Each callback has an ``iss`` (RFC 9207 3). It is not part of the contract."""
    url: str | None = None


@attrs.frozen(kw_only=True)
class ServerMetadata:
    """Metadata of the authorization server of v2 (RFC 8414 2), as received. The package uses none of it."""

    issuer: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    response_types_supported: tuple[str, ...] | None = None
    grant_types_supported: tuple[str, ...] | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    """Methods of PKCE (RFC 7636)."""
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    """How a client authenticates: Twilio announces ``client_secret_post`` and ``none``, and no Basic."""
    authorization_response_iss_parameter_supported: bool | None = None
    """Each callback has an ``iss`` (RFC 9207 3)."""


@attrs.frozen(kw_only=True)
class Certs:
    """The server's public keys (``oauth.v1.certs``)."""

    keys: tuple[Mapping[str, object], ...] | None = None
    """JWKs (RFC 7517) as received, not validated."""
    url: str | None = None


@attrs.frozen(kw_only=True)
class DeviceCode(HoldsSecrets):
    """A device code, and the user code and URI for its approval (``oauth.v1.device_code``, RFC 8628 3.2)."""

    device_code: str = attrs.field(repr=False)
    user_code: str
    verification_uri: str
    """Absolute; a relative URI has been resolved against the base URL."""
    verification_uri_complete: str | None = None
    expires_in: float | None = None
    """Seconds, as sent by the server; None if absent or not a number."""
    interval: float | None = None
    """Seconds, as sent by the server; None if absent or not a number."""


@attrs.frozen(kw_only=True)
class Token(Storable):
    """Successful response of a token endpoint (``oauth.v1.token``). The fields have their v1 names, also for v2.

    Tokens are opaque (RFC 6749 1.4): their content is not parsed here.
    """

    access_token: str = attrs.field(repr=False)
    access_token_expires_at: datetime | None = attrs.field(default=None, validator=_check_aware)
    """UTC; None: unknown."""
    refresh_token: str | None = attrs.field(default=None, repr=False)
    refresh_token_expires_at: datetime | None = attrs.field(default=None, validator=_check_aware)
    """UTC; None: unknown."""
    id_token: str | None = attrs.field(default=None, repr=False)
    token_type: str = "Bearer"  # noqa: S105 - a type
    scope: str | None = None
    """The granted scope, if the server sent it; it may be narrower than the requested one (RFC 6749 3.3)."""

    def expires_within(self, seconds: float, now: datetime) -> bool:
        """Return whether the access token expires at most `seconds` after `now`; False if its expiry is unknown."""
        return self.access_token_expires_at is not None and self.access_token_expires_at <= now + timedelta(
            seconds=seconds
        )


codec.expect_prepared(
    Token,
    access_token=str,
    access_token_expires_at=datetime,
    refresh_token=str,
    refresh_token_expires_at=datetime,
    id_token=str,
    token_type=str,
    scope=str,
)


@attrs.frozen(kw_only=True)
class UserInfo:
    """Claims about the user, limited by the user's consent (``oauth.v1.user_info``)."""

    user_sid: str | None = attrs.field(default=None, validator=_check_user_sid)
    first_name: str | None = None
    last_name: str | None = None
    friendly_name: str | None = None
    email: str | None = None
    url: str | None = None
