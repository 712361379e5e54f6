"""Somebody else's project, in a fresh folder, with the plugin found by its entry point as there."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

# Loaded before the nested runs: those forget what they import, and cryptography cannot be loaded twice in a process.
import twilio_oauth_async.emulator  # noqa: F401
from twilio_oauth_async import DeviceFlow, OAuthSession  # noqa: F401

WANTED = {"asyncio", "twilio_oauth"}
OTHERS = ("cacheprovider", *({plugin.name for plugin in entry_points(group="pytest11")} - WANTED))
"""What else is installed here would cost each nested run a second."""


class Project:
    """Tests of the downstream project, and a way to run them."""

    def __init__(self, pytester: pytest.Pytester, mode: str = "strict") -> None:
        self._pytester = pytester
        self.configure(f"asyncio_mode = {mode}")

    def configure(self, *lines: str) -> None:
        """Replace its configuration; warnings are errors in it, as they are here."""
        loop_scope = "asyncio_default_fixture_loop_scope = "
        given = any(line.startswith(loop_scope) for line in lines)
        lines = (*lines, *(() if given else (loop_scope + "function",)), "filterwarnings = error")
        self._pytester.makeini("[pytest]\n" + "\n".join(lines) + "\n")

    def run(self, tests: str, *, conftest: str = "", options: tuple[str, ...] = ()) -> pytest.RunResult:
        """Run `tests` in this process, where no test may sleep or leave loopback."""
        self._pytester.makeconftest(conftest)
        self._pytester.makepyfile(f"import pytest\nfrom twilio_oauth_async import *\n\n{tests}")
        return self._pytester.runpytest_inprocess(*(f"-pno:{other}" for other in OTHERS), *options)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture
def auto_project(pytester: pytest.Pytester) -> Project:
    return Project(pytester, "auto")
