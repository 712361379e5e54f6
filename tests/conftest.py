"""Two rules for the whole suite: none connects to another machine, none sleeps longer than `LONGEST_REAL_WAIT`."""

import asyncio
import ipaddress
import os
import signal
import socket
import threading
import time

import pytest
import pytest_asyncio

pytest.register_assert_rewrite("tests.helpers")  # before its first import: its assertions explain themselves too

from tests.helpers.redis_server import RedisServer, need_redis  # noqa: E402
from tests.helpers.tls import make as make_tls  # noqa: E402

EVENT_LOOP = os.environ.get("TWILIO_OAUTH_EVENT_LOOP")
"""The event loops of the tests: ``eager`` (tasks start at once, Python 3.12), ``uvloop``, or none of them (None)."""

LONGEST_REAL_WAIT = 0.2
"""Seconds that a test may sleep, for tests of time-outs on real sockets."""

TERMINAL_VARIABLES = "CI COLUMNS LINES NO_COLOR FORCE_COLOR COLORTERM TMUX TTY_COMPATIBLE TTY_INTERACTIVE"
"""Environment variables that change what the commands print on a terminal: tests set those that they are about."""

for variable in TERMINAL_VARIABLES.split():
    os.environ.pop(variable, None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    # A shell without job control starts background processes with SIGINT ignored. Processes that tests start, and stop
    # with SIGINT, would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _eager_event_loop():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


if EVENT_LOOP is not None:

    def pytest_asyncio_loop_factories():
        if EVENT_LOOP == "uvloop":
            import uvloop

            return {"uvloop": uvloop.new_event_loop}
        return {"eager": _eager_event_loop}


def _is_loopback(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def guard(monkeypatch):
    """Fail the test that resolves or connects to another machine, or that sleeps longer than `LONGEST_REAL_WAIT`."""
    violations = []
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
    real_sleep, real_async_sleep = time.sleep, asyncio.sleep

    def check(address):
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            violations.append(f"a connection to {address[0]}")
            raise ConnectionRefusedError("tests must not leave loopback")

    def guarded_connect(self, address):
        check(address)
        return connect(self, address)

    def guarded_connect_ex(self, address):
        check(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host, *args, **kwargs):
        if _is_loopback(host):
            return getaddrinfo(host, *args, **kwargs)
        # A test uses a name under .invalid (RFC 6761 6.4) to cause a DNS failure.
        name = host.decode() if isinstance(host, bytes) else host
        if not name.endswith(".invalid"):
            violations.append(f"a look-up of {name}")
        raise socket.gaierror(socket.EAI_NONAME, "tests must not leave loopback")

    def guarded_sleep(seconds):
        if seconds > LONGEST_REAL_WAIT:
            violations.append(f"time.sleep({seconds})")
            seconds = 0
        real_sleep(seconds)

    async def guarded_async_sleep(delay, result=None):
        if delay > LONGEST_REAL_WAIT:
            violations.append(f"asyncio.sleep({delay})")
            delay = 0
        return await real_async_sleep(delay, result)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    monkeypatch.setattr(time, "sleep", guarded_sleep)
    monkeypatch.setattr(asyncio, "sleep", guarded_async_sleep)
    yield violations
    if violations:
        pytest.fail("the test breaks a rule of this suite (tests/conftest.py): " + ", ".join(violations))


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """A certificate for 127.0.0.1 that no system trusts."""
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def own_redis(tmp_path):
    """A Redis server for this test alone, which may stop or break it."""
    need_redis()
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def open_redis():
    """A function that opens a client of a `RedisServer`; the clients are closed at the end of the test.

    They retry as redis-py does by default, with shorter waits.
    """
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ConstantBackoff

    clients = []

    def open_(server, **options):
        clients.append(Redis.from_url(server.url, **{"retry": Retry(ConstantBackoff(0.01), 3), **options}))
        return clients[-1]

    yield open_
    for client in clients:
        await client.aclose()
