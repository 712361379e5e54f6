"""Strict parsing of form bodies (RFC 6749 3.2)."""

from __future__ import annotations

from urllib.parse import parse_qsl

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse

_MAX_FIELDS = 200
FORM_TYPE = "application/x-www-form-urlencoded"


class Form:
    """The parameters of one request. It records which of them the endpoint reads."""

    def __init__(self, pairs: list[tuple[str, str]], problem: ErrorResponse | None = None) -> None:
        self.pairs = pairs
        self._problem = problem
        self._known: set[str] = set()
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            # RFC 6749 3.2: "Parameters sent without a value MUST be treated as if they were omitted".
            if value:
                self._values.setdefault(name, []).append(value)

    @classmethod
    def parse(cls, body: bytes, content_type: str) -> Form:
        """Parse `body`. An error is not raised here but when the first parameter is read."""
        if content_type != FORM_TYPE:
            return cls([], ErrorResponse("invalid_request", f"The body must be {FORM_TYPE}."))
        try:
            pairs = parse_qsl(
                body.decode("ascii"),  # all other characters must be percent-encoded
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_FIELDS,
            )
        except ValueError:  # includes UnicodeDecodeError
            return cls([], ErrorResponse("invalid_request", "The body is not a valid form."))
        return cls(pairs)

    def optional(self, *names: str) -> str | None:
        """Return the value of a parameter, or None if it is absent. Several `names` are alternatives for one parameter.

        Raises:
            ErrorResponse: ``invalid_request``: the parameter is repeated, or the form is invalid.
        """
        values = self.many(*names)
        if len(values) > 1:
            # RFC 6749 3.2: "Request and response parameters MUST NOT be included more than once".
            raise ErrorResponse("invalid_request", f"The parameter {names[0]} is repeated.")
        return values[0] if values else None

    def required(self, *names: str) -> str:
        """Return the value of a parameter that must be present.

        Raises:
            ErrorResponse: ``invalid_request``: the parameter is missing or repeated, or the form is invalid.
        """
        value = self.optional(*names)
        if value is None:
            raise ErrorResponse("invalid_request", f"The parameter {names[0]} is missing.")
        return value

    def many(self, *names: str) -> list[str]:
        """Return all values of a parameter that may be repeated.

        Raises:
            ErrorResponse: ``invalid_request``: the form is invalid.
        """
        self._known.update(names)
        if self._problem is not None:
            raise self._problem
        return [value for name in names for value in self._values.get(name, ())]

    def declare(self, *names: str) -> None:
        """Declare parameters of the endpoint that this request may not need, so that they do not count as unknown.

        Raises:
            ErrorResponse: ``invalid_request``: one of them is repeated, or the form is invalid.
        """
        for name in names:
            self.optional(name)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of parameters that the endpoint does not have; they are ignored (RFC 6749 3.2)."""
        return tuple(dict.fromkeys(name for name, _ in self.pairs if name not in self._known))
