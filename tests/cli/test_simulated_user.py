"""The simulated user with pages of other servers than the emulator: it must not depend on particular pages."""

import pytest
from aiohttp import web

from tests.helpers.raw_server import RawServer, silence
from twilio_oauth_async.cli import simulated_user
from twilio_oauth_async.cli.simulated_user import Decision, SimulatedUser, SimulatedUserError

pytestmark = pytest.mark.asyncio
CODE = "ABCD-EFGH"
ENTER = '<form method="post" action="look"><input name="device_code_shown"><button>Next</button></form>'
DONE = "<p>Thank you</p>"


class Site:
    """Serves `pages` by path and records the requests."""

    def __init__(self, **pages):
        self.pages = pages
        self.requests = []

    async def respond(self, request):
        name = request.path.strip("/") or "start"
        data = request.query if request.method == "GET" else await request.post()
        self.requests.append((request.method, name, list(data.items()), dict(request.cookies)))
        page = self.pages[name]
        response = page if isinstance(page, web.Response) else web.Response(text=page, content_type="text/html")
        if name == "start":
            response.set_cookie("seen", "yes")
        return response

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.respond)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def decide(self, decision=Decision.APPROVE):
        await SimulatedUser(self.url, CODE).decide(decision)


async def test_decide_enters_the_code_keeps_cookies_and_hidden_fields_and_presses_the_button():
    start = ENTER.replace("<input", '<input type="hidden" name="csrf" value="t&amp;1"><input')
    look = """<form action="/end" method="POST"><input type="hidden" name="csrf" value="2">
        <button name="decision" value="0">Don't allow</button><button name="decision" value="1">Allow</button></form>"""
    for decision, value in ((Decision.APPROVE, "1"), (Decision.DENY, "0")):
        async with Site(start=start, look=look, end=DONE) as site:
            await site.decide(decision)
        assert site.requests[1:] == [
            ("POST", "look", [("csrf", "t&1"), ("device_code_shown", CODE)], {"seen": "yes"}),
            ("POST", "end", [("csrf", "2"), ("decision", value)], {"seen": "yes"}),
        ]


async def test_decide_with_code_and_both_buttons_on_one_page():
    page = """<form method="post" action="end"><input name="note" value="x"><input name="code">
        <input type="submit" name="do" value="Reject"><input type="submit" name="do" value="Authorize"></form>"""
    async with Site(start=page, end=DONE) as site:
        await site.decide()
    assert site.requests[-1][2] == [("note", "x"), ("code", CODE), ("do", "Authorize")]


async def test_decide_submits_get_forms_without_action_and_stops_after_too_many_pages():
    page = '<form><input name="user_code"></form>'
    async with Site(start=page) as site:
        with pytest.raises(SimulatedUserError, match="still has a form after 8 pages"):
            await site.decide()
    assert site.requests[1][:3] == ("GET", "start", [("user_code", CODE)])
    assert len(site.requests) == simulated_user._MAX_PAGES + 1


@pytest.mark.parametrize("shown", [CODE, "abcdefgh", " ABCD EFGH "])
async def test_decide_keeps_a_code_that_the_link_has_filled_in(shown):
    start = ENTER.replace('shown"', f'shown" value="{shown}"')
    end = '<form method="post" action="end"><button>Yes, go on</button></form>'
    async with Site(start=start, look=end, end=DONE) as site:
        await site.decide()
    assert site.requests[1][2] == [("device_code_shown", shown)]


async def test_decide_does_not_approve_a_page_with_another_code():
    async with Site(start=ENTER.replace('shown"', 'shown" value="OTHER"')) as site:
        with pytest.raises(SimulatedUserError, match="another code than the device"):
            await site.decide()
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<title>x</title><p>Come  back\n later</p>", "has no form on which to approve; its text: Come back later"),
        ("", r"its text: \(empty\)"),
        ('<form action="https://192.0.2.1/"><button>Allow</button></form>', "is sent to another site"),
    ],
)
async def test_decide_raises_for_a_page_without_form_or_with_a_form_of_another_site(page, message):
    async with Site(start=page) as site:
        with pytest.raises(SimulatedUserError, match=message):
            await site.decide()


async def test_error_page_is_quoted_without_control_characters_and_shortened():
    error_page = web.Response(status=410, text=f"<p>Expired\x1b[2J</p><p>{'long ' * 100}</p>", content_type="text/html")
    async with Site(start=ENTER, look=error_page) as site:
        with pytest.raises(SimulatedUserError) as caught:
            await site.decide()
    assert str(caught.value).startswith("/look returned status 410: Expired [2J long")
    assert len(str(caught.value)) < 250


async def test_decide_raises_if_no_server_listens():
    with pytest.raises(SimulatedUserError, match=r"http://127\.0\.0\.1:9 cannot be loaded"):
        await SimulatedUser("http://127.0.0.1:9/page", CODE).decide(Decision.APPROVE)


async def test_decide_raises_if_a_page_times_out(monkeypatch):
    monkeypatch.setattr(simulated_user, "_TIMEOUT", simulated_user.aiohttp.ClientTimeout(total=0.05))
    async with RawServer(silence) as server:
        with pytest.raises(SimulatedUserError, match="cannot be loaded"):
            await SimulatedUser(f"{server.base_url}/", CODE).decide(Decision.APPROVE)
