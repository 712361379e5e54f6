"""Validation of the claims of an ID token (rules 27 to 29 and 31, docs/reliability.md)."""

import json
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from tests.helpers.jose import ACCESS_TOKEN, CLAIMS, CLIENT, NOW, STAMP, at_hash, jwk, rejection, token, verify
from twilio_oauth_async import IdTokenClaims, IdTokenError
from twilio_oauth_async.oidc.id_token_validation import check_refreshed, read_stored

OTHER_CLIENT = "OQ-canary"


class TestClaims:
    def test_verify_returns_every_claim(self):
        claims = verify(
            token(
                nonce="n",
                at_hash=at_hash(ACCESS_TOKEN),
                acr="2",
                amr=["pwd", "otp"],
                name="Ada Example",
                given_name="Ada",
                family_name="Example",
                email="ada@example.com",
                email_verified=True,
                phone_number="+15550100",
                phone_number_verified=False,
                sid="s",
            )
        )
        assert claims == IdTokenClaims(
            iss="https://iam.twilio.com",
            sub="US-canary",
            aud=(CLIENT,),
            azp=CLIENT,
            exp=datetime(2026, 1, 1, 1, tzinfo=UTC),
            iat=NOW,
            nbf=NOW,
            auth_time=datetime(2025, 12, 31, 23, 59, tzinfo=UTC),
            nonce="n",
            at_hash=at_hash(ACCESS_TOKEN),
            acr="2",
            amr=("pwd", "otp"),
            name="Ada Example",
            given_name="Ada",
            family_name="Example",
            email="ada@example.com",
            email_verified=True,
            phone_number="+15550100",
            phone_number_verified=False,
            extra={"sid": "s"},
        )
        assert claims.exp.tzinfo is UTC

    def test_verify_accepts_token_with_required_claims_only(self):
        claims = verify(token({name: CLAIMS[name] for name in ("iss", "sub", "aud", "exp", "iat")}))
        assert claims.sub == "US-canary"
        assert {field.name for field in attrs.fields(IdTokenClaims) if getattr(claims, field.name) is not None} == {
            "iss", "sub", "aud", "exp", "iat", "extra",
        }  # fmt: skip

    def test_null_claim_is_treated_as_absent(self):
        names = ["azp", "nbf", "auth_time", "nonce", "at_hash", "acr", "amr", "name", "email_verified"]
        claims = verify(token(**dict.fromkeys(names), other=None), access_token=ACCESS_TOKEN)
        assert {getattr(claims, name) for name in names} == {None}
        assert claims.extra == {"other": None}

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat"])
    @pytest.mark.parametrize("value", [..., None])
    def test_missing_required_claim_is_rejected(self, name, value):
        assert rejection(token(**{name: value})).claim == name

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(
                (name, value)
                for name in ("iss", "sub", "azp", "nonce", "at_hash", "acr")
                for value in (5, ["x"], {}, True)
            ),
            *(("aud", value) for value in (5, {}, True, [5], [CLIENT, None], [[CLIENT]])),
            *(("amr", value) for value in ("pwd", 5, [5], {"pwd": 1})),
        ],
    )
    def test_claim_of_wrong_type_is_rejected(self, name, value):
        assert rejection(token(**{name: value})).claim == name

    @pytest.mark.parametrize("subject", ["", "x" * 256, "ÜS"])
    def test_invalid_sub_is_rejected(self, subject):
        assert rejection(token(sub=subject)).claim == "sub"

    def test_sub_of_maximum_length_is_accepted(self):
        assert verify(token(sub="x" * 255)).sub == "x" * 255

    def test_profile_claims_of_wrong_type_go_to_extra(self):
        mistyped = {"name": 5, "email": ["a"], "email_verified": "true", "phone_number": {}}
        claims = verify(token(**mistyped, given_name="Ada", extra="mine"))
        assert claims.extra == {**mistyped, "extra": "mine"}
        assert (claims.name, claims.email, claims.email_verified, claims.given_name) == (None, None, None, "Ada")

    def test_repr_of_claims_hides_profile(self):
        names = ("nonce", "name", "given_name", "family_name", "email", "phone_number", "address")
        private = dict.fromkeys(names, "canary")
        claims = verify(token(sub="US1", **private))
        assert "canary" not in repr(claims)
        assert "US1" in repr(claims)
        assert len({claims, verify(token(sub="US1", **private))}) == 1


