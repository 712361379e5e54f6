import base64
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from twilio_oauth_async.protocol.sanitization import MASK, MAX_LENGTH, clean


def test_clean_replaces_control_and_invisible_characters():
    text = clean("\x1b[31mred\x07\r\nline\u202egnp\u200b\x9b\u2028end", ())
    assert text == " [31mred   line gnp   end"
    assert text.isprintable()


def test_clean_limits_length():
    assert clean("x" * 1_000_000, ()) == "x" * MAX_LENGTH + "…"
    assert clean("x" * MAX_LENGTH, ()) == "x" * MAX_LENGTH
    assert clean("abcdef", (), max_length=3) == "abc…"


def test_clean_masks_secret_in_every_encoding():
    secret = "p/w +1%"
    for spelling in (secret, "p%2Fw%20%2B1%25", "p%2Fw+%2B1%25", base64.b64encode(secret.encode()).decode()):
        assert clean(f"you sent {spelling}!", (secret,)) == f"you sent {MASK}!"


def test_clean_masks_before_cutting_and_replacing():
    assert "cret" not in clean("x" * (MAX_LENGTH - 2) + "secret-value", ("secret-value",))
    assert clean("a\x00b", ("a\x00b",)) == MASK


def test_clean_masks_longest_secret_first():
    assert clean("abcdef", ("abc", "abcdef")) == MASK


def test_clean_ignores_empty_secret():
    assert clean("text", ("",)) == "text"


@given(st.text(max_size=400), st.lists(st.text(min_size=4), max_size=3))
def test_clean_of_any_text_contains_no_secret(text, secrets):
    cleaned = clean(text + "".join(secrets), secrets)
    assert cleaned.isprintable()
    assert len(cleaned) <= MAX_LENGTH + 1
    assert not any(secret in cleaned for secret in secrets if "*" not in secret)


def masked_with_every_encoding(text, secrets):
    """Mask each encoding of each secret, also those that `text` is too short for."""
    spellings = set()
    for secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode()
        spellings |= {secret, quote(secret, safe=""), quote_plus(secret), encoded}
    for spelling in sorted(spellings - {""}, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return "".join(char if char.isprintable() else " " for char in text)


SHORT = st.text("ab1 /+*\x00é", max_size=5)


@given(st.lists(SHORT, max_size=3), SHORT, st.data())
def test_clean_masks_the_same_as_with_every_encoding_whatever_the_length(secrets, text, data):
    encodings = [form(secret) for secret in secrets for form in (str, quote_plus, lambda s: quote(s, safe=""))]
    encodings += [base64.b64encode(secret.encode()).decode() for secret in secrets]
    text += "".join(data.draw(st.lists(st.sampled_from(encodings), max_size=2))) if encodings else ""
    # Two secrets of one length may overlap, and each order is right.
    distinct = {len(encoding): encoding for encoding in encodings}
    if all(distinct[len(encoding)] == encoding for encoding in encodings):
        assert clean(text, secrets) == masked_with_every_encoding(text, secrets)
