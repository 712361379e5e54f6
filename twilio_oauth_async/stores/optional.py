"""Packages that only some stores need: imported late, and where one is missing the error names the extra."""

from __future__ import annotations

import contextlib
from collections.abc import Generator


@contextlib.contextmanager
def from_extra(extra: str, *packages: str) -> Generator[None]:
    """Guard an import of `packages`, which the extra brings.

    Raises:
        ModuleNotFoundError: one of them is missing; the message says what to install.
    """
    missing: ModuleNotFoundError | None = None
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        missing = error
    if missing is not None:
        raise ModuleNotFoundError(
            f"this needs {missing.name}: pip install 'twilio-oauth-async[{extra}]'", name=missing.name
        ) from missing
