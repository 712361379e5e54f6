import attrs
import pytest

from twilio_oauth_async import ConfigurationError, OpenidDiscovery, ProtocolError
from twilio_oauth_async.protocol.discovery import trusted_endpoint

BASE, ISSUER = "https://oauth.twilio.com", "https://iam.twilio.com"
GOOD = OpenidDiscovery(issuer=ISSUER, revocation_endpoint=f"{BASE}/oauth2/revoke")


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
def test_endpoints_on_the_api_s_or_the_issuer_s_host(url):
    assert trusted(attrs.evolve(GOOD, revocation_endpoint=url)) == url


def test_an_emulator_on_loopback():
    url = "http://127.0.0.1:5000/revoke"
    assert trusted(attrs.evolve(GOOD, revocation_endpoint=url), "http://127.0.0.1:5000") == url


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
def test_endpoints_elsewhere(url):
    with pytest.raises(ProtocolError, match="neither on the API's") as caught:
        trusted(attrs.evolve(GOOD, revocation_endpoint=url))
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("issuer", [None, "https://iam.twilio.com/", "https://IAM.twilio.com", "https://evil.example"])
def test_the_issuer_is_compared_to_the_letter(issuer):
    with pytest.raises(ProtocolError, match="another issuer"):
        trusted(attrs.evolve(GOOD, issuer=issuer))


def test_a_server_without_the_endpoint():
    with pytest.raises(ConfigurationError, match="names no revocation_endpoint"):
        trusted(attrs.evolve(GOOD, revocation_endpoint=None))
