from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.protocol import codec, strict_json


@attrs.frozen(kw_only=True)
class Sample:
    text: str
    number: float | None = None
    count: int | None = None
    flag: bool | None = None
    date: datetime | None = None
    words: tuple[str, ...] | None = None
    things: tuple[Mapping[str, object], ...] | None = None


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


def parse_with_email(text):
    """Parse a date of RFC 2822 in the way of the standard library; None if it cannot."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


FIXED_DATE = (
    "(Mon|Fri|Xyz), [0-3_ ][0-9x\u0665] (Jan|Feb|jul|Dec|Foo) [0-2 -][0-9W][0-9.][0-9] "
    "[0-2+][0-9][:.][0-6][0-9 ]:[0-6][0-9][ +](GMT|\\+0000|-0000|\\+0130|EST| GMT)[ ]?"
)


@given(st.from_regex(FIXED_DATE, fullmatch=True))
@example("Fri, 31 Jul 0070 04:00:00 GMT")
@example("Fri, 31 Jul 2015 040000.0 GMT")
@example("Fri, 31 Jul 2015 04:00:60 GMT")
@example("Fri, 29 Feb 2015 04:00:00 GMT")
@example("Fri, 29 Feb 2016 24:00:00 GMT")
def test_fast_parser_of_dates_gives_what_the_standard_library_gives(text):
    expected = parse_with_email(text)
    fast = codec._parse_fixed_date(text)
    assert fast is None or fast == expected
    if expected is None:
        with pytest.raises(strict_json.Malformed):
            codec.parse_date(text)
    else:
        assert codec.parse_date(text) == expected


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(["GMT", "+0000"]))
def test_date_in_the_form_that_is_sent_is_parsed_fast(date, zone):
    date = date.replace(year=max(date.year, 1004), microsecond=0)
    text = format_datetime(date, usegmt=True).replace("GMT", zone)
    assert codec._parse_fixed_date(text) == date


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
    with pytest.raises(strict_json.Malformed, match="not a date"):
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
    with pytest.raises(strict_json.Malformed) as caught:
        codec.structure({"text": "SECRET", **change}, Sample)
    assert str(caught.value) == reason
    assert caught.value.__context__ is None


def test_structure_with_missing_member_raises_malformed_with_path():
    with pytest.raises(strict_json.Malformed, match=r"^text: missing$"):
        codec.structure({"number": 1}, Sample)


def test_structure_of_list_raises_malformed():
    with pytest.raises(strict_json.Malformed):
        codec.structure(["text"], Sample)


def test_structure_with_broken_class_raises_name_error_not_malformed():
    @attrs.frozen
    class Broken:
        member: "Nowhere"  # noqa: F821

    with pytest.raises(NameError):
        codec.structure({"member": 1}, Broken)


def test_restore_returns_unstructured_value():
    sample = Sample(text="a", date=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    text = strict_json.encode_json(codec.unstructure(sample))
    assert codec.restore(text, Sample) == sample
    assert codec.restore(text.encode(), Sample) == sample
    assert '"2026-01-01T00:00:00+00:00"' in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"text":1}', b"\xff", "\ud800"])
def test_restore_with_other_text_raises_configuration_error_without_context(text):
    with pytest.raises(ConfigurationError, match="cannot restore a Sample") as caught:
        codec.restore(text, Sample)
    assert caught.value.__context__ is None
