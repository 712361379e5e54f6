"""Key set responses (RFC 7517 5), read so that one odd key does not make the other ones unusable.

- The media type and the charset are not considered. Key sets are often static files that a server sends as
  ``text/plain`` or ``application/octet-stream``. A page of a proxy is not JSON and has no list ``keys``.
- An entry that is not an object, or that has a member of which no two parsers need to read the same value, is skipped.

What is ignored is logged, once for each kind, and without its value.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import cast

from twilio_oauth_async.protocol import strict_json
from twilio_oauth_async.protocol.error_responses import Unreadable, read_object
from twilio_oauth_async.protocol.messages import Response

_log = logging.getLogger(__name__)
_logged: set[str] = set()


def read_key_set(response: Response) -> Mapping[str, object]:
    """Return the JSON object in the body of a 2xx response.

    Raises:
        Unreadable: as `read_object`, and the body has no list ``keys`` that can be read leniently.
    """
    reason: str
    try:
        return read_object(response)
    except Unreadable as error:
        reason = str(error)
    value: object = None
    with contextlib.suppress(strict_json.Malformed):
        value = strict_json.decode_json_leniently(response.body)
    body = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    keys = body.get("keys")
    if not isinstance(keys, list):
        raise Unreadable(reason)
    _log_once(f"{reason}; the usable keys are used")
    return {"keys": [entry if _is_json(entry) else None for entry in cast("list[object]", keys)]}


def skip_unusable_entries(body: Mapping[str, object]) -> Mapping[str, object]:
    """Return `body` without the entries of ``keys`` that are not objects.

    Raises:
        Malformed: no entry is an object, although there are some. It is no key set; an empty list is one.
    """
    value = body.get("keys")
    if not isinstance(value, list):
        return body  # `codec.structure` checks it
    entries = cast("list[object]", value)
    keys: list[object] = [entry for entry in entries if isinstance(entry, dict)]
    if len(keys) < len(entries):
        if not keys:
            raise strict_json.Malformed("keys: no entry is an object")
        _log_once("skipped an entry that is not an object")
    return {**body, "keys": keys}


def _is_json(value: object) -> bool:
    """Return whether no value in `value` is `strict_json.UNUSABLE`, and no string has a lone surrogate."""
    try:
        strict_json.encode_json(value).encode()
    except (TypeError, ValueError):
        return False
    return True


def _log_once(problem: str) -> None:
    """Log a warning, once per process for each `problem`: a server repeats its form in each response."""
    if problem not in _logged:
        _logged.add(problem)
        _log.warning("key set: %s. This is logged once", problem)
