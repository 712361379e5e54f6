import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_oauth_async.protocol.strict_json import (
    MAX_VALUES,
    UNUSABLE,
    Malformed,
    _is_small_and_flat,
    decode_json,
    decode_json_leniently,
    encode_json,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_decode_json_reads_output_of_json_dumps_and_encode_json(value):
    assert decode_json(json.dumps(value).encode()) == value
    assert decode_json(encode_json(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        (b'"\xff"', "not UTF-8"),
        (b'{"a":NaN}', "NaN or infinity"),
        (b'{"a":-Infinity}', "NaN or infinity"),
        (b'{"a":1e999}', "a number that is too large"),
        (b'{"a":1,"a":2}', "a repeated member"),
        (b'{"x":{"a":1,"\\u0061":2}}', "a repeated member"),
        (b'{"a":"\\ud800"}', "a lone surrogate in a string"),
        (b'{"\\udfff":1}', "a lone surrogate in a string"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number that is too long"),
        (b'{"a":0.' + b"9" * 5000 + b"}", "a number that is too long"),
        (b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "too many values"),
        (b"[" + b"1," * 10_000 + b"1]", "too many values"),
        (b"{" + b",".join(b'"%d":1' % number for number in range(10_001)) + b"}", "too many values"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested too deeply"),
    ],
)
def test_decode_json_with_invalid_json_raises_malformed(body, reason):
    with pytest.raises(Malformed) as caught:
        decode_json(body)
    assert str(caught.value) == reason
    # The parser's own error quotes the input, so it must not be attached as cause or context.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("decode", [decode_json, decode_json_leniently])
def test_as_many_values_as_are_allowed_and_commas_in_strings(decode):
    numbers = [1] * (MAX_VALUES - 1)
    assert decode(json.dumps(numbers).encode()) == numbers
    text = "a," * 2 * MAX_VALUES
    assert decode(json.dumps([text]).encode()) == [text]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (
            b'{"a":NaN,"b":[-Infinity,1e999],"c":1.5}',
            {"a": UNUSABLE, "b": [UNUSABLE] * 2, "c": 1.5},
        ),
        (b'{"a":1,"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": UNUSABLE}),
        (b'{"a":1,"a":true}', {"a": UNUSABLE}),
        (b'{"a":1,"a":2,"a":1}', {"a": UNUSABLE}),
        (b'{"x":{"a":1,"\\u0061":2}}', {"x": {"a": UNUSABLE}}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
    ],
)
def test_decode_json_leniently_accepts_what_concerns_one_member(body, value):
    assert decode_json_leniently(body) == value


@given(JSON)
def test_decode_json_leniently_reads_the_same_values(value):
    assert decode_json_leniently(encode_json(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number that is too long"),
        (b'{"a":0.' + b"9" * 5000 + b"}", "a number that is too long"),
        (b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "too many values"),
        (b"[" + b"1," * 10_000 + b"1]", "too many values"),
        (b"{" + b",".join(b'"%d":1' % number for number in range(10_001)) + b"}", "too many values"),
    ],
)
def test_decode_json_leniently_keeps_the_limits(body, reason):
    with pytest.raises(Malformed) as caught:
        decode_json_leniently(body)
    assert str(caught.value) == reason
    assert caught.value.__context__ is None


def test_decode_json_depth_limit_ignores_brackets_in_strings():
    assert decode_json(b"[" * 32 + b"]" * 32) is not None
    assert decode_json(json.dumps(["[{" * 500, '"[' * 50, "\\[" * 50]).encode()) is not None
    assert decode_json(json.dumps([[]] * 500).encode()) == [[]] * 500


def test_decode_json_accepts_escaped_surrogate_pair():
    assert decode_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "body", [b'"\\"' * 30_000, b'"' + b"\\" * 99_999, b"{" + b'"' * 99_999, b"[" * 33 + b'"\\"' * 30_000]
)
def test_decode_json_takes_linear_time_on_many_quotes_and_backslashes(body):
    """A pattern with backtracking would take minutes on this input."""
    with pytest.raises(Malformed):
        decode_json(body)


@given(st.text('{}[],"a ', max_size=50) | st.just("," * MAX_VALUES) | st.just("," * (MAX_VALUES - 1)))
def test_document_that_is_not_counted_has_one_bracket_at_most_and_few_commas(text):
    brackets, commas = text.count("[") + text.count("{"), text.count(",")
    assert not _is_small_and_flat(text) or (brackets <= 1 and commas < MAX_VALUES)
    if brackets == 0 and commas < MAX_VALUES - 1:
        assert _is_small_and_flat(text)
