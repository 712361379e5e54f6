import re

from twilio_oauth_async.protocol import pkce


def test_challenge_matches_example_of_rfc_7636_appendix_b():
    assert (
        pkce.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_verifier_state_and_nonce_are_unique_and_have_256_bits():
    for make in (pkce.new_verifier, pkce.new_state, pkce.new_nonce):
        values = {make() for _ in range(100)}
        assert len(values) == 100
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in values)
