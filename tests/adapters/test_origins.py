import pytest

from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.adapters.origins import TWILIO, Origins


@pytest.mark.parametrize(
    ("scheme", "host", "port"),
    [
        ("https", "api.twilio.com", 443),
        ("https", "api.twilio.com", None),
        ("https", "API.Twilio.COM", 443),
        ("https", "api.dublin.ie1.twilio.com", 443),
        ("https", "xn--bcher-kva.twilio.com", 443),
        ("https", "a_b.twilio.com", 443),
    ],
)
def test_twilio_hosts_are_allowed(scheme, host, port):
    assert Origins(TWILIO).allow(scheme, host, port)


@pytest.mark.parametrize(
    ("scheme", "host", "port"),
    [
        ("https", "twilio.com", 443),
        ("https", ".twilio.com", 443),
        ("https", "a..twilio.com", 443),
        ("https", "eviltwilio.com", 443),
        ("https", "evil-twilio.com", 443),
        ("https", "api.twilio.com.evil.example", 443),
        ("https", "api.twilio.com.evil", 443),
        ("https", "twilio.com.evil", 443),
        ("https", "api.twilio.com.", 443),
        ("https", "api.twilio.co", 443),
        ("https", "evil.example/.twilio.com", 443),
        ("https", "evil.example\\.twilio.com", 443),
        ("https", "evil.example#.twilio.com", 443),
        ("https", "user@api.twilio.com", 443),
        ("https", "evil.example:443@api.twilio.com", 443),
        ("https", "*.twilio.com", 443),
        ("https", "-.twilio.com", 443),
        ("https", f"{'a' * 64}.twilio.com", 443),
        ("https", "api\n.twilio.com", 443),
        ("https", "api.twilio.com\n", 443),
        ("https", "bücher.twilio.com", 443),
        ("https", "", 443),
        ("https", "127.0.0.1", 443),
        ("https", "api.twilio.com", 8443),
        ("https", "api.twilio.com", 80),
        ("http", "api.twilio.com", 443),
        ("http", "api.twilio.com", None),
        ("wss", "api.twilio.com", None),
        ("ftp", "api.twilio.com", None),
    ],
)
def test_origin_that_looks_like_twilio_is_not_allowed(scheme, host, port):
    assert not Origins(TWILIO).allow(scheme, host, port)


def test_host_without_wildcard_matches_only_itself():
    origins = Origins(["https://api.twilio.com"])
    assert origins.allow("https", "api.twilio.com", 443)
    assert not origins.allow("https", "x.api.twilio.com", 443)
    assert not origins.allow("https", "chat.twilio.com", 443)


@pytest.mark.parametrize(
    ("pattern", "scheme", "host", "port"),
    [
        ("https://api.example.com:8443", "https", "api.example.com", 8443),
        ("https://api.example.com:443", "https", "api.example.com", None),
        ("HTTPS://API.example.com", "https", "api.example.com", 443),
        ("http://localhost", "http", "localhost", 80),
        ("http://localhost:8080", "http", "localhost", 8080),
        ("http://api.localhost:8080", "http", "api.localhost", 8080),
        ("http://127.0.0.1:8080", "http", "127.0.0.1", 8080),
        ("http://[::1]:8080", "http", "::1", 8080),
        ("http://[0:0:0:0:0:0:0:1]", "http", "::1", 80),
        ("https://[2001:db8::1]", "https", "2001:DB8:0::1", 443),
        ("wss://voice.example.com", "wss", "voice.example.com", 443),
        ("ws://127.0.0.1:1", "ws", "127.0.0.1", 1),
        ("ws://localhost", "ws", "localhost", 80),
        ("ws://localhost", "ws", "localhost", None),
        ("ws://[::1]", "ws", "::1", None),
        ("wss://voice.example.com", "wss", "voice.example.com", None),
        ("https://[2001:DB8:0:0::1]:8443", "https", "2001:db8::1", 8443),
        ("https://[2001:db8::1]", "https", "2001:0db8:0000:0000:0000:0000:0000:0001", None),
        ("https://[::ffff:192.0.2.1]", "https", "::ffff:c000:201", 443),
        ("https://192.0.2.1", "https", "192.0.2.1", 443),
        ("https://1.example.com", "https", "1.example.com", 443),
        ("https://1.2.example", "https", "1.2.example", 443),
        ("https://example.1a", "https", "example.1a", 443),
        ("https://api.example.com:65535", "https", "api.example.com", 65535),
        ("https://api.example.com:1", "https", "api.example.com", 1),
    ],
)
def test_ports_and_ip_addresses(pattern, scheme, host, port):
    origins = Origins([pattern])
    assert origins.allow(scheme, host, port)
    assert not origins.allow(scheme, host, 9)
    assert not origins.allow({"https": "http", "http": "https", "wss": "ws", "ws": "wss"}[scheme], host, port or 443)


