"""The names in the RFCs and in Twilio's API contract. It uses no code of the client or the emulator.

The interop tests connect a client or server that knows only the RFCs to one that knows only the contract. Only names
are translated here, so the two sides work together only if both implement the same meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Pairs = list[tuple[str, str]]

PARAMETERS = {  # RFC 6749, 7636, 8628; the contract
    "grant_type": "GrantType",
    "client_id": "ClientSid",
    "client_secret": "ClientSecret",
    "code": "Code",
    "code_verifier": "CodeVerifier",
    "device_code": "DeviceCode",
    "refresh_token": "RefreshToken",
    "audience": "Audiences",
}
BACK = {contract: rfc for rfc, contract in PARAMETERS.items()}

DISCOVERY = {  # the contract; OpenID Connect Discovery 3, RFC 8414 2
    "jwk_uri": "jwks_uri",
    "response_type_supported": "response_types_supported",
    "subject_type_supported": "subject_types_supported",
}
ALGORITHMS = {"ECDSA": "ES256", "RSA256": "RS256"}

USER = {  # the contract; OpenID Connect Core 5.1
    "user_sid": "sub",
    "first_name": "given_name",
    "last_name": "family_name",
    "friendly_name": "name",
}


def to_contract(form: Iterable[tuple[str, str]]) -> Pairs:
    """Rename the parameters of a request to those of the contract, which repeats the parameter of the scopes."""
    translated: Pairs = []
    for name, value in form:
        if name == "scope":
            translated += [("Scopes", scope) for scope in value.split(" ")]
        else:
            translated.append((PARAMETERS.get(name, name), value))
    return translated


def to_rfc(form: Iterable[tuple[str, str]]) -> Pairs:
    """Rename the parameters of a request to those of the RFCs, which send the scopes in one parameter."""
    pairs = list(form)
    scopes = [value for name, value in pairs if name == "Scopes"]
    translated = [(BACK.get(name, name), value) for name, value in pairs if name != "Scopes"]
    return translated + ([("scope", " ".join(scopes))] if scopes else [])


def renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a JSON object with other names, without the members that are null: the RFCs omit those."""
    return {names.get(name, name): value for name, value in body.items() if value is not None}


def without_empty_key_ops(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JWK without an empty ``key_ops``, which Twilio's keys have: some clients read it as "no use allowed"."""
    return {name: value for name, value in key.items() if name != "key_ops" or value}
