"""Asyncio client for Twilio's OAuth API: sign-in of users with the device grant, and automatic refresh of tokens.

The public names are imported when they are first used (PEP 562), so that importing the package takes little time and
loads nothing that is not used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    """The version of the installed package."""

    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier
    from twilio_oauth_async.client.retry import RetryPolicy
    from twilio_oauth_async.client.session import OAuthSession
    from twilio_oauth_async.clock import Clock, SystemClock, VirtualClock
    from twilio_oauth_async.errors import (
        AccessDeniedError,
        AnswerLostError,
        ApiError,
        AuthorizationError,
        AuthorizationPendingError,
        ConfigurationError,
        DeviceCodeExpiredError,
        DeviceFlowError,
        IdTokenError,
        InvalidClientError,
        InvalidGrantError,
        InvalidRequestError,
        InvalidScopeError,
        LoginRequired,
        ProtocolError,
        RateLimitedError,
        RevocationUnsupported,
        ServerError,
        SignInNotFound,
        SlowDownError,
        StoreConflict,
        StoreError,
        TooManySignIns,
        TransportError,
        TwilioOAuthError,
        UnauthorizedClientError,
        UnsupportedGrantTypeError,
    )
    from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow
    from twilio_oauth_async.grants.base import Grant, GrantIdentity
    from twilio_oauth_async.grants.client_credentials import ClientCredentials
    from twilio_oauth_async.grants.device_flow import CodeIssued, DeviceFlow, DeviceFlowEvent
    from twilio_oauth_async.oidc.claims import IdTokenClaims
    from twilio_oauth_async.protocol.authorization_request import PendingAuthorization
    from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
    from twilio_oauth_async.protocol.models import Certs, DeviceCode, OpenidDiscovery, Token, UserInfo
    from twilio_oauth_async.protocol.polling import Approved, Pending, SlowedDown, Unreachable
    from twilio_oauth_async.protocol.token_endpoint import DEVICE_CODE_GRANT
    from twilio_oauth_async.sign_in.base import DeviceFlowRunner, SignIn
    from twilio_oauth_async.sign_in.pool import DeviceFlowPool
    from twilio_oauth_async.stores.base import FlowStore, StoredFlow, StoredToken, TokenKey, TokenStore
    from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore
    from twilio_oauth_async.stores.file.keyring import Keyring
    from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore
    from twilio_oauth_async.tokens.manager import TokenManager
    from twilio_oauth_async.tokens.managers import TokenManagers

__all__ = [
    "DEVICE_CODE_GRANT",
    "AccessDeniedError",
    "AnswerLostError",
    "ApiError",
    "Approved",
    "AuthorizationCodeFlow",
    "AuthorizationError",
    "AuthorizationPendingError",
    "Certs",
    "ClientCredentials",
    "Clock",
    "CodeIssued",
    "ConfigurationError",
    "DeviceAuthorization",
    "DeviceCode",
    "DeviceCodeExpiredError",
    "DeviceFlow",
    "DeviceFlowError",
    "DeviceFlowEvent",
    "DeviceFlowPool",
    "DeviceFlowRunner",
    "FileFlowStore",
    "FileTokenStore",
    "FlowStore",
    "Grant",
    "GrantIdentity",
    "IdTokenClaims",
    "IdTokenError",
    "IdTokenVerifier",
    "InvalidClientError",
    "InvalidGrantError",
    "InvalidRequestError",
    "InvalidScopeError",
    "Keyring",
    "LoginRequired",
    "MemoryFlowStore",
    "MemoryTokenStore",
    "OAuthSession",
    "OpenidDiscovery",
    "Pending",
    "PendingAuthorization",
    "ProtocolError",
    "RateLimitedError",
    "RetryPolicy",
    "RevocationUnsupported",
    "ServerError",
    "SignIn",
    "SignInNotFound",
    "SlowDownError",
    "SlowedDown",
    "StoreConflict",
    "StoreError",
    "StoredFlow",
    "StoredToken",
    "SystemClock",
    "Token",
    "TokenKey",
    "TokenManager",
    "TokenManagers",
    "TokenStore",
    "TooManySignIns",
    "TransportError",
    "TwilioOAuthError",
    "UnauthorizedClientError",
    "Unreachable",
    "UnsupportedGrantTypeError",
    "UserInfo",
    "VirtualClock",
]

_MODULE_OF = {
    "AuthorizationCodeFlow": "grants.authorization_code",
    "ClientCredentials": "grants.client_credentials",
    "Clock": "clock",
    "SystemClock": "clock",
    "VirtualClock": "clock",
    "DeviceAuthorization": "protocol.device_authorization",
    "CodeIssued": "grants.device_flow",
    "DeviceFlow": "grants.device_flow",
    "DeviceFlowEvent": "grants.device_flow",
    "AccessDeniedError": "errors",
    "AnswerLostError": "errors",
    "ApiError": "errors",
    "AuthorizationError": "errors",
    "AuthorizationPendingError": "errors",
    "ConfigurationError": "errors",
    "DeviceCodeExpiredError": "errors",
    "DeviceFlowError": "errors",
    "IdTokenError": "errors",
    "InvalidClientError": "errors",
    "InvalidGrantError": "errors",
    "InvalidRequestError": "errors",
    "InvalidScopeError": "errors",
    "LoginRequired": "errors",
    "ProtocolError": "errors",
    "RateLimitedError": "errors",
    "RevocationUnsupported": "errors",
    "ServerError": "errors",
    "SlowDownError": "errors",
    "StoreConflict": "errors",
    "StoreError": "errors",
    "TooManySignIns": "errors",
    "TransportError": "errors",
    "TwilioOAuthError": "errors",
    "UnauthorizedClientError": "errors",
    "UnsupportedGrantTypeError": "errors",
    "DeviceFlowPool": "sign_in.pool",
    "Grant": "grants.base",
    "GrantIdentity": "grants.base",
    "IdTokenClaims": "oidc.claims",
    "IdTokenVerifier": "client.id_token_verifier",
    "Certs": "protocol.models",
    "DeviceCode": "protocol.models",
    "OpenidDiscovery": "protocol.models",
    "Token": "protocol.models",
    "UserInfo": "protocol.models",
    "PendingAuthorization": "protocol.authorization_request",
    "Approved": "protocol.polling",
    "Pending": "protocol.polling",
    "SlowedDown": "protocol.polling",
    "Unreachable": "protocol.polling",
    "DEVICE_CODE_GRANT": "protocol.token_endpoint",
    "RetryPolicy": "client.retry",
    "OAuthSession": "client.session",
    "DeviceFlowRunner": "sign_in.base",
    "SignIn": "sign_in.base",
    "SignInNotFound": "errors",
    "FlowStore": "stores.base",
    "StoredFlow": "stores.base",
    "StoredToken": "stores.base",
    "TokenKey": "stores.base",
    "TokenStore": "stores.base",
    "FileFlowStore": "stores.file",
    "FileTokenStore": "stores.file",
    "MemoryFlowStore": "stores.memory",
    "MemoryTokenStore": "stores.memory",
    "Keyring": "stores.file.keyring",
    "TokenManager": "tokens.manager",
    "TokenManagers": "tokens.managers",
}

# Logging is configured by the application: without this handler, warnings would be printed to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name == "__version__":
        globals()[name] = version = _read_version()
        return version
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, "__version__"})


def _read_version() -> str:
    # Imported late: it takes about a third of the time that importing this package takes beside its dependencies.
    from importlib import metadata

    try:
        return metadata.version("twilio-oauth-async")
    except metadata.PackageNotFoundError:
        return "0+unknown"  # copied or frozen without its metadata