class TestForm:
    """Rule 27 for the payload. For the rest see `test_jws.py`."""

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"sub":"a","sub":"b"}',
            b'{"a":{"b":1,"b":1}}',
            b'{"exp":NaN}',
            b'{"exp":Infinity}',
            b'{"exp":1e999}',
            b'{"exp":' + b"9" * 65 + b"}",
            b'{"name":"\\ud800"}',
            b'\xef\xbb\xbf{"sub":"a"}',
            b'{"sub":"\xff"}',
            b'{"sub":"a"} x',
            b"",
            b"[]",
            b'"x"',
            b"null",
            b"{",
            b"[" * 100_000,
            b'{"a":' * 10_000,
        ],
        ids=lambda payload: repr(payload[:24]),
    )
    def test_payload_that_is_not_a_well_formed_json_object_is_rejected(self, payload):
        assert rejection(token(payload)).claim is None

    def test_repeated_sub_is_rejected_in_any_order(self):
        valid = json.dumps(CLAIMS).encode()
        assert verify(token(valid)).sub == "US-canary"
        for repeated in (b'{"sub":"US-canary",' + valid[1:], valid[:-1] + b',"sub":"US-other-canary"}'):
            assert "repeated" in str(rejection(token(repeated)))


class TestDates:
    """Rule 28."""

    @pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
    @pytest.mark.parametrize(
        "value", [True, False, "1", str(STAMP + 60), "", [STAMP], {}, -1, -1.5, 253_402_300_800, 1e18, 10**40]
    )
    def test_invalid_date_claim_is_rejected(self, name, value):
        assert rejection(token(**{name: value})).claim == name

    def test_dates_keep_fractions_of_a_second(self):
        claims = verify(token(iat=STAMP + 0.25, exp=STAMP + 0.5), leeway=1)
        assert (claims.iat, claims.exp) == (NOW + timedelta(seconds=0.25), NOW + timedelta(seconds=0.5))

    def test_latest_possible_date_is_accepted(self):
        assert verify(token(exp=253_402_300_799)).exp.year == 9999
        assert rejection(token(nbf=253_402_300_799)).claim == "nbf"

    @pytest.mark.parametrize(
        ("claim", "offset", "leeway", "valid"),
        [
            # `offset`: seconds from the date of the claim to now.
            ("exp", -1, 0, True),
            ("exp", -0.001, 0, True),
            ("exp", 0, 0, False),
            ("exp", 59.999, 60, True),
            ("exp", 60, 60, False),
            ("exp", 86_400, 60, False),
            ("nbf", 0, 0, True),
            ("nbf", -0.001, 0, False),
            ("nbf", -60, 60, True),
            ("nbf", -60.001, 60, False),
            ("iat", 0, 0, True),
            ("iat", -0.001, 0, False),
            ("iat", -60, 60, True),
            ("iat", -60.001, 60, False),
            ("iat", 86_400 * 365, 60, True),
        ],
    )
    def test_exp_nbf_and_iat_with_clock_skew(self, claim, offset, leeway, valid):
        text = token({**CLAIMS, "iat": 0, "nbf": 0, "exp": 2 * STAMP, claim: STAMP})
        options = {"now": NOW + timedelta(seconds=offset), "leeway": leeway}
        if valid:
            verify(text, **options)
        else:
            assert rejection(text, **options).claim == claim


class TestIssuerAndClient:
    """Rule 29: ``iss``, ``aud`` and ``azp``."""

    @pytest.mark.parametrize(
        "issuer",
        [
            "https://iam.twilio.com/",
            "https://IAM.twilio.com",
            "http://iam.twilio.com",
            "iam.twilio.com",
            "",
            " https://iam.twilio.com",
        ],
    )
    def test_different_issuer_is_rejected(self, issuer):
        assert rejection(token(iss=issuer)).claim == "iss"

    @pytest.mark.parametrize("audience", [CLIENT, [CLIENT], [CLIENT, "other"], ["other", CLIENT], [CLIENT, CLIENT]])
    def test_audience_with_the_client_is_accepted(self, audience):
        assert verify(token(aud=audience)).aud == ((audience,) if isinstance(audience, str) else tuple(audience))

    @pytest.mark.parametrize(
        "audience", [OTHER_CLIENT, [OTHER_CLIENT], [], "", CLIENT.lower(), CLIENT + " ", CLIENT[:-1], f"{CLIENT},x"]
    )
    def test_audience_without_the_client_is_rejected(self, audience):
        assert rejection(token(aud=audience)).claim == "aud"

    @pytest.mark.parametrize("audience", [[CLIENT, "other"], [CLIENT, CLIENT]])
    def test_several_audiences_without_azp_are_rejected(self, audience):
        assert rejection(token(aud=audience, azp=...)).claim == "azp"
        assert verify(token(aud=[CLIENT], azp=...)).azp is None

    @pytest.mark.parametrize("party", [OTHER_CLIENT, "", CLIENT.lower()])
    def test_azp_of_another_client_is_rejected(self, party):
        assert rejection(token(azp=party)).claim == "azp"
        assert rejection(token(azp=party, aud=[CLIENT, party])).claim == "azp"


