"""The conftest guard fails tests that use the network or sleep."""

import pytest

pytest_plugins = ["pytester"]


OPTIONS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.fixture
def guarded(pytester, request):
    pytester.makeconftest((request.config.rootpath / "tests" / "conftest.py").read_text())
    return pytester


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import time; time.sleep(0.3)", "time.sleep(0.3)"),
        ("import asyncio; asyncio.run(asyncio.sleep(3))", "asyncio.sleep(3)"),
        (
            "import socket\n    try: socket.create_connection(('192.0.2.1', 80), 0.1)\n    except OSError: pass",
            "192.0.2.1",
        ),
        ("import socket\n    try: socket.getaddrinfo('example.com', 80)\n    except OSError: pass", "example.com"),
    ],
)
def test_guard_fails_test_that_sleeps_or_leaves_loopback(guarded, body, message):
    guarded.makepyfile(f"def test_it():\n    {body}\n")
    result = guarded.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*breaks a rule of this suite*{message}*"])


def test_guard_allows_loopback_and_short_sleeps(guarded):
    guarded.makepyfile(
        """
        import asyncio, socket, time
        def test_it():
            time.sleep(0.001)
            asyncio.run(asyncio.sleep(0))
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
        """
    )
    guarded.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=1)
