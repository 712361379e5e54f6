"""`Project`: a project in an empty folder whose tests use our pytest plugin, found by its entry point."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

import cattrs  # noqa: F401
import pytest

import twilio_oauth_async
import twilio_oauth_async.emulator

# Loaded before the nested runs. A nested run removes the modules that it was the first to import. A later test would
# import them again, and their classes would not be the ones that the modules imported before know.
LOADED = [getattr(twilio_oauth_async, name) for name in twilio_oauth_async.__all__]

WANTED = {"asyncio", "twilio_oauth"}
OTHERS = ("cacheprovider", *({plugin.name for plugin in entry_points(group="pytest11")} - WANTED))
"""Other plugins that are installed here; loading them would take each nested run a second."""


class Project:
    """A project that uses the plugin: its configuration, and a run of its tests."""

    def __init__(self, pytester: pytest.Pytester, mode: str = "strict") -> None:
        self._pytester = pytester
        self.configure(f"asyncio_mode = {mode}")

    def configure(self, *lines: str) -> None:
        """Replace its configuration; warnings are errors, as they are here."""
        loop_scope = "asyncio_default_fixture_loop_scope = "
        given = any(line.startswith(loop_scope) for line in lines)
        lines = (*lines, *(() if given else (loop_scope + "function",)), "filterwarnings = error")
        self._pytester.makeini("[pytest]\n" + "\n".join(lines) + "\n")

    def run(
        self, tests: str, *, conftest: str = "", options: tuple[str, ...] = (), without: Sequence[str] = OTHERS
    ) -> pytest.RunResult:
        """Run `tests` in this process, where no test may sleep or leave loopback, and without some plugins."""
        self._pytester.makeconftest(conftest)
        self._pytester.makepyfile(f"import pytest\nfrom twilio_oauth_async import *\n\n{tests}")
        return self._pytester.runpytest_inprocess(*(f"-pno:{other}" for other in without), *options)
