"""A form body, read as strictly as RFC 6749 3.2 wants it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from twilio_oauth_async.emulator.messages.refusal import RefusalError

_MAX_FIELDS = 200
FORM_TYPE = "application/x-www-form-urlencoded"


class Form:
    """The parameters of one request; remembers which of them the endpoint asked for."""

    def __init__(self, pairs: list[tuple[str, str]], problem: RefusalError | None = None) -> None:
        self.pairs = pairs
        self._problem = problem
        self._asked: set[str] = set()
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            # RFC 6749 3.2: "Parameters sent without a value MUST be treated as if they were omitted".
            if value:
                self._values.setdefault(name, []).append(value)

    @classmethod
    def parse(cls, body: bytes, content_type: str) -> Form:
        """Read `body`; what is wrong with it is raised when the first parameter is asked for, not here."""
        if content_type != FORM_TYPE:
            return cls([], RefusalError("invalid_request", f"The body must be {FORM_TYPE}."))
        try:
            pairs = parse_qsl(
                body.decode("ascii"),  # everything else has to be percent-encoded
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_FIELDS,
            )
        except ValueError:  # UnicodeDecodeError is one
            return cls([], RefusalError("invalid_request", "The body is not a readable form."))
        return cls(pairs)

    def optional(self, *names: str) -> str | None:
        """Return the one value of the parameter, whichever of its `names` it came under; None where it is absent.

        Raises:
            RefusalError: ``invalid_request``: it stands there more than once, or the form is unreadable.
        """
        values = self.many(*names)
        if len(values) > 1:
            # RFC 6749 3.2: "Request and response parameters MUST NOT be included more than once".
            raise RefusalError("invalid_request", f"The parameter {names[0]} stands there more than once.")
        return values[0] if values else None

    def required(self, *names: str) -> str:
        """Like `optional`, for a parameter that must be there."""
        value = self.optional(*names)
        if value is None:
            raise RefusalError("invalid_request", f"The parameter {names[0]} is missing.")
        return value

    def many(self, *names: str) -> list[str]:
        """All values of a parameter that may repeat."""
        self._asked.update(names)
        if self._problem is not None:
            raise self._problem
        return [value for name in names for value in self._values.get(name, ())]

    def known(self, *names: str) -> None:
        """Name parameters that belong to the endpoint although this request may not use them.

        Raises:
            RefusalError: ``invalid_request``: one of them stands there more than once.
        """
        for name in names:
            self.optional(name)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names that nobody asked for: ignored (RFC 6749 3.2: "MUST ignore unrecognized request parameters")."""
        return tuple(dict.fromkeys(name for name, _ in self.pairs if name not in self._asked))
