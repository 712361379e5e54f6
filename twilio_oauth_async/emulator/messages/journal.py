"""What was asked of the server, kept so that a test can look at it; secrets are there but not in any repr."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, overload

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
    """What may be shown instead of `value`; None where it may be shown itself."""
    plain = name.lower().replace("_", "").replace("-", "")
    return f"<{len(value)} characters>" if plain in _SECRET_NAMES else None


def _shown(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<{', '.join(f'{name}={_redacted(name, value) or repr(value)}' for name, value in pairs)}>"


def _redacted_pairs(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    return [[name, _redacted(name, value) or value] for name, value in pairs]


class Parameters(MultiDict[str]):
    """Query or form parameters, in their order, repeated ones included. The repr shows no secret; reading does."""

    def __repr__(self) -> str:
        return _shown(self.items())


class Headers(CIMultiDict[str]):
    """Request headers. The repr shows no secret; reading does."""

    def __repr__(self) -> str:
        return _shown(self.items())


@define(kw_only=True, eq=False)
class RecordedRequest:
    """One request as it arrived, and how it was answered."""

    method: str
    path: str
    endpoint: str
    """``token``, ``device_code`` and so on: the names that `faults` go by; empty for what does not exist."""
    kind: str
    """Like `endpoint`; a token request of a known grant is ``poll``, ``refresh``, ``code``, ``client_credentials``."""
    query: Parameters
    form: Parameters
    headers: Headers
    body: bytes = field(repr=False)
    received_at: float
    """Seconds of the emulator's monotonic clock."""
    received_on: datetime
    """The emulator's wall clock."""
    peer_port: int | None
    """The port at the other end: equal for two requests that shared a connection."""
    status: int | None = None
    """What was answered; None while the answer is being made, and where none was sent."""
    error: str | None = None
    """The code of a refusal, for example ``authorization_pending``."""
    fault: str | None = None
    """The fault that hit it, in words."""
    unknown_parameters: tuple[str, ...] = ()
    """Parameters that were ignored because the endpoint does not have them (RFC 6749 3.2)."""

    def redacted(self) -> dict[str, Any]:
        """Return it as JSON can carry it: without the body, secrets replaced by their lengths."""
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


class Journal(Sequence[RecordedRequest]):
    """Requests in the order of their arrival; the oldest are dropped beyond `limit`."""

    def __init__(self, limit: int = 10_000) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=limit)

    def add(self, request: RecordedRequest) -> None:
        """Append one."""
        self._requests.append(request)

    def clear(self) -> None:
        """Forget all."""
        self._requests.clear()

    def to(self, endpoint: str) -> list[RecordedRequest]:
        """Those to one endpoint or of one kind, for example ``token`` or ``refresh``."""
        return [request for request in self._requests if endpoint in {request.endpoint, request.kind}]

    def poll_gaps(self, device_code: str | None = None) -> list[float]:
        """Seconds between each two successive polls of one device code; of every device code where none is named."""
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
        """Whether two successive polls of one device code were closer than `interval` seconds; as `poll_gaps`."""
        # A millionth for the rounding of floating-point time.
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
        return f"<Journal of {len(self)} requests>"
