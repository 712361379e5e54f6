"""A Redis server for one test or one run: on a free loopback port, with nothing written to disk."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time

import pytest

REQUIRED = "TWILIO_OAUTH_REQUIRE_REDIS"
"""With this environment variable at ``1``, tests fail where there is no Redis instead of being skipped."""
_ATTEMPTS = 5


class RedisServer:
    """After ``start``, ``stop`` and ``start`` again it is on the same port, and empty."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.options = options
        self.port = None
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        """Start it; another process may take the free port first, so several are tried."""
        kept = self.port
        for _ in range(_ATTEMPTS):
            port = kept or free_port()
            self.process = subprocess.Popen(
                [
                    *("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.folder)),
                    *("--save", "", "--appendonly", "no", "--enable-debug-command", "local", "--loglevel", "warning"),
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._is_up(port):
                self.port = port
                return self
            self.stop()
        pytest.fail("redis-server does not start")

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

    def send(self, *command):
        """Send one command on a connection of its own; return the response as text of the Redis protocol."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            parts = [part.encode() for part in command]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
            return connection.recv(1 << 16).decode()

    def delete_lock(self, user="a", prefix="twilio-oauth"):
        """Delete the locks of all tokens of a user, as an eviction or a failover does."""
        script = "for _, name in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', name) end"
        self.send("EVAL", script, "0", f"{prefix}:2:{{{user}}}:lock*")

    def _is_up(self, port):
        self.port = port
        for _ in range(500):
            with contextlib.suppress(OSError):
                if f"process_id:{self.process.pid}\r\n" in self.send("INFO", "server"):
                    return True
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.port = None  # another process took it first
        return False


def free_port():
    """Return a port that is free at this moment, and that no connection gets by chance.

    Linux gives ports from 32768 up to connections and to servers that ask for any port. A server that is stopped and
    started again would lose such a port to another test.
    """
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))) as server,
        ):
            return server.getsockname()[1]


def need_redis():
    """Skip the test where there is no Redis server; fail it where `REQUIRED` is set."""
    if shutil.which("redis-server") is not None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is no redis-server")
    pytest.skip("there is no redis-server (Debian: apt-get install redis-server)")