@pytest.mark.parametrize("host", ["2001:db8::2", "2001:db8::1%eth0", "[2001:db8::1]", "2001:db8::", "::1", "x"])
def test_ipv6_pattern_matches_no_other_host(host):
    assert not Origins(["https://[2001:db8::1]"]).allow("https", host, 443)


@pytest.mark.parametrize(("scheme", "port"), [("ws", 443), ("wss", 80), ("http", 80), ("https", 443)])
def test_default_port_of_a_scheme_is_not_that_of_another(scheme, port):
    assert not Origins(["ws://localhost"]).allow(scheme, "localhost", port)
    assert not Origins(["wss://localhost"]).allow(scheme, "localhost", port)


def test_one_loopback_address_does_not_match_others():
    origins = Origins(["http://127.0.0.1:80"])
    assert not origins.allow("http", "localhost", 80)
    assert not origins.allow("http", "::1", 80)
    assert not origins.allow("http", "127.0.0.2", 80)
    assert not origins.allow("http", "::ffff:127.0.0.1", 80)
    assert not origins.allow("http", "127.1", 80)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "api.twilio.com",
        "https://",
        "https://*",
        "https://*.com",
        "https://*.localhost",
        "https://a*.twilio.com",
        "https://*api.twilio.com",
        "https://api.*.com",
        "https://*.*.twilio.com",
        "https://**.twilio.com",
        "https://.twilio.com",
        "https://twilio..com",
        "https://twilio.com.",
        "https://-a.twilio.com",
        "https://api.twilio.com/",
        "https://api.twilio.com/v1",
        "https://api.twilio.com?x",
        "https://api.twilio.com#x",
        "https://api.twilio.com:",
        "https://api.twilio.com:0",
        "https://api.twilio.com:65536",
        "https://api.twilio.com:٨",
        "https://api.twilio.com\n",
        "https://bücher.example.com",
        "https://\u212aelvin.example.com",
        "https://::1",
        "https://[::1",
        "https://[127.0.0.1x]",
        "https://1.2.3",
        "https://a.example.1",
        "https://*.example.1",
        "https://256.0.0.1",
        "https://[2001:db8::1",
        "https://2001:db8::1",
        "https://[2001:db8::g]",
        "https://[2001:db8:::1]",
        "https://[::1%25eth0]",
        "https://[192.0.2.1]",
        "https://[example.com]",
        "http://[2001:db8::1]",
        "ws://[2001:db8::1]",
        "ws://*.localhost",
        "https://*.0.0.1",
        "https://*.[::1]",
        "http://api.twilio.com",
        "http://*.localhost",
        "http://*.app.localhost",
        "http://10.0.0.1",
        "http://*.0.0.1",
        "ws://api.twilio.com",
        "ftp://api.twilio.com",
    ],
)
def test_invalid_pattern_raises_configuration_error(pattern):
    with pytest.raises(ConfigurationError):
        Origins([pattern])


def test_invalid_pattern_error_does_not_quote_the_password():
    with pytest.raises(ConfigurationError) as caught:
        Origins(["https://user:canary@api.twilio.com"])
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("patterns", [(), [], "https://*.twilio.com"])
def test_empty_or_string_patterns_raise_configuration_error(patterns):
    with pytest.raises(ConfigurationError):
        Origins(patterns)
