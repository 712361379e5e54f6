import pytest

from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.protocol.endpoints import choose_base_url, is_secure


@pytest.mark.parametrize(
    ("region", "edge", "expected"),
    [
        (None, None, "https://oauth.twilio.com"),
        ("", "", "https://oauth.twilio.com"),
        ("ie1", None, "https://oauth.ie1.twilio.com"),
        (None, "dublin", "https://oauth.dublin.us1.twilio.com"),
        ("IE1", "Dublin", "https://oauth.dublin.ie1.twilio.com"),
    ],
)
def test_choose_base_url_with_region_and_edge_returns_twilio_host(region, edge, expected):
    assert choose_base_url(None, region, edge) == expected


@pytest.mark.parametrize("label", ["evil.example/", "a.b", "-a", "a b", "a@b", "ü"])
def test_choose_base_url_with_invalid_host_label_raises(label):
    with pytest.raises(ConfigurationError, match="one label"):
        choose_base_url(None, label, None)
    with pytest.raises(ConfigurationError, match="one label"):
        choose_base_url(None, None, label)


@pytest.mark.parametrize(
    "url",
    [
        "https://oauth.example",
        "https://oauth.example/twilio",
        "https://oauth.example:8443",
        "http://127.0.0.1:1234",
        "http://127.9.9.9",
        "http://[::1]:80",
        "http://localhost:80",
        "http://twilio.localhost",
        "https://OAuth.Example",
        "https://oauth.example.",
        "https://oauth_1.example",
        "https://1.example.com",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        f"https://{'a' * 63}.example",
        "https://xn--fa-hia.example",
    ],
)
def test_choose_base_url_accepts_https_and_loopback_http_urls(url):
    assert choose_base_url(url + "/", None, None) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "oauth.example",
        "http://oauth.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "ftp://oauth.example",
        "https://",
        "https://oauth.example:port",
        "https://[::1",
        "https://me:pw@oauth.example",
        "https://oauth.example?x=1",
        "https://oauth.example/?",
        "https://oauth.example#x",
        "https://oauth.example/ü",
        "https://oauth.example/a b",
        "https://oauth.example/\r\nX: y",
        "https://oauth.example\n",
        "https://a..example",
        "https://.example",
        "https://-a.example",
        "https://a-.example",
        "https://*.example",
        "https://%61.example",
        f"https://{'a' * 64}.example",
        f"https://{'a.' * 130}example",
        "https://a.example.1",
        "https://127.1",
        "https://256.0.0.1",
        "http://" + "a" * 64 + ".localhost",
    ],
)
def test_choose_base_url_with_insecure_or_invalid_url_raises(url):
    with pytest.raises(ConfigurationError) as caught:
        choose_base_url(url, None, None)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("names", [{"region": "ie1"}, {"edge": "dublin"}])
def test_choose_base_url_with_base_url_and_region_or_edge_raises(names):
    with pytest.raises(ConfigurationError, match="either base_url"):
        choose_base_url("https://oauth.example", **{"region": None, "edge": None, **names})


def test_is_secure():
    assert not is_secure("http://example.com")
    assert not is_secure("javascript:alert(1)")
    assert is_secure("https://example.com/x?y=z")
