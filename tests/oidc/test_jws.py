"""Parsing of the compact form and its header (rules 24, 25 and 27, docs/reliability.md)."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.jose import CLAIMS, b64, jwk, private_key, rejection, signature, token, verify
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.oidc import base64url, jws
from twilio_oauth_async.oidc.jwa import ALGORITHMS, allowed_algorithms
from twilio_oauth_async.protocol.strict_json import Malformed


def split(text):
    return text.split(".")


class TestAlgorithms:
    """Rule 24."""

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_allowed_algorithm_is_accepted(self, algorithm):
        assert verify(token(algorithm=algorithm), jwk(algorithm), algorithms=[algorithm]).sub == "US-canary"

    @pytest.mark.parametrize("algorithm", ["ES384", "RS512", "PS256"])
    def test_valid_signature_by_algorithm_not_allowed_is_rejected(self, algorithm):
        assert rejection(token(algorithm=algorithm), jwk(algorithm)).claim == "alg"

    @pytest.mark.parametrize(
        "alg",
        [
            "none", "None", "NONE", "nOnE", " none", "none ", "none\0", "", "null", "non\u0435",
            "HS256", "HS384", "HS512", "hs256", "es256", "ES256 ", "Es256", "ES256K", "EdDSA", "Ed25519",
            "ECDSA", "RSA256", "RS1", "RSA-OAEP", "dir", "A128KW", "https://canary.example/alg",
            None, ..., 0, True, ["ES256"], {"alg": "ES256"},
        ],
        ids=repr,
    )  # fmt: skip
    @pytest.mark.parametrize("signed", [b"", None], ids=["unsigned", "signed"])
    def test_unsupported_algorithm_in_any_spelling_is_rejected(self, alg, signed):
        """``none`` is for example CVE-2015-2951."""
        assert rejection(token(header={"alg": alg}, signed=signed)).claim == "alg"

    @pytest.mark.parametrize("name", ["none", "None", "HS256", "EdDSA", "dir", "", 5, None, ["ES256"]])
    def test_allowed_algorithms_with_unsupported_name_raises(self, name):
        with pytest.raises(ConfigurationError, match="is not supported; supported are ES256, "):
            allowed_algorithms(["ES256", name])

    @pytest.mark.parametrize("names", [[], "ES256", None, 5])
    def test_algorithms_must_be_a_non_empty_list(self, names):
        with pytest.raises(ConfigurationError, match="for example"):
            allowed_algorithms(names)

    def test_allowed_algorithms_accepts_names_of_discovery_document(self):
        assert list(allowed_algorithms(("ECDSA", "RSA256"))) == ["ES256", "RS256"]
        assert verify(token(), algorithms=["ECDSA"]).sub == "US-canary"


class TestHeader:
    """Rule 25."""

    @pytest.mark.parametrize("crit", [[], ["exp"], ["b64"], ["alg"], "b64", None, {}])
    def test_crit_header_is_rejected(self, crit):
        """CVE-2025-59420: unknown critical extensions were ignored."""
        assert rejection(token(header={"crit": crit, "b64": True})).claim == "crit"

    def test_signature_of_unencoded_payload_is_rejected(self):
        """``b64`` of RFC 7797 3 without ``crit`` is not supported and therefore ignored."""
        header, claims = (json.dumps(part).encode() for part in ({"alg": "ES256", "kid": "IC1", "b64": False}, CLAIMS))
        unencoded = signature(b64(header).encode() + b"." + claims)
        assert "signature" in str(rejection(token(claims, header=header, signed=unencoded)))
        assert verify(token(claims, header=header)).sub == "US-canary"

    @pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
    def test_key_in_or_named_by_the_header_is_ignored(self, name):
        """CVE-2018-0114: a key in the token itself was trusted."""
        attacker = private_key("ES256", "attacker")
        value = {
            "jwk": jwk(name="attacker"),
            "jku": "https://canary.example/keys.json",
            "x5u": "https://canary.example/cert.pem",
            "x5c": [base64.b64encode(b"canary").decode()],
        }.get(name, "canary")
        assert "signature" in str(rejection(token(header={name: value}, key=attacker)))
        # With a valid signature the member is ignored and the token accepted.
        assert verify(token(header={name: value})).sub == "US-canary"

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", "application/JWT", None, ...])
    def test_typ_jwt_or_absent_is_accepted(self, typ):
        assert verify(token(header={"typ": typ})).sub == "US-canary"

    @pytest.mark.parametrize(
        "typ", ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "JOSE", "JWTx", "", 5, ["JWT"]]
    )
    def test_other_typ_is_rejected(self, typ):
        """RFC 8725 3.11: an access token is signed with the same keys and may be for the same client."""
        assert rejection(token(header={"typ": typ})).claim == "typ"

    @pytest.mark.parametrize("kid", [5, True, ["IC1"], {"kid": "IC1"}])
    def test_kid_that_is_not_a_string_is_rejected(self, kid):
        assert rejection(token(header={"kid": kid})).claim == "kid"

    @pytest.mark.parametrize(
        "header",
        [
            b'{"alg":"ES256","alg":"none","kid":"IC1"}',
            b'{"alg":"none","alg":"ES256","kid":"IC1"}',
            b'{"alg":"ES256","kid":"IC1"',
            b'{"alg":"ES256","kid":"IC1","x":NaN}',
            b'\xef\xbb\xbf{"alg":"ES256","kid":"IC1"}',
            b'{"alg":"ES256","kid":"\xff"}',
            b'["ES256"]',
            b'"ES256"',
            b"null",
            b"",
            b"[" * 10_000,
        ],
        ids=lambda header: repr(header[:24]),
    )
    def test_header_that_is_not_a_well_formed_json_object_is_rejected(self, header):
        assert rejection(token(header=header)).claim is None

    def test_header_cache_has_a_limited_size(self):
        for number in range(100):
            verify(token(header={"x": number}))
        assert jws._read_header.cache_info().currsize <= jws._HEADER_CACHE_SIZE


class TestCompactForm:
    """Rule 27."""

    @pytest.mark.parametrize(
        "damage",
        [
            lambda h, p, s: f"{h}.{p}",
            lambda h, p, s: f"{h}.{p}.",
            lambda h, p, s: f"{h}..{s}",
            lambda h, p, s: f".{p}.{s}",
            lambda h, p, s: "..",
            lambda h, p, s: "",
            lambda h, p, s: f"{h}.{p}.{s}.",
            lambda h, p, s: f".{h}.{p}.{s}",
            lambda h, p, s: f"{h}.{p}.{s}.{s}.{s}",
            lambda h, p, s: f"{h}.{p}.{s} ",
            lambda h, p, s: f" {h}.{p}.{s}",
            lambda h, p, s: f"{h}.{p}.{s}\n",
            lambda h, p, s: f"{h}\n.{p}.{s}",
            lambda h, p, s: f"{h}. {p}.{s}",
            lambda h, p, s: f"{h}.{p[:8]}\r\n{p[8:]}.{s}",
            lambda h, p, s: f"{h}.{p}.{s[:8]}\t{s[8:]}",
            lambda h, p, s: f"{h}.{p}.{s[:8]}\0{s[8:]}",
            lambda h, p, s: f"{h}.{p}.{s}=",
            lambda h, p, s: f"{h}.{p}.{s}==",
            lambda h, p, s: f"{h}{'=' * (-len(h) % 4)}.{p}{'=' * (-len(p) % 4)}.{s}==",
            lambda h, p, s: f"{h}.{p}.{s[:8]}={s[8:]}",
            lambda h, p, s: f"{h}.{p}.{s[:-1]}ü",
            lambda h, p, s: f"{h}.{p}.{s[:-1]}\uff21",
            lambda h, p, s: f"{h}.{p}.{s}A",
            lambda h, p, s: f"{h}.{p}.{s}AA",
            lambda h, p, s: f"{h}.{p}.%41{s}",
            lambda h, p, s: f"Bearer {h}.{p}.{s}",
            lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s}),
            lambda h, p, s: json.dumps({"payload": p, "signatures": [{"protected": h, "signature": s}]}),
        ],
    )
    def test_text_other_than_three_parts_of_base64url_is_rejected(self, damage):
        parts = split(token())
        verify(".".join(parts))
        rejection(damage(*parts))

    def test_standard_base64_alphabet_is_rejected(self):
        """A signature with - and _ is not accepted with + and / instead (RFC 4648 4 and 5)."""
        texts = (token() for _ in range(200))
        text = next(text for text in texts if {"-", "_"} & set(split(text)[2]))
        head, _, signature = text.rpartition(".")
        verify(text)
        rejection(f"{head}.{signature.replace('-', '+').replace('_', '/')}")

    @pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
    def test_unused_bits_of_signature_must_be_zero(self, algorithm):
        """With 64 or 256 bytes, four bits of the last character are unused."""
        text = token(algorithm=algorithm)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        last = alphabet.index(text[-1])
        for bits in range(1, 16):
            changed = text[:-1] + alphabet[last ^ bits]
            assert base64.urlsafe_b64decode(split(changed)[2] + "==") == base64.urlsafe_b64decode(split(text)[2] + "==")
            assert "base64url" in str(rejection(changed))

    def test_token_longer_than_the_limit_is_rejected(self):
        room = jws.MAX_LENGTH - len(token(pad=""))
        longest = token(pad="x" * (room * 3 // 4 - 3))
        assert jws.MAX_LENGTH - 8 < len(longest) <= jws.MAX_LENGTH
        verify(longest)
        assert "longer" in str(rejection(token(pad="x" * (room * 3 // 4 + 6))))

    @pytest.mark.parametrize(
        "text", ["A" * (1 << 20), "." * (1 << 20), "eyJ9." * (1 << 18), "[" * (1 << 20), "ü" * (1 << 20)]
    )
    def test_megabyte_of_text_is_rejected_by_length(self, text):
        assert "longer" in str(rejection(text))


class TestBase64url:
    @given(st.binary(max_size=60))
    def test_decode_reverses_encode(self, data):
        text = base64.urlsafe_b64encode(data).rstrip(b"=")
        assert base64url.encode(data) == text.decode()
        assert base64url.decode(text) == data

    @given(st.binary(max_size=12) | st.text("AQgwEIMUYckos048-_+/=\n B", max_size=12).map(str.encode))
    def test_decode_accepts_exactly_one_text_for_each_value(self, text):
        try:
            data = base64url.decode(text)
        except Malformed:
            # If Python's lenient decoder accepts the text, its own encoding of the value is a different text.
            try:
                value = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            except ValueError:
                return
            assert base64.urlsafe_b64encode(value).rstrip(b"=") != text
        else:
            assert base64.urlsafe_b64encode(data).rstrip(b"=") == text

    def test_decode_of_a_megabyte(self):
        text = b"A" * (1 << 20)
        assert base64url.decode(text) == bytes(3 << 18)
        with pytest.raises(Malformed):
            base64url.decode(text + b"=")
