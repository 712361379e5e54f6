import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.protocol import codec


@attrs.frozen(kw_only=True)
class Sample:
    text: str
    number: float | None = None
    count: int | None = None
    flag: bool | None = None
    date: datetime | None = None
    words: tuple[str, ...] | None = None
    things: tuple[Mapping[str, object], ...] | None = None


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
    assert codec.decode_json(json.dumps(value).encode()) == value
    assert codec.decode_json(codec.encode_json(value).encode()) == value


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
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested too deeply"),
    ],
)
def test_decode_json_with_invalid_json_raises_malformed(body, reason):
    with pytest.raises(codec.Malformed) as caught:
        codec.decode_json(body)
    assert str(caught.value) == reason
    # The parser's own error quotes the input, so it must not be attached as cause or context.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":NaN,"b":[-Infinity,1e999],"c":1.5}', {"a": codec.UNUSABLE, "b": [codec.UNUSABLE] * 2, "c": 1.5}),
        (b'{"a":1,"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": codec.UNUSABLE}),
        (b'{"a":1,"a":true}', {"a": codec.UNUSABLE}),
        (b'{"a":1,"a":2,"a":1}', {"a": codec.UNUSABLE}),
        (b'{"x":{"a":1,"\\u0061":2}}', {"x": {"a": codec.UNUSABLE}}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
    ],
)
def test_decode_json_leniently_accepts_what_concerns_one_member(body, value):
    assert codec.decode_json_leniently(body) == value


@given(JSON)
def test_decode_json_leniently_reads_the_same_values(value):
    assert codec.decode_json_leniently(codec.encode_json(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number that is too long"),
        (b'{"a":0.' + b"9" * 5000 + b"}", "a number that is too long"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ],
)
def test_decode_json_leniently_keeps_the_limits(body, reason):
    with pytest.raises(codec.Malformed) as caught:
        codec.decode_json_leniently(body)
    assert str(caught.value) == reason
    assert caught.value.__context__ is None


def test_decode_json_depth_limit_ignores_brackets_in_strings():
    assert codec.decode_json(b"[" * 32 + b"]" * 32) is not None
    assert codec.decode_json(json.dumps(["[{" * 500, '"[' * 50, "\\[" * 50]).encode()) is not None
    assert codec.decode_json(json.dumps([[]] * 500).encode()) == [[]] * 500


def test_decode_json_accepts_escaped_surrogate_pair():
    assert codec.decode_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "body", [b'"\\"' * 30_000, b'"' + b"\\" * 99_999, b"{" + b'"' * 99_999, b"[" * 33 + b'"\\"' * 30_000]
)
def test_decode_json_takes_linear_time_on_many_quotes_and_backslashes(body):
    """A pattern with backtracking would take minutes on this input."""
    with pytest.raises(codec.Malformed):
        codec.decode_json(body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fri, 31 Jul 2015 04:00:00 GMT", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("Fri, 31 Jul 2015 04:00:00 +0000", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("Fri, 31 Jul 2015 04:00:00 -0000", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("Fri, 31 Jul 2015 06:00:00 +0200", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("31 Jul 2015 04:00:00", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("Fri, 31 Jul 2015 04:00:00 XYZ", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("2015-07-31T04:00:00Z", datetime(2015, 7, 31, 4, tzinfo=UTC)),
        ("2015-07-31T06:00:00.250+02:00", datetime(2015, 7, 31, 4, 0, 0, 250_000, tzinfo=UTC)),
        ("2015-07-31T04:00:00", datetime(2015, 7, 31, 4, tzinfo=UTC)),
    ],
)
def test_parse_date_returns_utc(text, expected):
    date = codec.parse_date(text)
    assert date == expected
    assert date.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "20260-01-01T00:00:00Z",
        "2015-13-01",
        "Fri, 99 Jul 2015 04:00:00 GMT",
        "0001-01-01T00:00:00+14:00",
        "1" * 500,
    ],
)
def test_parse_date_with_invalid_text_raises_malformed(text):
    with pytest.raises(codec.Malformed, match="not a date"):
        codec.parse_date(text)


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), (5.5, 5.5), ("5", 5), ("5.5", 5.5), (-1, -1), (0, 0)],
)
def test_read_number_accepts_numbers_and_text(value, number):
    assert codec.read_number(value) == number


@pytest.mark.parametrize(
    "value", [None, True, False, "", "five", "nan", "inf", float("inf"), [5], "5" * 65, 10**400, "\u0665"]
)
def test_read_number_with_other_value_returns_none(value):
    assert codec.read_number(value) is None


def test_structure_accepts_every_member_type():
    values = {
        "text": "a",
        "number": 1,
        "count": 2,
        "flag": True,
        "date": "2015-07-31T04:00:00Z",
        "words": ["b"],
        "things": [{"kty": "EC"}],
        "unknown": 1,
    }
    assert codec.structure(values, Sample) == Sample(
        text="a",
        number=1.0,
        count=2,
        flag=True,
        date=datetime(2015, 7, 31, 4, tzinfo=UTC),
        words=("b",),
        things=({"kty": "EC"},),
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": ["x"]}, "text: not a string"),
        ({"text": 1}, "text: not a string"),
        ({"count": True}, "count: not an integer"),
        ({"count": 3599.9}, "count: not an integer"),
        ({"count": "5"}, "count: not an integer"),
        ({"number": "5"}, "number: not a number"),
        ({"number": True}, "number: not a number"),
        ({"flag": 1}, "flag: not true or false"),
        ({"date": 5}, "date: not a string"),
        ({"date": "then"}, "date: not a date in RFC 2822 or ISO 8601 format"),
        ({"words": "ab"}, "words: not a list"),
        ({"words": [1]}, "words: not a string"),
        ({"things": ["x"]}, "things: not an object"),
    ],
)
def test_structure_with_wrong_type_raises_malformed_with_path_only(change, reason):
    with pytest.raises(codec.Malformed) as caught:
        codec.structure({"text": "SECRET", **change}, Sample)
    assert str(caught.value) == reason
    assert caught.value.__context__ is None


def test_structure_with_missing_member_raises_malformed_with_path():
    with pytest.raises(codec.Malformed, match=r"^text: missing$"):
        codec.structure({"number": 1}, Sample)


def test_structure_of_list_raises_malformed():
    with pytest.raises(codec.Malformed):
        codec.structure(["text"], Sample)


def test_structure_with_broken_class_raises_name_error_not_malformed():
    @attrs.frozen
    class Broken:
        member: "Nowhere"  # noqa: F821

    with pytest.raises(NameError):
        codec.structure({"member": 1}, Broken)


def test_restore_returns_unstructured_value():
    sample = Sample(text="a", date=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    text = codec.encode_json(codec.unstructure(sample))
    assert codec.restore(text, Sample) == sample
    assert codec.restore(text.encode(), Sample) == sample
    assert '"2026-01-01T00:00:00+00:00"' in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"text":1}', b"\xff", "\ud800"])
def test_restore_with_other_text_raises_configuration_error_without_context(text):
    with pytest.raises(ConfigurationError, match="cannot restore a Sample") as caught:
        codec.restore(text, Sample)
    assert caught.value.__context__ is None
