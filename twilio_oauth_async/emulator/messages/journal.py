"""Journal of the requests that the server received. Tests can read the secrets in them; no repr shows one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, cast, overload

from attrs import define, field
from multidict import CIMultiDict, MultiDict

_SECRET_NAMES = frozenset(
    [
        "accesstoken",
        "authorization",
        "clientsecret",
        "code",
        "codeverifier",
        "cookie",
        "csrf",
        "devicecode",
        "idtoken",
        "idtokenhint",
        "password",
        "proxyauthorization",
        "refreshtoken",
        "setcookie",
        "token",
    ]
)


def _redacted(name: str, value: str) -> str | None:
    """Return a placeholder if `value` is a secret, else None."""
    plain = name.lower().replace("_", "").replace("-", "")
    return f"<{len(value)} characters>" if plain in _SECRET_NAMES else None


def _redacted_repr(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<{', '.join(f'{name}={_redacted(name, value) or repr(value)}' for name, value in pairs)}>"


def _redacted_pairs(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    return [[name, _redacted(name, value) or value] for name, value in pairs]


class Parameters(MultiDict[str]):
    """Query or form parameters in order, including repeated ones. The values can be secret; the repr is redacted."""

    def __repr__(self) -> str:
        return _redacted_repr(self.items())


class Headers(CIMultiDict[str]):
    """Request headers. The values can be secret; the repr is redacted."""

    def __repr__(self) -> str:
        return _redacted_repr(self.items())


@define(kw_only=True, eq=False)
class RecordedRequest:
    """A request as it was received, and the outcome."""

    method: str
    path: str
    endpoint: str
    """``token``, ``device_code`` and so on, as in `Faults.on`; empty for a path that does not exist."""
    kind: str
    """For a token request its grant: ``poll``, ``refresh``, ``code``, ``client_credentials``; else as `endpoint`."""
    query: Parameters
    form: Parameters
    headers: Headers
    body: bytes = field(repr=False)
    received_at: float
    """Seconds of the emulator's monotonic clock."""
    received_on: datetime
    """Time of the emulator's wall clock."""
    peer_port: int | None
    """The client's port. It is equal for two requests on the same connection."""
    status: int | None = None
    """HTTP status of the response; None until it is known, and if no response was sent."""
    error: str | None = None
    """Code of the error response, for example ``authorization_pending``."""
    fault: str | None = None
    """Description of the fault that hit the request."""
    unknown_parameters: tuple[str, ...] = ()
    """Names of parameters that the endpoint does not have and ignored (RFC 6749 3.2)."""

    def redacted(self) -> dict[str, Any]:
        """Return the request as JSON values: without the body, each secret replaced by its length."""
        return {
            "method": self.method,
            "path": self.path,
            "endpoint": self.endpoint,
            "kind": self.kind,
            # Pairs, because names may repeat and their order may matter.
            "query": _redacted_pairs(self.query.items()),
            "form": _redacted_pairs(self.form.items()),
            "headers": _redacted_pairs(self.headers.items()),
            "received_at": self.received_at,
            "received_on": self.received_on.isoformat(),
            "peer_port": self.peer_port,
            "status": self.status,
            "error": self.error,
            "fault": self.fault,
            "unknown_parameters": list(self.unknown_parameters),
        }


class ForgottenRequestsError(RuntimeError):
    """Something about all requests is not known, because the journal has forgotten the oldest ones."""


class Journal(Sequence[RecordedRequest]):
    """Requests in the order in which they were received. Beyond a number or size, the oldest are forgotten."""

    def __init__(self, max_requests: int = 10_000, max_bytes: int = 32 << 20) -> None:
        """Create an empty journal.

        Args:
            max_requests: number of requests that are kept.
            max_bytes: bytes of the requests that are kept, as they were received. The newest one is always kept.

        Raises:
            ValueError: one of them is not a positive integer.
        """
        for limit in cast("tuple[object, ...]", (max_requests, max_bytes)):
            if not isinstance(limit, int) or limit < 1:
                raise ValueError("journal_size and journal_bytes must be positive integers")
        self._max_requests, self._max_bytes = max_requests, max_bytes
        self._requests: deque[RecordedRequest] = deque()
        self._sizes: dict[RecordedRequest, int] = {}
        self._bytes = 0
        self.forgotten: int = 0
        """Number of requests that were received and are not kept any more, since the start or the last `clear`."""

    def add(self, request: RecordedRequest) -> None:
        """Append `request`, whose body is not read yet."""
        self._requests.append(request)
        headers = sum(len(name) + len(value) for name, value in request.headers.items())
        self._add_size(request, len(request.path) + headers)

    def add_body(self, request: RecordedRequest, body: bytes) -> None:
        """Set the body of `request`, which was added before."""
        request.body = body
        if request in self._sizes:  # it is not forgotten yet
            self._add_size(request, len(body))

    def clear(self) -> None:
        """Delete all requests."""
        self._requests.clear()
        self._sizes.clear()
        self._bytes = self.forgotten = 0

    def _add_size(self, request: RecordedRequest, size: int) -> None:
        self._sizes[request] = self._sizes.get(request, 0) + size
        self._bytes += size
        while len(self._requests) > min(self._max_requests, 1 if self._bytes > self._max_bytes else math.inf):
            self._bytes -= self._sizes.pop(self._requests.popleft())
            self.forgotten += 1

    def to(self, endpoint: str) -> list[RecordedRequest]:
        """Return the requests to one endpoint or of one kind, for example ``token`` or ``refresh``."""
        return [request for request in self._requests if endpoint in {request.endpoint, request.kind}]

    def poll_gaps(self, device_code: str | None = None) -> list[float]:
        """Return the seconds between successive polls of `device_code`, or of each device code if it is None.

        Raises:
            ForgottenRequestsError: the oldest requests are not kept any more, so gaps would be missing.
        """
        if self.forgotten:
            raise ForgottenRequestsError(
                f"the journal has forgotten the {self.forgotten} oldest requests, so not all gaps are known; "
                "clear it earlier, or give the emulator a larger journal_size and journal_bytes"
            )
        last: dict[str, float] = {}
        gaps: list[float] = []
        for request in self.to("poll"):
            polled = request.form.get("DeviceCode", "")
            if device_code is not None and polled != device_code:
                continue
            if polled in last:
                gaps.append(request.received_at - last[polled])
            last[polled] = request.received_at
        return gaps

    def polled_faster_than(self, interval: float, device_code: str | None = None) -> bool:
        """Whether two successive polls of one device code were less than `interval` seconds apart.

        Raises:
            ForgottenRequestsError: as `poll_gaps`.
        """
        # Tolerance for rounding: times are floating-point numbers.
        return any(gap < interval - 1e-6 for gap in self.poll_gaps(device_code))

    @overload
    def __getitem__(self, index: int) -> RecordedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedRequest]: ...
    def __getitem__(self, index: int | slice) -> RecordedRequest | list[RecordedRequest]:
        if isinstance(index, slice):
            return list(self._requests)[index]
        return self._requests[index]

    def __iter__(self) -> Iterator[RecordedRequest]:
        return iter(list(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def __repr__(self) -> str:
        forgotten = f", {self.forgotten} older ones forgotten" if self.forgotten else ""
        return f"<Journal of {len(self)} requests{forgotten}>"
