"""Faults on order: which requests, what goes wrong, how often. One readable line each.

``emulator.faults.on("token").times(2).answer(503, retry_after=3)``: the next two token requests get 503.
``emulator.faults.on("refresh").drop_answer()``: the next refresh rotates the token, and the client never sees it.
``emulator.faults.on("poll").always().chance(0.2).reset("inside")``: every fifth poll or so breaks in mid-body.

A fault hits once unless told otherwise. Faults for one endpoint are used up in the order in which they were made, one
per request; what is left over stands in `Faults.unused`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self, get_args

from aiohttp import web

from twilio_oauth_async.emulator.faults import answers, checks
from twilio_oauth_async.emulator.faults.answers import Garble, Signer
from twilio_oauth_async.emulator.faults.plan import Break, Moment, Plan
from twilio_oauth_async.emulator.messages.dialect import Dialect
from twilio_oauth_async.emulator.messages.journal import RecordedRequest

Target = Literal[
    "discovery",
    "certs",
    "device_code",
    "token",
    "poll",
    "refresh",
    "code",
    "client_credentials",
    "userinfo",
    "revoke",
    "authorize",
]
"""``token`` is every token request; ``poll``, ``refresh``, ``code``, ``client_credentials`` are those of one grant."""

_TARGETS: Final = frozenset(get_args(Target))


class Fault:
    """One fault; every method adds to it and returns it, so that a line of calls reads as a sentence."""

    def __init__(self, number: int, targets: frozenset[str], luck: random.Random) -> None:
        self.number = number
        """Counts the faults of one emulator, from 0."""
        self.hits = 0
        """How many requests it has hit so far."""
        self.plan = Plan()
        self._targets = targets
        self._luck = luck
        self._left: int | None = 1
        self._skip = 0
        self._chance = 1.0
        self._condition: Callable[[RecordedRequest], bool] | None = None
        self._words = [f"on({', '.join(map(repr, sorted(targets & _TARGETS)))})" if targets < _TARGETS else "on()"]

    # -- which requests

    def times(self, count: int) -> Self:
        """Hit `count` requests."""
        self._left = checks.positive("count", count)
        return self._say(f"times({count})")

    def always(self) -> Self:
        """Hit every request until removed."""
        self._left = None
        return self._say("always()")

    def after(self, count: int) -> Self:
        """Let `count` requests through first."""
        self._skip = checks.positive("count", count)
        return self._say(f"after({count})")

    def chance(self, probability: float) -> Self:
        """Hit each request with this probability; the emulator's seed decides which, so every run is the same."""
        if not 0 <= probability <= 1:
            raise ValueError("a probability is between 0 and 1")
        self._chance = probability
        return self._say(f"chance({probability})")

    def when(self, condition: Callable[[RecordedRequest], bool]) -> Self:
        """Hit only requests that `condition` is true of."""
        self._condition = condition
        return self._say("when(...)")

    def on_success(self) -> Self:
        """Hit only requests that the server would have granted; they are processed before anything goes wrong."""
        self.plan.success_only = True
        return self._say("on_success()")

    # -- instead of processing the request

    def answer(
        self,
        status: int,
        *,
        json: Any = ...,
        text: str | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | datetime | None = None,
        processed: bool = False,
    ) -> Self:
        """Answer this and do nothing else; with `processed` do the work and answer this all the same.

        Without `json`, `text` and `body` the body is an error of the emulator's dialect that suits `status`.
        `retry_after` is seconds, a date, or whatever text should stand there.
        """
        checks.final_status(status)
        for name, value in {**(headers or {}), "Content-Type": content_type}.items():
            checks.header(name, value)
        if isinstance(retry_after, str):
            checks.header("Retry-After", retry_after)
        self.plan.processed = processed
        return self._replace(
            f"answer({status})",
            lambda dialect: answers.answer(
                dialect,
                status,
                json=json,
                text=text,
                body=body,
                content_type=content_type,
                headers=headers,
                retry_after=retry_after,
            ),
        )

    def error(self, code: str, *, status: int = 400, description: str = "A fault was asked for.") -> Self:
        """Refuse with an OAuth error code; a ``slow_down`` storm is ``times(20).error("slow_down")``."""
        checks.final_status(status)
        self.plan.processed = False
        return self._replace(f"error({code!r})", lambda dialect: answers.error(dialect, code, status, description))

    def html(self, status: int = 502) -> Self:
        """Answer the HTML page of some proxy."""
        checks.final_status(status)
        self.plan.processed = False
        return self._replace(f"html({status})", lambda _: answers.html(status))

    def redirect(self, location: str, *, status: int = 307) -> Self:
        """Send the client elsewhere."""
        checks.final_status(status)
        checks.header("Location", location)
        self.plan.processed = False
        return self._replace(f"redirect({status})", lambda _: answers.redirect(location, status))

    # -- processing it, and changing the answer

    def change(self, /, **members: Any) -> Self:
        """Set members of the JSON answer. A function is given the real value and returns the new one."""
        return self._edit(f"change({', '.join(members)})", lambda answer: answers.change(answer, members))

    def omit(self, *names: str) -> Self:
        """Leave members of the JSON answer out."""
        return self._edit(f"omit({', '.join(names)})", lambda answer: answers.omit(answer, names))

    def garble(self, how: Garble) -> Self:
        """Make the JSON answer one that a parser should not take."""
        checks.one_of("how", how, get_args(Garble))
        return self._edit(f"garble({how!r})", lambda answer: answers.garble(answer, how))

    def status(self, status: int) -> Self:
        """Keep the body and answer another status."""
        checks.final_status(status)
        return self._edit(f"status({status})", lambda answer: answer.set_status(status))

    def header(self, name: str, value: str | None) -> Self:
        """Set a header of the answer, or with None take it away."""
        checks.header(name, value)
        return self._edit(f"header({name!r})", lambda answer: answers.header(answer, name, value))

    def pad(self, size: int = 10 << 20) -> Self:
        """Make the JSON answer `size` bytes long with one member more; it stays good."""
        return self._edit(f"pad({size})", lambda answer: answers.pad(answer, size))

    def gzip_bomb(self, size: int = 64 << 20) -> Self:
        """Answer a few kilobytes that unpack to `size` bytes of JSON."""
        return self._edit(f"gzip_bomb({size})", lambda answer: answers.gzip_bomb(answer, size))

    def id_token(
        self,
        *,
        claims: Mapping[str, Any] | None = None,
        omit: tuple[str, ...] = (),
        header: Mapping[str, Any] | None = None,
        signed_by: Signer = "emulator",
    ) -> Self:
        """Forge the id token: other claims or header, or signed by somebody else, with HMAC, or by nobody."""
        checks.one_of("signed_by", signed_by, get_args(Signer))
        self.plan.forgery = answers.Forgery(claims or {}, omit, header or {}, signed_by)
        return self._say("id_token(...)")

    # -- how it is sent

    def delay(self, seconds: float) -> Self:
        """Wait before answering, on the emulator's clock. The request is processed even if the client gives up."""
        self.plan.delay = seconds
        return self._say(f"delay({seconds})")

    def drip(self, seconds: float = 1.0, *, chunk: int = 1) -> Self:
        """Send the body `chunk` bytes at a time with a pause between them: the slow-loris answer."""
        self.plan.drip = (seconds, checks.positive("chunk", chunk))
        return self._say(f"drip({seconds})")

    def truncate(self, keep: float = 0.5) -> Self:
        """Announce the whole body, send this part of it and close the connection."""
        if not 0 <= keep < 1:
            raise ValueError("keep is the part of the body that is sent: from 0 to less than 1")
        self.plan.keep = keep
        return self._say(f"truncate({keep})")

    def wrong_length(self, by: int) -> Self:
        """Announce `by` bytes more than are sent (or fewer, where negative) and close the connection."""
        self.plan.length_error = by
        return self._say(f"wrong_length({by})")

    def reset(self, moment: Moment = "before") -> Self:
        """Break the connection with a TCP reset."""
        return self._break("reset", moment)

    def hang_up(self, moment: Moment = "before") -> Self:
        """Close the connection in an orderly way."""
        return self._break("hang_up", moment)

    def stall(self, moment: Moment = "before") -> Self:
        """Say nothing more and keep the connection open until the emulator stops."""
        if moment == "after":
            raise ValueError("nothing is missing after the whole answer; stall before, unanswered or inside")
        return self._break("stall", moment)

    def drop_answer(self) -> Self:
        """Do everything that was asked for and close the connection without a word."""
        return self.hang_up("unanswered")

    # -- for the emulator

    def wants(self, record: RecordedRequest) -> bool:
        """Whether it is to hit this request; the emulator asks once per request."""
        if self._left == 0 or not self._targets & {record.endpoint, record.kind}:
            return False
        if self._condition is not None and not self._condition(record):
            return False
        if self._skip:
            self._skip -= 1
            return False
        return self._chance >= 1 or self._luck.random() < self._chance

    def count_hit(self) -> None:
        """Note that it has hit."""
        self.hits += 1
        if self._left is not None:
            self._left -= 1

    @property
    def is_used_up(self) -> bool:
        """Whether it has done what it was told to; one that is for always never has."""
        return self._left == 0

    @property
    def is_unused(self) -> bool:
        """Whether it has hit less often than it was told to; one that is for always is content with one hit."""
        return self.hits == 0 if self._left is None else self._left > 0

    @property
    def words(self) -> str:
        """The line of calls that it was made with."""
        return ".".join(self._words)

    def __repr__(self) -> str:
        return f"<Fault {self.words}, {self.hits} hits>"

    def _say(self, words: str) -> Self:
        self._words.append(words)
        return self

    def _replace(self, words: str, make: Callable[[Dialect], web.Response]) -> Self:
        self.plan.replacement = make
        return self._say(words)

    def _edit(self, words: str, edit: Callable[[web.Response], None]) -> Self:
        self.plan.edits.append(edit)
        return self._say(words)

    def _break(self, how: Literal["reset", "hang_up", "stall"], moment: Moment) -> Self:
        checks.one_of("moment", moment, get_args(Moment))
        self.plan.broken = Break(how, moment)
        return self._say(f"{how}({moment!r})")


