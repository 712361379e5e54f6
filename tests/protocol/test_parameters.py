"""Forms are encoded as the standard library does it, and the rules for characters are those of RFC 6749 appendix A."""

import re
from urllib.parse import parse_qsl, urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from twilio_oauth_async.protocol.parameters import encode_form, is_printable_ascii, is_visible_ascii

PRINTABLE, VISIBLE = re.compile(r"[\x20-\x7e]+"), re.compile(r"[\x21-\x7e]+")
ASCII = "".join(map(chr, range(128)))
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=50) | st.text(ASCII, max_size=50)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4))
@example([(ASCII, ASCII)])
@example([("GrantType", "urn:ietf:params:oauth:grant-type:device_code"), ("a b", "ü~&=%+"), ("", "")])
def test_encoded_form_is_that_of_urlencode(form):
    encoded = encode_form(form)
    assert encoded == urlencode(form).encode("ascii")
    assert parse_qsl(encoded.decode(), keep_blank_values=True) == form


@given(st.text(st.characters(), max_size=20) | st.text(ASCII, max_size=20))
@example("")
@example("a" * 700)
@example("a\n")
@example("\ud800")
def test_printable_and_visible_ascii_match_the_regular_expressions_of_rfc_6749(text):
    assert is_printable_ascii(text) is bool(PRINTABLE.fullmatch(text))
    assert is_visible_ascii(text) is bool(VISIBLE.fullmatch(text))


def test_each_character_up_to_u_ffff_is_judged_by_its_code():
    for code in range(0x10000):
        assert is_printable_ascii(chr(code)) is (0x20 <= code <= 0x7E)
        assert is_visible_ascii(chr(code)) is (0x21 <= code <= 0x7E)
