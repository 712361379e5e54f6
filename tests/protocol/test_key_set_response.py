"""Key set responses: one odd entry, and media types other than JSON (fault 57, docs/reliability.md)."""

import json

import pytest
from multidict import CIMultiDict

from tests.helpers.protocol import CONTEXT
from twilio_oauth_async import ProtocolError
from twilio_oauth_async.protocol import key_set_response, strict_json
from twilio_oauth_async.protocol.discovery import parse_certs
from twilio_oauth_async.protocol.messages import Response
from twilio_oauth_async.protocol.models import Certs

KEY = {"kty": "EC", "kid": "canary"}
KEY_SET = json.dumps({"keys": [KEY]}).encode()


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch):
    monkeypatch.setattr(key_set_response, "_logged", set())


def parse(body, content_type="application/json", status=200):
    headers = {} if content_type is None else {"Content-Type": content_type}
    return parse_certs(Response(status=status, headers=CIMultiDict(headers), body=body), CONTEXT)


def with_entry(text):
    """Return a key set with one good key and the entry `text`."""
    return b'{"keys": [%s, %s]}' % (text, json.dumps(KEY).encode())


class TestEntries:
    @pytest.mark.parametrize("entry", [b"5", b"null", b'"canary-2"', b"[]", b"true", b"1e3", b"[{}]"])
    def test_57_entry_that_is_not_an_object_is_skipped_and_logged_once(self, entry, caplog):
        for _ in range(3):
            assert parse(with_entry(entry)) == Certs(keys=(KEY,))
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == "key set: skipped an entry that is not an object. This is logged once"

    @pytest.mark.parametrize(
        "entry",
        [
            b'{"kid": "canary-2", "kid": "canary-3"}',
            b'{"use": "sig", "use": "enc"}',
            b'{"iat": NaN}',
            b'{"exp": 1e999}',
            b'{"kid": "\\ud800"}',
            b'{"x5c": [{"a": [Infinity]}]}',
        ],
    )
    def test_57_entry_that_parsers_read_differently_is_skipped_and_logged_once(self, entry, caplog):
        for _ in range(3):
            assert parse(with_entry(entry)) == Certs(keys=(KEY,))
        assert len(caplog.records) == 2  # the problem, and that an entry was skipped
        assert "canary" not in caplog.text

    def test_57_no_entry_is_an_object_is_protocol_error(self, caplog):
        """The cached keys stay in use. An empty list replaces them."""
        for body in (b'{"keys": [5, null]}', b'{"keys": [{"a": NaN}]}'):
            error = parse(body)
            assert type(error) is ProtocolError
            assert "no entry is an object" in str(error)
        assert parse(b'{"keys": []}') == Certs(keys=())

    @pytest.mark.parametrize("keys", [b"5", b'"canary"', b"{}", b"true", b'{"0": {}}'])
    def test_keys_that_are_no_list_are_protocol_error(self, keys):
        assert type(parse(b'{"keys": %s}' % keys)) is ProtocolError
        assert type(parse(b'{"keys": [], "keys": %s}' % keys)) is ProtocolError

    def test_two_lists_of_keys_are_protocol_error(self):
        assert type(parse(b'{"keys": [], "keys": [%s]}' % json.dumps(KEY).encode())) is ProtocolError


class TestMediaTypes:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/jwk-set+json",  # RFC 7517 8.5.2
            "Application/JWK-Set+JSON ; charset=UTF-8",
            None,
            "",
        ],
    )
    def test_57_json_media_type_is_accepted(self, content_type, caplog):
        assert parse(KEY_SET, content_type) == Certs(keys=(KEY,))
        assert caplog.records == []

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "text/plain; charset=us-ascii",
            "application/octet-stream",
            "binary/octet-stream",
            "text/html",
            "x",
        ],
    )
    def test_57_other_media_type_is_accepted_and_logged_once(self, content_type, caplog):
        for _ in range(3):
            assert parse(KEY_SET, content_type) == Certs(keys=(KEY,))
        [record] = caplog.records
        assert record.getMessage().startswith("key set: the content type is not JSON; ")

    def test_57_other_charset_is_accepted_if_the_body_is_utf_8(self, caplog):
        assert parse(KEY_SET, "application/json; charset=iso-8859-1") == Certs(keys=(KEY,))
        assert len(caplog.records) == 1
        assert type(parse(KEY_SET.decode().encode("utf-16"), "application/json; charset=utf-16")) is ProtocolError

    def test_57_byte_order_mark_is_ignored(self):
        assert parse(b"\xef\xbb\xbf" + KEY_SET) == Certs(keys=(KEY,))

    @pytest.mark.parametrize("body", [b"<html>canary</html>", b"", b"{}", b"[]", b'"keys"', KEY_SET[:-1], KEY_SET * 2])
    def test_57_other_media_type_without_a_key_set_is_protocol_error(self, body):
        error = parse(body, "text/html")
        assert type(error) is ProtocolError
        assert "canary" not in str(error)

    def test_57_limits_hold(self):
        deep = b"[" * strict_json.MAX_DEPTH + b"]" * strict_json.MAX_DEPTH
        assert type(parse(with_entry(deep), "text/plain")) is ProtocolError
        assert type(parse(with_entry(b"1" * 65), "text/plain")) is ProtocolError

    def test_57_error_status_is_read_strictly(self):
        assert type(parse(KEY_SET, "text/html", status=404)) is ProtocolError
