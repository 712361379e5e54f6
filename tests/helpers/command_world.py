"""`CommandWorld`: the commands in this process, against an emulator in a thread, with folders of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from twilio_oauth_async.cli import main, opening
from twilio_oauth_async.cli.settings import NAMES
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.control.in_thread import EmulatorThread
from twilio_oauth_async.stores.base import TokenKey
from twilio_oauth_async.stores.file import FileTokenStore


class CommandWorld:
    """Runs commands; each is a process of its own for the stores, because nothing is kept between two."""

    def __init__(
        self,
        emulator: EmulatorThread,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.emulator, self.folder = emulator, folder
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.config = folder / "config" / "twilio-oauth-async" / "config.toml"
        self.out = self.err = ""

    def run(self, *args: str) -> int:
        """Run a command line and return its exit code; `out` and `err` have its output."""
        code = main(list(args))
        self.out, self.err = self._capsys.readouterr()
        return code

    def ok(self, *args: str) -> str:
        """Run a command that must succeed, and return its output without the line break at its end."""
        code = self.run(*args)
        assert code == 0, self.err
        return self.out.removesuffix("\n")

    def json(self, *args: str) -> dict[str, Any]:
        """Run a command with ``--json`` and return its document, whatever the exit code."""
        self.run(*args, "--json")
        document: dict[str, Any] = json.loads(self.out)
        return document

    def configure(self, text: str, mode: int = 0o600) -> None:
        """Write the configuration file."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(mode)

    def approve_next(self, decision: str = "approve") -> None:
        """Decide about the next code as soon as it is issued."""
        emulator = self.emulator

        def decide(record: Any) -> bool:
            # Called in the thread of the emulator for each poll: the code is there by then.
            for code in emulator._backend.server.devices.pending(emulator._backend.now()):  # pyright: ignore[reportPrivateUsage]
                devices = emulator._backend.server.devices  # pyright: ignore[reportPrivateUsage]
                if decision == "approve":
                    devices.approve(code.user_code, emulator.user, emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
                elif decision == "deny":
                    devices.deny(code.user_code, emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
                else:
                    devices.expire(code.user_code, emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
            return False

        emulator.faults.on("poll").always().when(decide).delay(0.001)

    def later(self, seconds: float) -> None:
        """Let the next commands run `seconds` later, by their clock."""
        self._monkeypatch.setattr(opening, "new_clock", lambda: VirtualClock(datetime.now(UTC) + timedelta(0, seconds)))

    async def expire(self) -> None:
        """Change the stored token as if it had expired."""
        store = FileTokenStore()
        key = TokenKey("default", self.emulator.client_sid, self.emulator.base_url)
        stored = await store.load(key)
        assert stored is not None
        past = datetime.now(UTC) - timedelta(hours=1)
        token = attrs.evolve(stored.token, access_token_expires_at=past)
        expired = attrs.evolve(stored, token=token, obtained_at=past - timedelta(hours=1))
        await store.save(key, expired, replaces=stored.epoch)
        await store.close()

    def login(self, *args: str) -> str:
        """Sign in with the device flow."""
        self.approve_next()
        try:
            return self.ok("login", *args)
        finally:
            self.emulator.faults.clear()


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandWorld]:
    """A world whose environment has the credentials of the emulator, and nothing else."""
    for name in NAMES.values():
        if name.variable is not None:
            monkeypatch.delenv(name.variable, raising=False)
    for name, folder in (("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("HOME", "home")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ("TWILIO_OAUTH_CONFIG", "TWILIO_OAUTH_PROFILE", "TMUX", "CI"):
        monkeypatch.delenv(name, raising=False)
    with Emulator.in_thread(interval=1) as emulator:
        monkeypatch.setenv("TWILIO_OAUTH_URL", emulator.base_url)
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", emulator.account_sid)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", emulator.auth_token)
        monkeypatch.setenv("TWILIO_CLIENT_ID", emulator.client_sid)
        world = CommandWorld(emulator, tmp_path, monkeypatch, capsys)
        # The time of the commands passes by itself. That of the emulator is real, so only a first poll may be approved.
        world.later(0)
        yield world
