import pytest

from twilio_oauth_async.cli.html_parser import Button, PageReader


def read(html):
    [form] = PageReader(html).forms
    return form


@pytest.mark.parametrize(
    ("control", "fields", "typed"),
    [
        ('<input name="a">', [("a", "")], ["a"]),
        ('<input type="HIDDEN" name="a" value="1">', [("a", "1")], []),
        ('<input type="email" name="a" value="1">', [("a", "1")], ["a"]),
        ('<input name="a" readonly value="1">', [("a", "1")], []),
        ('<input name="a" disabled value="1">', [], []),
        ('<input type="checkbox" name="a" checked disabled>', [], []),
        ('<select name="a" disabled><option value="1">x</select>', [], []),
        ('<input value="nameless">', [], []),
        ('<input type="checkbox" name="a">', [], []),
        ('<input type="checkbox" name="a" checked>', [("a", "on")], []),
        ('<input type="radio" name="a" value="1"><input type="radio" name="a" value="2" checked>', [("a", "2")], []),
        ('<input type="file" name="a"><input type="reset" name="a">', [], []),
        ('<select name="a"><option value="1">x<option value="2">y</select>', [("a", "1")], []),
        ('<select name="a"><option value="1">x<option value="2" selected>y</select>', [("a", "2")], []),
    ],
)
def test_form_has_the_fields_that_a_browser_sends(control, fields, typed):
    form = read(f"<form>{control}</form>")
    assert form.fields == fields
    assert form.typed == typed
    assert form.submission(None) == fields


def test_form_has_its_submit_buttons():
    form = read(
        '<form action="/x" method="Post"><button type="button">Help</button>'
        "<button disabled>Allow</button><input type=submit value=Allow disabled>"
        '<button name="a" value="1"><b>Yes</b> please</button><input type="submit" value="No"></form>'
        "<button>outside</button><input name='outside'>"
    )
    assert (form.action, form.method) == ("/x", "post")
    assert form.buttons == [Button("a", "1", "Yes please"), Button("", "No", "No")]
    assert form.submission(form.buttons[0]) == [("a", "1")]
    assert form.submission(form.buttons[1]) == []


def test_fill_sets_the_value_of_one_field():
    form = read('<form><input name="a" value="1"><input name="b"></form>')
    form.fill("b", "2")
    assert form.fields == [("a", "1"), ("b", "2")]
    assert form.value("b") == "2"


def test_page_text_is_the_visible_text():
    page = PageReader("<title>t</title><style>s</style><script>if (a<b) {}</script><h1>A &amp;\n B</h1><p>C")
    assert page.text == "A & B C"
    assert page.forms == []
