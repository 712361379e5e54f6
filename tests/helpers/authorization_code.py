"""The steps of the authorization code grant at the emulator, over plain HTTP, and verified claims of its tokens."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import KeySet

from tests.helpers.emulator_caller import Caller

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "http://127.0.0.1:49152/callback"


def query(caller: Caller, **changes: str | None) -> dict[str, str]:
    """Return the parameters of an authorization request; a change to None leaves one out."""
    parameters = {
        "response_type": "code",
        "client_id": caller.emulator.client_sid,
        "redirect_uri": CALLBACK,
        "scope": "openid profile",
        "state": "the state",
        "nonce": "the nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in parameters.items() if value is not None}


def url(caller: Caller, **changes: str | None) -> str:
    """Return the URL of an authorization request."""
    return f"{caller.emulator.base_url}/v2/authorize?{urlencode(query(caller, **changes))}"


def response_parameters(location: str) -> dict[str, str]:
    """Return the parameters of a redirect to the client."""
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def code_for(caller: Caller, **changes: str | None) -> str:
    """Let the user approve; return the authorization code."""
    return response_parameters(await caller.emulator.authorize(url(caller, **changes)))["code"]


async def exchange_v2(caller: Caller, code: str, **changes: str | None) -> tuple[int, Any]:
    """Exchange `code` at ``/v2/token``; return the status and the body."""
    form = {
        "grant_type": "authorization_code",
        "client_id": caller.emulator.client_sid,
        "client_secret": caller.emulator.client_secret,
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": CALLBACK,
    } | changes
    filled = {name: value for name, value in form.items() if value is not None}
    return (await caller.call("POST", "/v2/token", filled, authorization=None))[:2]


async def verified(caller: Caller, token: str) -> dict[str, Any]:
    """Return the claims of `token`, verified by joserfc with the published keys."""
    _, certs, _ = await caller.call("GET", "/v1/certs")
    algorithms = ["ES256", "RS256"]
    # Twilio publishes an empty key_ops, which joserfc takes for "nothing is allowed".
    keys = KeySet.import_key_set({"keys": [{k: v for k, v in key.items() if k != "key_ops"} for key in certs["keys"]]})
    registry = jws.JWSRegistry(algorithms=algorithms)
    return dict(jwt.decode(token, keys, algorithms=algorithms, registry=registry).claims)
