"""The clock of the server: its difference from the local clock, and dates converted between the two."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.helpers.protocol import NOW
from twilio_oauth_async.emulator.messages.response_formats import http_date
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.server_time import measure_skew, shift, to_local_time, to_server_time


def seconds(number):
    return timedelta(seconds=number)


def skew(date, sent=NOW, received=NOW, **headers):
    return measure_skew(CIMultiDict({"date": date, **headers}), sent, received)


@pytest.mark.parametrize(
    ("date", "sent", "received", "expected"),
    [
        # The clocks may agree.
        (0, 0, 0, 0),
        (0, 0.9, 0.999, 0),
        (0, 0, 10, 0),
        (5, 0, 10, 0),
        (10, 0, 10, 0),
        (-1, 0, 0, 0),
        # The server is ahead: at least by the time from the receipt to its date.
        (60, 0, 0, 60),
        (60, 0, 10, 50),
        (11, 0, 10.5, 0.5),
        # The server is behind: at least by the time from the end of its second to the request.
        (-60, 0, 0, -59),
        (-60, 0, 10, -59),
        (0, 1.5, 10, -0.5),
    ],
)
def test_measure_skew_returns_the_possible_value_nearest_to_zero(date, sent, received, expected):
    assert skew(http_date(NOW + seconds(date)), NOW + seconds(sent), NOW + seconds(received)) == expected


@given(
    true=st.floats(-1e8, 1e8),
    there=st.floats(0, 100),
    back=st.floats(0, 100),
)
def test_measure_skew_is_never_further_from_zero_than_the_true_skew(true, there, back):
    processed = NOW + seconds(there)
    found = skew(http_date(processed + seconds(true)), NOW, processed + seconds(back))
    assert abs(found) <= abs(true) + 1e-5
    assert found == 0 or (found > 0) == (true > 0)
    assert abs(found - true) <= there + back + 1 + 1e-5


@pytest.mark.parametrize(
    "date",
    ["Thu, 01 Jan 2026 01:00:00 GMT", "Thursday, 01-Jan-26 01:00:00 GMT", "Thu Jan  1 01:00:00 2026"],
)
def test_measure_skew_reads_the_three_formats_of_http(date):
    assert skew(date) == 3600


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Foo", "0", "x" * 10_000])
def test_measure_skew_with_invalid_date_returns_none(date):
    assert skew(date) is None


def test_measure_skew_without_date_or_from_a_cache_returns_none():
    assert measure_skew(CIMultiDict(), NOW, NOW) is None
    assert skew(http_date(NOW), age="0") is None


def test_measure_skew_with_wall_clock_set_back_meanwhile_returns_none():
    assert skew(http_date(NOW), sent=NOW, received=NOW - seconds(3600)) is None


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0101 00:00:00 GMT"])
def test_shift_stays_within_the_range_of_datetime(date):
    found = skew(date)
    assert abs(found) > 1e10
    for later in (NOW + seconds(86_400), datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)):
        assert shift(later, found).tzinfo is shift(later, -found).tzinfo is UTC


@pytest.mark.parametrize("hours", [-2.25, 26])
def test_token_dates_are_converted_to_server_time_and_back(hours):
    token = Token(access_token="a", access_token_expires_at=NOW, refresh_token_expires_at=NOW + seconds(5))
    server = to_server_time(token, hours * 3600)
    assert server.access_token_expires_at == NOW + timedelta(hours=hours)
    assert server.refresh_token_expires_at == NOW + timedelta(hours=hours, seconds=5)
    assert server.access_token == "a"
    assert to_local_time(server, hours * 3600) == token


def test_token_without_dates_or_skew_is_returned_as_it_is():
    dated = Token(access_token="a", access_token_expires_at=NOW)
    undated = Token(access_token="a")
    for convert in (to_server_time, to_local_time):
        assert convert(dated, 0.0) is dated
        assert convert(undated, 3600.0) is undated
        assert convert(dated, 3600.0).refresh_token_expires_at is None
