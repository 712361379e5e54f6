import re
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
import segno

from twilio_oauth_async import ConfigurationError, DeviceAuthorization, SignIn, StoredFlow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORIZATION = DeviceAuthorization(
    client_sid="OQ1",
    scopes=("openid", "calls:read"),
    device_code="s3cr3t-canary",
    user_code="ABCD-EFGH",
    verification_uri="https://example.com/activate",
    verification_uri_complete="https://example.com/activate?user_code=ABCD-EFGH",
    interval=5.0,
    expires_at=NOW,
    next_poll_at=NOW,
)
WARNING = (
    "Continue only if you started this sign-in yourself. "
    "If you got the code from a website, in a message or in a call, cancel."
)
VALUES = [AUTHORIZATION, SignIn.of(StoredFlow(id="id", user="user", authorization=AUTHORIZATION))]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_instructions_with_complete_uri_show_link_code_app_scopes_and_warning(value):
    assert value.instructions("Call Center") == (
        "Call Center asks to use your Twilio account.\n"
        "To sign in, open https://example.com/activate?user_code=ABCD-EFGH\n"
        "and check that the page shows the code ABCD-EFGH\n"
        "(or enter the code at https://example.com/activate)\n"
        "The page must be on example.com. The code expires at 00:00 UTC.\n"
        "\n"
        "This lets Call Center:\n"
        "- see which Twilio user you are\n"
        "- use the permission calls:read\n"
        "\n"
        f"{WARNING}"
    )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_instructions_without_complete_uri_ask_for_the_code_and_name_the_client_sid(value):
    text = attrs.evolve(value, verification_uri_complete=None).instructions()
    assert "\nTo sign in, open https://example.com/activate\nand enter the code ABCD-EFGH\n" in text
    assert "This lets OQ1:\n" in text


def test_instructions_say_when_and_where_the_sign_in_was_started():
    started = NOW.astimezone(timezone(timedelta(hours=2)))
    assert "started at 00:00 UTC.\n" in AUTHORIZATION.instructions(started_at=started)
    text = AUTHORIZATION.instructions(started_at=started, started_from="Firefox on Linux")
    assert "This sign-in was started at 00:00 UTC from Firefox on Linux.\n" in text


def test_instructions_name_the_audiences():
    value = attrs.evolve(AUTHORIZATION, audiences=("https://api.example.com",))
    assert "- use the API https://api.example.com\n" in value.instructions()


def test_instructions_in_other_words():
    texts = {"open_link": "Öffne {link}", "scope.calls:read": "Anrufe lesen", "warning": "Vorsicht!"}
    text = AUTHORIZATION.instructions("Demo", texts=texts)
    assert "Öffne https://example.com/activate?user_code=ABCD-EFGH\n" in text
    assert "- Anrufe lesen\n" in text
    assert text.endswith("\nVorsicht!")


@pytest.mark.parametrize("link", ["https://example.com/{host}", "https://example.com/%s"])
def test_text_of_the_server_is_not_a_format_string(link):
    value = attrs.evolve(AUTHORIZATION, verification_uri=link, verification_uri_complete=None)
    assert f"open {link}\n" in value.instructions()


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"open_lnk": "x"}, "no text of the name 'open_lnk'; did you mean 'open_link'"),
        ({"open_link": "{code}"}, "has a field that does not exist there: code"),
        ({"open_link": "{link.__class__}"}, "does not exist there: link.__class__"),
        ({"open_link": "{"}, "each brace belongs to a field"),
        ({"open_link": "{0}"}, "does not exist there: 0"),
        ({"open_link": b"x"}, "must be a string"),
        ({"scope.x": "{x}"}, "does not exist there: x"),
        ({1: "x"}, "no text of the name 1"),
    ],
)
def test_invalid_texts_are_refused(texts, problem):
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        AUTHORIZATION.instructions(texts=texts)


def test_qr_codes_contain_the_link():
    svg = AUTHORIZATION.qr_svg()
    assert svg.startswith("<svg xmlns=")
    assert (
        svg == attrs.evolve(AUTHORIZATION, verification_uri=AUTHORIZATION.link, verification_uri_complete=None).qr_svg()
    )
    assert svg != attrs.evolve(AUTHORIZATION, verification_uri_complete=None).qr_svg()


@pytest.mark.parametrize("dark_on_light", [True, False])
def test_qr_text_has_the_modules_of_the_code(dark_on_light):
    rows = AUTHORIZATION.qr_text(dark_on_light=dark_on_light).split("\n")
    drawn = []
    for row in rows:
        drawn.append([character in "▀█" for character in row])
        drawn.append([character in "▄█" for character in row])
    code = segno.make_qr(AUTHORIZATION.link, error="m")
    modules = [[bool(dark) == dark_on_light for dark in row] for row in code.matrix_iter(border=4)]
    assert drawn[: len(modules)] == modules
