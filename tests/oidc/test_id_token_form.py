"""The compact form and its header (rules 24, 25 and 27)."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.jose import CLAIMS, b64, jwk, private_key, refusal, signature, token, verify
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.oidc import base64url, jws
from twilio_oauth_async.oidc.jwa import ALGORITHMS, allowed_algorithms
from twilio_oauth_async.protocol.codec import Malformed


def split(text):
    return text.split(".")


class TestAlgorithms:
    """Rule 24."""

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_each_that_can_be_allowed(self, algorithm):
        assert verify(token(algorithm=algorithm), jwk(algorithm), algorithms=[algorithm]).sub == "US-canary"

    @pytest.mark.parametrize("algorithm", ["ES384", "RS512", "PS256"])
    def test_a_good_signature_by_one_that_is_not_allowed(self, algorithm):
        assert refusal(token(algorithm=algorithm), jwk(algorithm)).claim == "alg"

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
    def test_no_other_algorithm_in_any_spelling(self, alg, signed):
        assert refusal(token(header={"alg": alg}, signed=signed)).claim == "alg"

    @pytest.mark.parametrize("name", ["none", "None", "HS256", "EdDSA", "dir", "", 5, None, ["ES256"]])
    def test_what_cannot_be_allowed(self, name):
        with pytest.raises(ConfigurationError, match="cannot be allowed, only ES256, "):
            allowed_algorithms(["ES256", name])

    @pytest.mark.parametrize("names", [[], "ES256", None, 5])
    def test_no_list(self, names):
        with pytest.raises(ConfigurationError, match="for example"):
            allowed_algorithms(names)

    def test_the_names_of_the_discovery_document(self):
        assert list(allowed_algorithms(("ECDSA", "RSA256"))) == ["ES256", "RS256"]
        assert verify(token(), algorithms=["ECDSA"]).sub == "US-canary"


class TestHeader:
    """Rule 25."""

    @pytest.mark.parametrize("crit", [[], ["exp"], ["b64"], ["alg"], "b64", None, {}])
    def test_no_extension_is_understood(self, crit):
        assert refusal(token(header={"crit": crit, "b64": True})).claim == "crit"

    def test_a_payload_that_is_signed_unencoded(self):
        """RFC 7797 3 without ``crit``: not understood, and so not followed."""
        header, claims = (json.dumps(part).encode() for part in ({"alg": "ES256", "kid": "IC1", "b64": False}, CLAIMS))
        unencoded = signature(b64(header).encode() + b"." + claims)
        assert "signature" in str(refusal(token(claims, header=header, signed=unencoded)))
        assert verify(token(claims, header=header)).sub == "US-canary"

    @pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
    def test_a_key_that_the_token_brings_along(self, name):
        stranger = private_key("ES256", "stranger")
        brought = {
            "jwk": jwk(name="stranger"),
            "jku": "https://canary.example/keys.json",
            "x5u": "https://canary.example/cert.pem",
            "x5c": [base64.b64encode(b"canary").decode()],
        }.get(name, "canary")
        assert "signature" in str(refusal(token(header={name: brought}, key=stranger)))
        # It does no harm beside a good signature.
        assert verify(token(header={name: brought})).sub == "US-canary"

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", "application/JWT", None, ...])
    def test_the_type_of_an_id_token(self, typ):
        assert verify(token(header={"typ": typ})).sub == "US-canary"

    @pytest.mark.parametrize(
        "typ", ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "JOSE", "JWTx", "", 5, ["JWT"]]
    )
    def test_a_token_of_another_type(self, typ):
        """RFC 8725 3.11: an access token is signed with the same keys, for the same client perhaps."""
        assert refusal(token(header={"typ": typ})).claim == "typ"

    @pytest.mark.parametrize("kid", [5, True, ["IC1"], {"kid": "IC1"}])
    def test_a_key_id_that_is_not_text(self, kid):
        assert refusal(token(header={"kid": kid})).claim == "kid"

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
    def test_a_header_that_is_not_one_plain_object(self, header):
        assert refusal(token(header=header)).claim is None

    def test_headers_are_kept_in_a_small_number(self):
        for number in range(100):
            verify(token(header={"x": number}))
        assert jws._read_header.cache_info().currsize <= jws._HEADERS_KEPT


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
    def test_anything_but_three_parts_of_base64url(self, damage):
        parts = split(token())
        verify(".".join(parts))
        refusal(damage(*parts))

    def test_the_other_alphabet(self):
        """A signature with - and _ in it does not verify with + and / (RFC 4648 4 and 5)."""
        texts = (token() for _ in range(200))
        text = next(text for text in texts if {"-", "_"} & set(split(text)[2]))
        head, _, signature = text.rpartition(".")
        verify(text)
        refusal(f"{head}.{signature.replace('-', '+').replace('_', '/')}")

    @pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
    def test_unused_bits_of_a_signature_are_zero(self, algorithm):
        """64 or 256 bytes leave four bits of the last character, which nobody signs."""
        text = token(algorithm=algorithm)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        last = alphabet.index(text[-1])
        for bits in range(1, 16):
            changed = text[:-1] + alphabet[last ^ bits]
            assert base64.urlsafe_b64decode(split(changed)[2] + "==") == base64.urlsafe_b64decode(split(text)[2] + "==")
            assert "base64url" in str(refusal(changed))

    def test_the_size_cap(self):
        room = jws.MAX_LENGTH - len(token(pad=""))
        longest = token(pad="x" * (room * 3 // 4 - 3))
        assert jws.MAX_LENGTH - 8 < len(longest) <= jws.MAX_LENGTH
        verify(longest)
        assert "longer" in str(refusal(token(pad="x" * (room * 3 // 4 + 6))))

    @pytest.mark.parametrize(
        "text", ["A" * (1 << 20), "." * (1 << 20), "eyJ9." * (1 << 18), "[" * (1 << 20), "ü" * (1 << 20)]
    )
    def test_a_megabyte_is_not_looked_at(self, text):
        assert "longer" in str(refusal(text))


class TestBase64url:
    @given(st.binary(max_size=60))
    def test_there_and_back(self, data):
        text = base64.urlsafe_b64encode(data).rstrip(b"=")
        assert base64url.encode(data) == text.decode()
        assert base64url.decode(text) == data

    @given(st.binary(max_size=12) | st.text("AQgwEIMUYckos048-_+/=\n B", max_size=12).map(str.encode))
    def test_for_every_value_there_is_one_text(self, text):
        try:
            data = base64url.decode(text)
        except Malformed:
            # Python's reader is asked whether there was anything to read: if so, its own text for it is another one.
            try:
                lax = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            except ValueError:
                return
            assert base64.urlsafe_b64encode(lax).rstrip(b"=") != text
        else:
            assert base64.urlsafe_b64encode(data).rstrip(b"=") == text

    def test_a_megabyte(self):
        text = b"A" * (1 << 20)
        assert base64url.decode(text) == bytes(3 << 18)
        with pytest.raises(Malformed):
            base64url.decode(text + b"=")
