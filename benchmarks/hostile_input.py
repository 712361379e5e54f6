"""Time to parse malicious bodies of the largest size that is read, which blocks the event loop: at most 50 ms.

python benchmarks/hostile_input.py
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

from harness import Report
from multidict import CIMultiDict

from twilio_oauth_async.protocol import device_authorization, discovery, token_endpoint, user_info
from twilio_oauth_async.protocol.messages import Context, Response

SIZE = 1 << 18
"""The default of `OAuthSession(max_response_bytes=...)`."""
MAX_MILLISECONDS = 50.0
CONTEXT = Context(now=datetime.now(UTC), base_url="https://oauth.example", sent=("canary-secret", "another-secret"))

INPUTS = {
    "open brackets": b"[" * SIZE,
    "open objects": b'{"a":' * (SIZE // 5),
    "escaped quotes": b'"' + b'\\"' * (SIZE // 2),
    "backslashes": b'"' + b"\\" * SIZE,
    "quotes": b'"' * SIZE,
    "digits": b"9" * SIZE,
    "many members": json.dumps({f"m{number}": number for number in range(SIZE // 16)}).encode(),
    "many numbers": b"[" + b"1," * (SIZE // 2 - 2) + b"1]",
    "many numbers, of the largest allowed number": b"[" + b"1111111111," * 9_998 + b"1]",
    "many small lists": json.dumps([[]] * (SIZE // 4)).encode(),
    "lone surrogates": b'"' + b"\\ud800" * (SIZE // 6) + b'"',
    "a long description": json.dumps({"error": "x", "error_description": "canary-" * (SIZE // 7)}).encode(),
    "control characters": json.dumps({"error": "x", "error_description": "\x01" * (SIZE // 6)}).encode(),
    "a long date": json.dumps({"access_token": "a", "access_token_expires_at": "1" * SIZE}).encode(),
    "a long token": json.dumps({"access_token": "a" * SIZE}).encode(),
    "many keys": json.dumps({"keys": [{"kty": "EC"}] * (SIZE // 16)}).encode(),
}
PARSERS = (
    token_endpoint.parse_token,
    device_authorization.parse_device_code,
    discovery.parse_certs,
    user_info.parse_user_info,
)


def milliseconds(body: bytes, status: int) -> float:
    """Return the best of five times of the slowest parser for one body."""
    response = Response(status=status, headers=CIMultiDict({"Content-Type": "application/json"}), body=body)
    slowest = 0.0
    for parse in PARSERS:
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            parse(response, CONTEXT)
            best = min(best, time.perf_counter() - started)
        slowest = max(slowest, best)
    return slowest * 1e3


def main() -> int:
    """Measure, print the results and compare them with the limit."""
    report = Report(__file__, __doc__)
    for name, body in INPUTS.items():
        took = max(milliseconds(body, 200), milliseconds(body, 400))
        report.add(name, "slowest parser", took, "ms", at_most=MAX_MILLISECONDS)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