class TestNonceAndAtHash:
    """Rule 29: the token belongs to this sign-in and to this access token."""

    @pytest.mark.parametrize("nonce", ["n-0S6_WzA2Mj", "ü", "", "\ud800"])
    def test_nonce_other_than_the_sent_one_is_rejected(self, nonce):
        if nonce != "\ud800":
            assert verify(token(nonce=nonce), nonce=nonce).nonce == nonce
        for other in ("canary", "n-0S6_WzA2Mk", ..., None):
            assert rejection(token(nonce=other), nonce=nonce).claim == "nonce"

    def test_nonce_is_not_checked_if_none_was_sent(self):
        assert verify(token(nonce="n")).nonce == "n"

    @pytest.mark.parametrize(
        ("algorithm", "digest"),
        [
            ("ES256", "sha256"),
            ("RS256", "sha256"),
            ("ES384", "sha384"),
            ("PS384", "sha384"),
            ("ES512", "sha512"),
            ("RS512", "sha512"),
        ],
    )
    def test_at_hash_uses_the_hash_function_of_the_algorithm(self, algorithm, digest):
        keys = (jwk(algorithm),)
        valid = token(algorithm=algorithm, at_hash=at_hash(ACCESS_TOKEN, digest))
        verify(valid, *keys, algorithms=[algorithm], access_token=ACCESS_TOKEN)
        for wrong in {at_hash(ACCESS_TOKEN, other) for other in ("sha256", "sha384", "sha512") if other != digest}:
            invalid = token(algorithm=algorithm, at_hash=wrong)
            assert rejection(invalid, *keys, algorithms=[algorithm], access_token=ACCESS_TOKEN).claim == "at_hash"

    @pytest.mark.parametrize(
        "value", [at_hash("other"), at_hash(ACCESS_TOKEN)[:-1], at_hash(ACCESS_TOKEN) + "=", "", "ü"]
    )
    def test_at_hash_of_another_access_token_is_rejected(self, value):
        for access_token in (ACCESS_TOKEN, "\ud800", ""):
            assert rejection(token(at_hash=value), access_token=access_token).claim == "at_hash"

    def test_at_hash_is_checked_only_with_claim_and_access_token(self):
        assert verify(token(), access_token=ACCESS_TOKEN).at_hash is None
        assert verify(token(at_hash="other")).at_hash == "other"


class TestRefreshed:
    """Rule 31."""

    def claims(self, **changes):
        return verify(token(**changes))

    def test_check_refreshed_accepts_token_of_the_same_sign_in(self):
        first = self.claims(nonce="n", aud=[CLIENT, "other"])
        for changes in (
            {"nonce": "n"},
            {"nonce": ...},
            {"exp": STAMP + 7200, "iat": STAMP + 1},
            {"auth_time": ...},
            {"aud": ["other", CLIENT]},
            {"aud": ["other", "third", CLIENT]},
        ):
            check_refreshed(self.claims(**{"nonce": "n", "aud": [CLIENT, "other"], **changes}), first)

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "other"},
            {"sub": "US-other-canary"},
            {"aud": ("other-canary",)},
            {"aud": ()},
            {"azp": "other-canary"},
            {"azp": None},
            {"auth_time": NOW},
            {"nonce": "m"},
            {"nonce": ""},
        ],
        ids=str,
    )
    def test_check_refreshed_with_changed_claim_raises(self, changes):
        first = self.claims(nonce="n")
        with pytest.raises(IdTokenError) as caught:
            check_refreshed(attrs.evolve(first, **changes), first)
        assert caught.value.claim in changes
        assert "canary" not in str(caught.value)

    @pytest.mark.parametrize("name", ["azp", "nonce"])
    def test_57_check_refreshed_with_a_claim_that_the_previous_token_did_not_have_raises(self, name):
        """OpenID Connect Core 12.2: azp must not be present then, and a nonce must be that of the sign-in."""
        first, new = self.claims(**{name: ...}), self.claims(**{name: CLIENT})
        with pytest.raises(IdTokenError) as caught:
            check_refreshed(new, first)
        assert caught.value.claim == name
        check_refreshed(first, first)

    def test_read_stored_accepts_expired_token(self):
        stored = token(exp=STAMP - 86_400, algorithm="RS256")
        assert rejection(stored).claim == "exp"
        assert read_stored(stored).sub == "US-canary"
        with pytest.raises(IdTokenError):
            read_stored("x.y")
