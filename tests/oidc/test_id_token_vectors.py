"""Examples of the JOSE RFCs: valid signatures verify, and forms that are not allowed for an ID token are rejected."""

import base64
import json
from pathlib import Path

import pytest

from tests.helpers.jose import assert_safe_to_log, check_signature
from twilio_oauth_async import IdTokenError
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwk import import_public_key
from twilio_oauth_async.oidc.jws import read_compact
from twilio_oauth_async.protocol.strict_json import Malformed

FOLDER = Path(__file__).parent
SIGNATURES = json.loads((FOLDER / "signatures.json").read_text())["signatures"]
KEYS = json.loads((FOLDER / "keys.json").read_text())["keys"]


def name(vector):
    return f"{vector['from']} {vector['what']}"


def check(token, jwk):
    """Check form and signature, but not the claims: most examples have none."""
    message = read_compact(token, ALGORITHMS)
    check_signature(message, jwk)
    return message.payload


@pytest.mark.parametrize("vector", [v for v in SIGNATURES if "refused" not in v], ids=name)
def test_signature_of_rfc_example_verifies(vector):
    token, jwk = vector["token"], vector["jwk"]
    header, payload, signature = token.split(".")
    assert check(token, jwk) == base64.urlsafe_b64decode(payload + "==")
    other = "A" if signature[0] != "A" else "B"
    for changed in (f"{header}.{payload}.{other}{signature[1:]}", f"{header}.{other}{payload[1:]}.{signature}"):
        with pytest.raises(IdTokenError, match="signature"):
            check(changed, jwk)


@pytest.mark.parametrize("vector", [v for v in SIGNATURES if "refused" in v], ids=name)
def test_rfc_example_not_allowed_for_id_token_is_rejected(vector):
    with pytest.raises(IdTokenError) as caught:
        check(vector["token"], vector["jwk"])
    assert caught.value.claim == vector["refused"]
    assert_safe_to_log(caught.value)


@pytest.mark.parametrize("vector", [v for v in KEYS if "refused" in v], ids=name)
def test_unusable_key_of_rfc_example_is_rejected(vector):
    with pytest.raises(Malformed) as caught:
        import_public_key(vector["jwk"], ALGORITHMS[vector["algorithm"]])
    assert str(caught.value) == vector["refused"]


@pytest.mark.parametrize("vector", [v for v in KEYS if "refused" not in v], ids=name)
def test_key_of_rfc_example_is_imported_completely(vector):
    """RFC 7638 3.1: the thumbprint covers all members that define the key."""
    key = import_public_key(vector["jwk"], ALGORITHMS[vector["algorithm"]])
    assert key._key.thumbprint() == vector["thumbprint"]
