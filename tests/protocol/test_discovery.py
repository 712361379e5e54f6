import attrs
import pytest

from twilio_oauth_async import ConfigurationError, OpenidDiscovery, ProtocolError, RevocationUnsupported
from twilio_oauth_async.protocol.discovery import trusted_endpoint

BASE, ISSUER = "https://oauth.twilio.com", "https://iam.twilio.com"
DOCUMENT = OpenidDiscovery(issuer=ISSUER, revocation_endpoint=f"{BASE}/oauth2/revoke")


def trusted(discovery, base_url=BASE):
    return trusted_endpoint(discovery, "revocation_endpoint", issuer=ISSUER, base_url=base_url)


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/oauth2/revoke",
        f"{ISSUER}/oauth2/revoke",
        "https://OAUTH.twilio.com/x",
        "https://oauth.twilio.com:443/x",
    ],
)
def test_trusted_endpoint_on_host_of_api_or_issuer_is_returned(url):
    assert trusted(attrs.evolve(DOCUMENT, revocation_endpoint=url)) == url


def test_trusted_endpoint_on_loopback_with_loopback_base_url_is_returned():
    url = "http://127.0.0.1:5000/revoke"
    assert trusted(attrs.evolve(DOCUMENT, revocation_endpoint=url), "http://127.0.0.1:5000") == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/revoke",
        "https://oauth.twilio.com.evil.example/",
        "http://oauth.twilio.com/revoke",
        "https://oauth.twilio.com:8443/revoke",
        "https://oauth.twilio.com@evil.example/",
        "https://me@oauth.twilio.com/",
        "http://127.0.0.1:1/",
        "javascript:alert(1)",
        "/oauth2/revoke",
        "https://oauth.twilio.com/\r\nX",
        "",
    ],
)
def test_trusted_endpoint_on_other_origin_raises(url):
    with pytest.raises(ProtocolError, match="is not an https URL on the host of") as caught:
        trusted(attrs.evolve(DOCUMENT, revocation_endpoint=url))
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("issuer", [None, "https://iam.twilio.com/", "https://IAM.twilio.com", "https://evil.example"])
def test_trusted_endpoint_with_different_issuer_raises(issuer):
    with pytest.raises(ProtocolError, match="not the issuer of the session"):
        trusted(attrs.evolve(DOCUMENT, issuer=issuer))


def test_trusted_endpoint_missing_in_document_raises():
    with pytest.raises(RevocationUnsupported, match="has no revocation_endpoint"):
        trusted(attrs.evolve(DOCUMENT, revocation_endpoint=None))
    with pytest.raises(ConfigurationError, match="has no authorization_endpoint"):
        trusted_endpoint(DOCUMENT, "authorization_endpoint", issuer=ISSUER, base_url=BASE)


def test_trusted_endpoint_with_user_information_raises_also_if_the_issuer_has_some():
    issuer = "https://me@iam.twilio.com"
    document = attrs.evolve(DOCUMENT, issuer=issuer, revocation_endpoint="https://me@evil.example/revoke")
    with pytest.raises(ProtocolError, match="is not an https URL on the host of"):
        trusted_endpoint(document, "revocation_endpoint", issuer=issuer, base_url="https://oauth.twilio.com")
