"""The arguments of `SignInSite`: wrong ones, and those that change what the pages look like and say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.web_site import SECRET, Visitor, approve, open_site, serving
from twilio_oauth_async import (
    AuthorizationCodeFlow,
    ConfigurationError,
    DeviceFlow,
    DeviceFlowPool,
    MemoryTokenStore,
    OAuthSession,
)
from twilio_oauth_async.web import PAGE_TEXTS, SignInSite
from twilio_oauth_async.web.http_messages import Request, Response

URL = "https://app.example/twilio"


def code_flow(redirect_uri: str | None) -> AuthorizationCodeFlow:
    return AuthorizationCodeFlow(OAuthSession("AC1", "secret"), client_sid="OQ1", redirect_uri=redirect_uri)


def pool() -> DeviceFlowPool:
    flow = DeviceFlow(OAuthSession("AC1", "secret"), client_sid="OQ1", scopes=["openid"])
    return DeviceFlowPool(flow, tokens=MemoryTokenStore())


def site(runner: Any = None, **arguments: Any) -> SignInSite:
    return SignInSite(runner or pool(), **({"url": URL, "app_name": "Example"} | arguments))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"runner": "pool"}, "runner must be a DeviceFlowRunner"),
        ({"url": "/twilio"}, "url must be the public URL of the site"),
        ({"app_name": ""}, "app_name must be a text"),
        ({"app_name": "a\nb"}, "app_name must be a text"),
        ({"app_name": None}, "app_name must be a text"),
        ({"identify": "user"}, "identify must be a function that takes a request"),
        ({"client_address": "header"}, "client_address must be a function that takes a request"),
        ({"login_url": ""}, "login_url must be a URL or a path"),
        ({"login_url": "/a\r\nSet-Cookie: x=y"}, "login_url must be a URL or a path"),
        ({"login_url": "javascript:alert(1)"}, "login_url must be a URL or a path, in ASCII"),
        ({"login_url": "/\u30ed"}, "login_url must be a URL or a path, in ASCII"),
        ({"templates": 5}, "templates must be a folder"),
        ({"stylesheet": 5}, "stylesheet must be the path of a file"),
        ({"texts": ["a"]}, "texts must map names to texts"),
        ({"texts": {"problem.too_often": "{seconds:d}"}}, "must have its fields without a format"),
        ({"texts": {"problem.too_often": "{seconds!r}"}}, "must have its fields without a format"),
        ({"clock": "x"}, "clock must be a Clock"),
        ({"secret": b"short"}, "secret must have at least 32 random bytes"),
        ({"secret": "a" * 32}, "secret must have at least 32 random bytes"),
        ({"code_flow": code_flow(f"{URL}/other")}, f"the redirect_uri of code_flow must be {URL}/callback"),
        ({"code_flow": code_flow(None)}, f"the redirect_uri of code_flow must be {URL}/callback"),
        ({"code_flow": "flow"}, "code_flow must be an AuthorizationCodeFlow"),
        ({"templates": Path("/nowhere")}, "templates must be a folder"),
        ({"stylesheet": Path("/nowhere")}, "stylesheet cannot be read: No such file"),
        ({"texts": {"start.titl": "x"}}, "no text of the name 'start.titl'; did you mean 'start.title'"),
        ({"texts": {"start.title": "{code}"}}, "has a field that does not exist there: code"),
        ({"starts_per_visitor": 0}, "starts_per_visitor must be at least 1"),
        ({"starts_per_address": 1.5}, "starts_per_address must be at least 1"),
        ({"streams_per_visitor": True}, "streams_per_visitor must be at least 1"),
    ],
)
def test_wrong_argument_is_reported(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem.replace(".", r"\.")):
        site(**arguments)


def test_code_flow_of_another_client_is_refused() -> None:
    session = OAuthSession("AC1", "secret")
    flow = AuthorizationCodeFlow(session, client_sid="OQ2", redirect_uri=f"{URL}/callback")
    with pytest.raises(ConfigurationError, match="code_flow must have the same client and server as the runner"):
        site(code_flow=flow)


def test_requests_and_responses_show_no_secrets() -> None:
    async def read(_: int) -> bytes | None:
        return None

    request = Request(
        method="GET",
        path="/callback",
        query="code=canary",
        headers={"cookie": "canary"},
        cookies={"a": "canary"},
        address="",
        host_request="canary",
        read_body=read,
    )
    response = Response(headers=(("Set-Cookie", "canary"),))
    assert "canary" not in f"{request!r} {response!r}"


def test_repr_and_url_of_a_site() -> None:
    made = site(url=f"{URL}/", secret=SECRET)
    assert repr(made) == f"SignInSite(url='{URL}')"
    assert made.url == URL
    assert made.sign_in_url() == f"{URL}/"
    assert made.sign_in_url("/reports?a=1&b=/x") == f"{URL}/?next=/reports%3Fa%3D1%26b%3D/x"
    assert made.sign_in_url("//evil.example") == f"{URL}/"


@pytest.mark.asyncio
async def test_site_can_be_opened_and_closed_twice(emulator: Any, state: Path) -> None:
    async with open_site(emulator, state, "http://127.0.0.1:1/twilio") as made:
        await made.open()
        await made.close()
        await made.close()
        assert not made.is_open
        async with made:
            assert made.is_open


@pytest.mark.asyncio
async def test_site_whose_runner_cannot_open_is_not_open() -> None:
    class Runner(DeviceFlowPool):
        async def open(self) -> None:
            raise OSError("no disk")

    flow = DeviceFlow(OAuthSession("AC1", "secret"), client_sid="OQ1", scopes=["openid"])
    made = site(Runner(flow, tokens=MemoryTokenStore()))
    with pytest.raises(OSError, match="no disk"):
        await made.open()
    assert not made.is_open


@pytest.mark.asyncio
async def test_texts_are_translated(emulator: Any, state: Path) -> None:
    german = {
        "lang": "de",
        "start.title": "Mit Twilio verbinden",
        "pending.title": "Anmeldung best\u00e4tigen",
        "scope.openid": "sehen, wer du bei Twilio bist",
        "approved.name": "Angemeldet: {name}.",
    }
    async with (
        serving("aiohttp", emulator, state, texts=german, app_name="<b>Beispiel</b>") as url,
        Visitor(url) as ada,
    ):
        assert '<html lang="de">' in await ada.get()
        assert "<h1>Mit Twilio verbinden</h1>" in ada.text
        assert "&lt;b&gt;Beispiel&lt;/b&gt;" in ada.text
        assert "<b>Beispiel" not in ada.text
        code = await ada.connect()
        assert "<h1>Anmeldung best\u00e4tigen</h1>" in ada.text
        assert "<li>sehen, wer du bei Twilio bist</li>" in ada.text
        await approve(emulator, code)
        await ada.wait_for("Angemeldet: Ada Example.")


@pytest.mark.asyncio
async def test_templates_and_stylesheet_of_the_application(emulator: Any, state: Path, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "start.html").write_text(
        '{% extends "default/start.html" %}{% block main %}{{ super() }}<p>Our terms</p>{% endblock %}'
    )
    (templates / "base.html").write_text('{% extends "default/base.html" %}{% block head %}<!-- ours -->{% endblock %}')
    (tmp_path / "own.css").write_text(":root { --accent: #0a7d4f; }")
    async with (
        serving("asgi", emulator, state, templates=templates, stylesheet=tmp_path / "own.css") as url,
        Visitor(url) as ada,
    ):
        await ada.get()
        assert "<p>Our terms</p>" in ada.text
        assert "<h1>Connect your Twilio account</h1>" in ada.text
        assert "<!-- ours -->" in ada.text
        own, custom = ada.text.index("pages.css"), ada.text.index("custom.css")
        assert own < custom
        await ada.get("/static/custom.css")
        assert ada.text == ":root { --accent: #0a7d4f; }"
        assert ada.headers["Content-Type"] == "text/css; charset=utf-8"


def test_every_text_of_the_pages_is_used() -> None:
    folder = Path(__file__).parents[2] / "twilio_oauth_async"
    sources = "".join(
        path.read_text()
        for path in (folder / "web").rglob("*")
        if path.suffix in {".html", ".py"} and path.stem != "texts"
    )
    for name in PAGE_TEXTS:
        prefix, _, last = name.partition(".")
        is_named = f'"{name}"' in sources or (prefix == "problem" and f'"{last}"' in sources)
        is_state = last == "title" or name in {"approved", "denied", "expired", "cancelled", "failed"}
        is_shared = name in {"asks", "open_link", "check_code", "or_enter_code", "enter_code"} or prefix in {
            "scope",
            "audience",
            "time",
        }
        assert is_named or is_state or is_shared, name
