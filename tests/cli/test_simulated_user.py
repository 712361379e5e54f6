"""The scripted person at pages that are not the emulator's: it must not depend on how those look."""

import pytest
from aiohttp import web

from tests.helpers.raw_server import RawServer, silence
from twilio_oauth_async.cli import scripted_person
from twilio_oauth_async.cli.scripted_person import Decision, ScriptedPerson, ScriptedPersonError

pytestmark = pytest.mark.asyncio
CODE = "ABCD-EFGH"
ENTER = '<form method="post" action="look"><input name="device_code_shown"><button>Next</button></form>'
DONE = "<p>Thank you</p>"


class Site:
    """Serves `pages` by path and keeps what was sent to each."""

    def __init__(self, **pages):
        self.pages = pages
        self.sent = []

    async def answer(self, request):
        name = request.path.strip("/") or "start"
        data = request.query if request.method == "GET" else await request.post()
        self.sent.append((request.method, name, list(data.items()), dict(request.cookies)))
        page = self.pages[name]
        response = page if isinstance(page, web.Response) else web.Response(text=page, content_type="text/html")
        if name == "start":
            response.set_cookie("seen", "yes")
        return response

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def decide(self, decision=Decision.APPROVE):
        await ScriptedPerson(self.url, CODE).decide(decision)


async def test_types_the_code_keeps_cookies_and_hidden_fields_and_presses_the_right_button():
    start = ENTER.replace("<input", '<input type="hidden" name="csrf" value="t&amp;1"><input')
    look = """<form action="/end" method="POST"><input type="hidden" name="csrf" value="2">
        <button name="answer" value="0">Don't allow</button><button name="answer" value="1">Allow</button></form>"""
    for decision, answer in ((Decision.APPROVE, "1"), (Decision.DENY, "0")):
        async with Site(start=start, look=look, end=DONE) as site:
            await site.decide(decision)
        assert site.sent[1:] == [
            ("POST", "look", [("csrf", "t&1"), ("device_code_shown", CODE)], {"seen": "yes"}),
            ("POST", "end", [("csrf", "2"), ("answer", answer)], {"seen": "yes"}),
        ]


async def test_one_page_with_the_code_and_both_buttons():
    page = """<form method="post" action="end"><input name="note" value="x"><input name="code">
        <input type="submit" name="do" value="Reject"><input type="submit" name="do" value="Authorize"></form>"""
    async with Site(start=page, end=DONE) as site:
        await site.decide()
    assert site.sent[-1][2] == [("note", "x"), ("code", CODE), ("do", "Authorize")]


async def test_a_form_that_is_sent_in_the_query_and_one_without_an_action():
    page = '<form><input name="user_code"></form>'
    async with Site(start=page) as site:
        with pytest.raises(ScriptedPersonError, match="again and again"):
            await site.decide()
    assert site.sent[1][:3] == ("GET", "start", [("user_code", CODE)])
    assert len(site.sent) == scripted_person._MOST_PAGES + 1


@pytest.mark.parametrize("shown", [CODE, "abcdefgh", " ABCD EFGH "])
async def test_a_code_that_is_filled_in_is_left_as_it_is(shown):
    start = ENTER.replace('shown"', f'shown" value="{shown}"')
    end = '<form method="post" action="end"><button>Yes, go on</button></form>'
    async with Site(start=start, look=end, end=DONE) as site:
        await site.decide()
    assert site.sent[1][2] == [("device_code_shown", shown)]


async def test_a_page_that_shows_another_code_is_not_approved():
    async with Site(start=ENTER.replace('shown"', 'shown" value="OTHER"')) as site:
        with pytest.raises(ScriptedPersonError, match="another code than the device"):
            await site.decide()
    assert len(site.sent) == 1


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("<title>x</title><p>Come  back\n later</p>", "has no form to approve with; it says: Come back later"),
        ("", "it says: nothing"),
        ('<form action="https://192.0.2.1/"><button>Allow</button></form>', "leads to another site"),
    ],
)
async def test_pages_that_cannot_be_gone_through(page, complaint):
    async with Site(start=page) as site:
        with pytest.raises(ScriptedPersonError, match=complaint):
            await site.decide()


async def test_a_complaint_is_told_without_control_characters_and_cut():
    bad = web.Response(status=410, text=f"<p>Expired\x1b[2J</p><p>{'long ' * 100}</p>", content_type="text/html")
    async with Site(start=ENTER, look=bad) as site:
        with pytest.raises(ScriptedPersonError) as caught:
            await site.decide()
    assert str(caught.value).startswith("/look answers 410: Expired [2J long")
    assert len(str(caught.value)) < 250


async def test_a_page_that_nobody_serves():
    with pytest.raises(ScriptedPersonError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        await ScriptedPerson("http://127.0.0.1:9/page", CODE).decide(Decision.APPROVE)


async def test_a_page_that_takes_too_long(monkeypatch):
    monkeypatch.setattr(scripted_person, "_TIMEOUT", scripted_person.aiohttp.ClientTimeout(total=0.05))
    async with RawServer(silence) as server:
        with pytest.raises(ScriptedPersonError, match="cannot be reached"):
            await ScriptedPerson(f"{server.base_url}/", CODE).decide(Decision.APPROVE)