class Faults:
    """The faults of one emulator."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._made = 0
        self._faults: list[Fault] = []

    def on(self, *targets: Target) -> Fault:
        """Make a fault for these endpoints, or for all of the API where none is named.

        Raises:
            ValueError: there is no such endpoint.
        """
        unknown = set(targets) - _TARGETS
        if unknown:
            raise ValueError(f"no such endpoint: {', '.join(sorted(unknown))}; there are {', '.join(sorted(_TARGETS))}")
        # Each fault has its own luck, so that one more fault does not change what the others do.
        fault = Fault(self._made, frozenset(targets) or _TARGETS, random.Random(f"{self._seed}:{self._made}"))  # noqa: S311 - tests
        self._made += 1
        self._faults.append(fault)
        return fault

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults))

    def remove(self, fault: Fault) -> None:
        """Take one away; nothing happens where it is gone already."""
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        """Take all away."""
        self._faults.clear()

    @property
    def unused(self) -> list[Fault]:
        """Those that have not hit as often as they were told to; a test may want this to be empty at its end."""
        return [fault for fault in self._faults if fault.is_unused]

    def take(self, record: RecordedRequest) -> Fault | None:
        """Return the fault that hits this request; the emulator calls it once per request."""
        return next((fault for fault in self._faults if fault.wants(record)), None)

    def __repr__(self) -> str:
        return f"<Faults {self._faults}>"
