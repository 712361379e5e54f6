import base64

from hypothesis import given
from hypothesis import strategies as st

from twilio_oauth_async.protocol.redaction import MASK, MAX_LENGTH, clean


def test_control_and_invisible_characters_go():
    text = clean("\x1b[31mred\x07\r\nline\u202egnp\u200b\x9b\u2028end", ())
    assert text == " [31mred   line gnp   end"
    assert text.isprintable()


def test_length_is_capped():
    assert clean("x" * 1_000_000, ()) == "x" * MAX_LENGTH + "…"
    assert clean("x" * MAX_LENGTH, ()) == "x" * MAX_LENGTH
    assert clean("abcdef", (), max_length=3) == "abc…"


def test_what_was_sent_is_masked_in_every_spelling():
    secret = "p/w +1%"
    for form in (secret, "p%2Fw%20%2B1%25", "p%2Fw+%2B1%25", base64.b64encode(secret.encode()).decode()):
        assert clean(f"you sent {form}!", (secret,)) == f"you sent {MASK}!"


def test_masking_comes_before_cutting_and_cleaning():
    assert "cret" not in clean("x" * (MAX_LENGTH - 2) + "secret-value", ("secret-value",))
    assert clean("a\x00b", ("a\x00b",)) == MASK


def test_the_longest_secret_is_masked_first():
    assert clean("abcdef", ("abc", "abcdef")) == MASK


def test_an_empty_secret_masks_nothing():
    assert clean("text", ("",)) == "text"


@given(st.text(max_size=400), st.lists(st.text(min_size=4), max_size=3))
def test_no_secret_survives(text, secrets):
    cleaned = clean(text + "".join(secrets), secrets)
    assert cleaned.isprintable()
    assert len(cleaned) <= MAX_LENGTH + 1
    assert not any(secret in cleaned for secret in secrets if "*" not in secret)
