"""Redirect URIs on 127.0.0.1 are sent as they were given, and requests for them are recognised (fault 56)."""

import pytest

from twilio_oauth_async.protocol.loopback_redirect import is_request_for, port_of, with_port


@pytest.mark.parametrize(
    ("uri", "port"),
    [
        ("http://127.0.0.1/callback", 0),
        ("http://127.0.0.1", 0),
        ("http://127.0.0.1:", 0),
        ("http://127.0.0.1:0", 0),
        ("http://127.0.0.1:8000/callback?a=1", 8000),
        ("https://127.0.0.1:8000/", None),
        ("http://localhost:8000/", None),
        ("http://user@127.0.0.1:8000/", None),
        ("http://127.0.0.1:8000@attacker.example/", None),
        ("http://127.0.0.1:x/", None),
        ("http://127.0.0.1:٨٠/", None),
        ("http://[::1]:8000/", None),
    ],
)
def test_port_of_a_redirect_uri_on_loopback(uri, port):
    assert port_of(uri) == port


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:8000/callback"),
        ("http://127.0.0.1:0/callback", "http://127.0.0.1:8000/callback"),
        ("http://127.0.0.1", "http://127.0.0.1:8000"),
        ("http://127.0.0.1?app=1", "http://127.0.0.1:8000?app=1"),
        ("http://127.0.0.1/127.0.0.1/%7e{a}?a=%20", "http://127.0.0.1:8000/127.0.0.1/%7e{a}?a=%20"),
        ("http://127.0.0.1:9000/Ü%2f", "http://127.0.0.1:9000/Ü%2f"),
    ],
)
def test_only_a_missing_port_is_added(given, sent):
    assert with_port(given, 8000) == sent


@pytest.mark.parametrize(
    ("uri", "target", "is_for_it"),
    [
        ("http://127.0.0.1:8000/callback", "/callback?code=1", True),
        ("http://127.0.0.1:8000/callback", "/callback", True),
        ("http://127.0.0.1:8000/callback", "/callback/?code=1", False),
        ("http://127.0.0.1:8000/callback", "/Callback?code=1", False),
        ("http://127.0.0.1:8000/callback", "/?code=1", False),
        ("http://127.0.0.1:8000", "/?code=1", True),
        ("http://127.0.0.1:8000/", "/?code=1", True),
        ("http://127.0.0.1:8000/a b", "/a%20b?code=1", True),
        ("http://127.0.0.1:8000/a%20b", "/a%20b?code=1", True),
        ("http://127.0.0.1:8000/a%20b", "/a+b?code=1", False),
        ("http://127.0.0.1:8000/zurück", "/zur%C3%BCck?code=1", True),
        ("http://127.0.0.1:8000/zur%c3%bcck", "/zur%C3%BCck?code=1", True),
        ("http://127.0.0.1:8000/{app}", "/%7Bapp%7D?code=1", True),
        ("http://127.0.0.1:8000/{app}", "/{app}?code=1", True),
        ("http://127.0.0.1:8000/%7Ea%41", "/~aA?code=1", True),
        ("http://127.0.0.1:8000/a%2Fb", "/a/b?code=1", False),
        ("http://127.0.0.1:8000/callback?app=1", "/callback?app=1&code=1", True),
        ("http://127.0.0.1:8000/callback?app=ü", "/callback?app=%C3%BC&code=1", True),
        ("http://127.0.0.1:8000/callback?app=1", "/callback?app=1", True),
        ("http://127.0.0.1:8000/callback?app=1", "/callback?app=12&code=1", False),
        ("http://127.0.0.1:8000/callback?app=1", "/callback?code=1&app=1", False),
        ("http://127.0.0.1:8000/callback?app=1", "/callback?code=1", False),
    ],
)
def test_request_for_a_redirect_uri(uri, target, is_for_it):
    assert is_request_for(uri, target) is is_for_it
