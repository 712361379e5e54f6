"""Responses of a faulty server, for every kind of request: unreadable, of unusual form, or cut off."""

from tests.helpers.raw_server import hang_up, http, reset, send_and_close

UNREADABLE_JSON = {
    "invalid": b"{'canary': 1}",
    "empty": b"",
    "not UTF-8": b'{"access_token":"canary\xff"}',
    "list": b'["canary"]',
    "string": b'"canary"',
    "null": b"null",
    "100k nesting": b'{"access_token":"canary","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "5,000 digits": b'{"access_token":"canary","expires_in":' + b"9" * 5000 + b"}",
    "contradicting duplicate keys": b'{"access_token":"canary","access_token":"canary2"}',
}
UNREADABLE = {
    **{name: http(201, body) for name, body in UNREADABLE_JSON.items()},
    "HTML page": http(200, b"<html>canary", "text/html"),
    "204": http(204, b"", None),
    "HTML 404": http(404, b"<html>canary", "text/html"),
}
"""Responses that break the contract, by name."""

UNUSUAL_FORM = {
    "byte order mark": http(201, b'\xef\xbb\xbf{"access_token":"canary"}'),
    "NaN": http(201, b'{"access_token":"canary","x":NaN}'),
    "duplicate keys": http(201, b'{"access_token":"canary","access_token":"canary"}'),
    "lone surrogate": http(201, b'{"access_token":"canary","x":"\\ud800"}'),
    "JSON as HTML": http(200, b'{"access_token":"canary"}', "text/html"),
    "wrong charset": http(200, b'{"access_token":"canary"}', "application/json; charset=utf-16"),
}
"""Responses in which a token request finds its token; all other requests cannot read them."""

COMPLETE = http(201, {"access_token": "a", "keys": []})
CUT_OFF = [
    send_and_close(b"HTTP/1.1 201 Created\r\nContent-Type: applic"),
    send_and_close(COMPLETE[:-4]),
    send_and_close(http(201, b'{"access_token":"a"}', Content_Length="2000")),
    send_and_close(b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a'),
    reset,
    hang_up,
]
"""Connections that end before the response is complete."""
