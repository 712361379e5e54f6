"""The pure rules that protect the site: URLs, return paths, addresses, limits, cookies."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.sign_in import rate_limit
from twilio_oauth_async.web import security
from twilio_oauth_async.web.cookies import Cookies
from twilio_oauth_async.web.limits import StartLimits, network_of
from twilio_oauth_async.web.security import is_navigation, origin_of, parse_site_url, return_path


@pytest.mark.parametrize(
    "path", ["/", "/reports", "/reports?month=5&x=%2F%2Fevil.example", "/a//b", "/%5Cevil.example"]
)
def test_return_path_of_this_host_is_kept(path: str) -> None:
    assert return_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "reports",
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nSet-Cookie: x=y",
        " /reports",
        "/reports\x00",
        "/\u2028",
        "/\u2215evil.example",
        "javascript:alert(1)",
        "/" + "a" * security.MAX_RETURN_PATH,
    ],
)
def test_return_path_elsewhere_is_ignored(path: str) -> None:
    assert return_path(path) == ""


@pytest.mark.parametrize(
    ("url", "normal", "origin"),
    [
        ("https://app.example/twilio", "https://app.example/twilio", "https://app.example"),
        ("https://app.example/twilio/", "https://app.example/twilio", "https://app.example"),
        ("https://app.example", "https://app.example", "https://app.example"),
        ("https://app.example:443/a/b", "https://app.example:443/a/b", "https://app.example"),
        ("https://App.example:8443/x", "https://App.example:8443/x", "https://app.example:8443"),
        ("http://127.0.0.1:8080/twilio", "http://127.0.0.1:8080/twilio", "http://127.0.0.1:8080"),
        ("http://localhost/twilio", "http://localhost/twilio", "http://localhost"),
        ("http://[::1]:8080/twilio", "http://[::1]:8080/twilio", "http://[::1]:8080"),
        ("http://[0:0::1]/twilio", "http://[0:0::1]/twilio", "http://[::1]"),
        ("https://xn--mnchen-3ya.example/a", "https://xn--mnchen-3ya.example/a", "https://xn--mnchen-3ya.example"),
    ],
)
def test_site_url_and_its_origin(url: str, normal: str, origin: str) -> None:
    parts = parse_site_url(url)
    assert parts.geturl() == normal
    assert origin_of(parts) == origin


@pytest.mark.parametrize(
    "url",
    [
        None,
        b"https://app.example",
        "",
        "/twilio",
        "app.example/twilio",
        "http://app.example/twilio",
        "https://",
        "https://user:secret@app.example/",
        "https://app.example/?a=b",
        "https://app.example/#a",
        "https://app.example/a b",
        'https://app.example/a"b',
        "https://app.example//a",
        "https://app.example/a//b",
        "https://app.example/a/../b",
        "https://app.example/%zz",
        "https://app.example/a%20b",
        "https://m\u00fcnchen.example/a",
        "https://app.example:x/",
        "https://app.example/\n",
        "ftp://app.example/",
    ],
)
def test_invalid_site_url_is_refused(url: object) -> None:
    with pytest.raises(ConfigurationError, match="url must be the public URL of the site"):
        parse_site_url(url)


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {"accept": "text/html,*/*"}, True),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "navigate"}, True),
        ("GET", {"accept": "text/html", "sec-fetch-mode": "cors"}, False),
        ("GET", {"accept": "application/json"}, False),
        ("GET", {"accept": "*/*"}, False),
        ("GET", {}, False),
        ("POST", {"accept": "text/html"}, False),
    ],
)
def test_navigation_is_recognized(method: str, headers: dict[str, str], expected: bool) -> None:
    assert is_navigation(method, headers) is expected


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.7:52044", "192.0.2.7"),
        ("[2001:db8:1:2::6]:443", "2001:db8:1:2::/64"),
        ("64:ff9b::c000:207", "192.0.2.7"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_network_that_is_counted(address: str, network: str) -> None:
    assert network_of(address) == network


def test_limit_counts_within_a_minute() -> None:
    allowed = StartLimits(per_visitor=2, per_address=100)
    assert [allowed.start("ada", "", now) for now in (0.0, 10.0)] == [0.0, 0.0]
    assert allowed.start("ada", "", 20.0) == 40.0
    assert allowed.start("bob", "", 20.0) == 0.0
    assert allowed.start("ada", "", 59.0) == 1.0
    assert allowed.start("ada", "", 60.0) == 0.0, "what was refused is not counted"
    assert allowed.start("ada", "", 60.0) == 10.0


def test_limit_of_an_address_holds_for_all_visitors_of_its_network() -> None:
    allowed = StartLimits(per_visitor=9, per_address=2)
    assert allowed.start("ada", "2001:db8::1", 0.0) == 0.0
    assert allowed.start("bob", "2001:db8::2", 1.0) == 0.0
    assert allowed.start("eve", "2001:db8::3", 2.0) == 58.0
    assert allowed.start("eve", "2001:db8:0:1::3", 2.0) == 0.0
    assert allowed.start("ada", "", 2.0) == 0.0, "an address that is not known is not limited"


def test_limit_follows_a_browser_with_a_new_secret() -> None:
    allowed = StartLimits(per_visitor=1, per_address=9)
    assert allowed.start("old", "", 0.0) == 0.0
    allowed.rename("old", "new")
    assert allowed.start("new", "", 1.0) == 59.0
    assert allowed.start("old", "", 1.0) == 0.0
    allowed.rename("unknown", "other")


def test_limit_forgets_what_is_over_and_never_grows_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 10)
    allowed = StartLimits(per_visitor=1, per_address=1)
    for number in range(100):
        assert allowed.start(f"visitor{number}", f"192.0.2.{number}", 0.0) == 0.0
    assert len(allowed._visitors._times) == len(allowed._addresses._times) == 10
    assert allowed.start("late", "198.51.100.1", 60.0) == 0.0
    assert list(allowed._visitors._times) == ["late"]


def test_cookies_of_two_sites_have_different_names() -> None:
    names = {Cookies(parse_site_url(f"https://app.example/{path}")).visitor for path in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("__Host-") for name in names)
    assert not Cookies(urlsplit("http://127.0.0.1/a")).visitor.startswith("__Host-")
