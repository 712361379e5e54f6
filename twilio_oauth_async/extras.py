"""Guards for imports of optional packages. If a package is not installed, the error says what to install.

May import: nothing of the package. Every folder may import it, the emulator too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator


class MissingExtraError(ModuleNotFoundError):
    """An optional package is not installed; the message says what to install."""

    def __init__(self, package: str, requirement: str) -> None:
        """Create the error for `package`, which ``pip install 'requirement'`` installs."""
        super().__init__(f"missing package {package}: pip install '{requirement}'", name=package)


@contextlib.contextmanager
def from_extra(extra: str, *packages: str) -> Generator[None]:
    """Guard an import of `packages`, which the extra `extra` of this package installs.

    Raises:
        MissingExtraError: one of `packages` is not installed.
    """
    with from_requirement(f"twilio-oauth-async[{extra}]", *packages):
        yield


@contextlib.contextmanager
def from_requirement(requirement: str, *packages: str) -> Generator[None]:
    """Guard an import of `packages`, which ``pip install 'requirement'`` installs.

    Raises:
        MissingExtraError: one of `packages` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(package, requirement) from error
