"""A NATS server with JetStream for one test or one run: on a free loopback port, with its data in a folder."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import types

import pytest

from tests.helpers.redis_server import free_port

REQUIRED = "TWILIO_OAUTH_REQUIRE_NATS"
"""With this environment variable at ``1``, tests fail where there is no NATS server instead of being skipped."""
_ATTEMPTS = 5
_PROGRAM = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")  # Debian has it there


class NatsServer:
    """After ``start``, ``stop`` and ``start`` again it is on the same port, with the same data."""

    def __init__(self, folder, *options):
        """Create one with its data in `folder`; None: without JetStream."""
        self.options = options if folder is None else ("-js", "-sd", str(folder), *options)
        self.port = None
        self.process = None

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        """Start it; another process may take the free port first, so several are tried."""
        kept = self.port
        for _ in range(_ATTEMPTS):
            port = kept or free_port()
            self.process = subprocess.Popen(
                [_PROGRAM, "-a", "127.0.0.1", "-p", str(port), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._is_up(port):
                self.port = port
                return self
            self.stop()
        pytest.fail("nats-server does not start")

    def stop(self):
        """Kill it, as in a crash: clients get no notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def suspended(self):
        """Suspend the process: it accepts connections and data, and sends nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    async def connect(self, url=None, **options):
        """Return a client that reconnects at once and for ever."""
        import nats

        async def ignore(error):
            pass

        options = {
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.05,
            "connect_timeout": 2,
            "error_cb": ignore,
            **options,
        }
        return await nats.connect(url or self.url, **options)

    def _is_up(self, port):
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(1 << 12).startswith(b"INFO"):
                    return self.process.poll() is None
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        return False


class _AsyncioOfNats(types.ModuleType):
    """The module asyncio, whose `sleep` the guard of the tests does not replace."""

    sleep = staticmethod(asyncio.sleep)

    def __getattr__(self, name):
        return getattr(asyncio, name)


def allow_sleeps_of_client(monkeypatch):
    """Let nats-py sleep as long as it wants between pings and heartbeats. Its own tasks do that, and no test waits."""
    import nats.aio.client
    import nats.js.client

    for module in (nats.aio.client, nats.js.client):
        monkeypatch.setattr(module, "asyncio", _AsyncioOfNats("asyncio"))


def need_nats():
    """Skip the test where there is no NATS server; fail it where `REQUIRED` is set."""
    if _PROGRAM is not None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is no nats-server")
    pytest.skip("there is no nats-server (Debian: apt-get install nats-server)")


async def until(condition, seconds=30.0):
    """Wait in real time until `condition` holds; it may be a coroutine function."""
    end = time.monotonic() + seconds
    while True:
        held = condition()
        if asyncio.iscoroutine(held):
            held = await held
        if held:
            return held
        assert time.monotonic() < end, f"the condition did not hold within {seconds} s"
        await asyncio.sleep(0.02)
