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
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise ModuleNotFoundError(
            f"this needs {package}: pip install 'twilio-oauth-async[{extra}]'", name=error.name
        ) from error
