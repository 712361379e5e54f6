"""The threads of the package: few per event loop, ended with it, and independent of the loop's default executor."""

import asyncio
import contextlib
import gc
import os
import queue
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from twilio_oauth_async import executor
from twilio_oauth_async.executor import THREADS, run_blocking, start_blocking, wait_for_thread
from twilio_oauth_async.stores.cancellation import finish_in_thread


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("twilio-oauth-async ")]


def until(condition, seconds=5):
    """Wait in this thread until `condition` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _no_threads_of_other_tests(monkeypatch):
    monkeypatch.setattr(executor, "IDLE_TIMEOUT", 60)  # longer than the tests wait
    executor._all.end()
    until(lambda: not own_threads())


@pytest.fixture
def gate():
    """An event that work waits for, with ``gate.begun``: the number of works that have begun."""

    class Gate(threading.Event):
        begun = 0

        def work(self, result=None):
            self.begun += 1
            assert self.wait(10)
            return result

        async def until_begun(self, number=1):
            while self.begun < number:
                await asyncio.sleep(0.001)

    gate = Gate()
    yield gate
    gate.set()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["files", "names"])
async def test_work_runs_in_a_named_daemon_thread_and_returns_its_result(kind):
    def work(a, b):
        return a + b, threading.current_thread()

    result, thread = await run_blocking(work, 1, 2, kind=kind)
    assert result == 3
    assert thread.name == f"twilio-oauth-async {kind}"
    assert thread.daemon


class OwnError(BaseException):
    """Not an Exception: as SystemExit, it must reach the caller too."""


@pytest.mark.asyncio
@pytest.mark.parametrize(("raised", "expected"), [(LookupError, LookupError), (OwnError, OwnError)])
async def test_exception_of_the_work_is_raised(raised, expected):
    def fail():
        raise raised("reason")

    with pytest.raises(expected, match="reason"):
        await run_blocking(fail, kind="files")
    assert await run_blocking(int, kind="files") == 0


@pytest.mark.asyncio
async def test_stop_iteration_of_the_work_does_not_leave_the_caller_waiting():
    """A future refuses this exception."""
    async with asyncio.timeout(5):
        with pytest.raises((TypeError, RuntimeError), match="StopIteration"):
            await run_blocking(next, iter(()), kind="files")


@pytest.mark.asyncio
async def test_one_thread_is_used_for_one_work_after_another():
    used = {await run_blocking(threading.get_ident, kind="files") for _ in range(20)}
    assert len(used) == 1


@pytest.mark.asyncio
async def test_number_of_threads_is_bounded_and_all_work_is_done(gate):
    calls = [asyncio.create_task(run_blocking(gate.work, n, kind="files")) for n in range(5 * THREADS)]
    await gate.until_begun(THREADS)
    assert len(own_threads()) == THREADS
    assert gate.begun == THREADS
    gate.set()
    assert await asyncio.gather(*calls) == list(range(5 * THREADS))


@pytest.mark.asyncio
async def test_names_are_resolved_while_all_threads_for_files_are_busy(gate):
    calls = [asyncio.create_task(run_blocking(gate.work, kind="files")) for _ in range(2 * THREADS)]
    await gate.until_begun(THREADS)
    async with asyncio.timeout(5):
        assert await run_blocking(str, "name", kind="names") == "name"
    gate.set()
    await asyncio.gather(*calls)


@pytest.mark.asyncio
async def test_default_executor_is_not_used(gate):
    blocked = [asyncio.create_task(asyncio.to_thread(gate.work)) for _ in range(60)]
    async with asyncio.timeout(5):
        assert await run_blocking(int, kind="files") == await finish_in_thread(int) == 0
    gate.set()
    await asyncio.gather(*blocked)


@pytest.mark.asyncio
async def test_cancelled_caller_does_not_wait_and_work_that_has_not_begun_is_not_run(gate):
    running = [asyncio.create_task(run_blocking(gate.work, kind="files")) for _ in range(THREADS)]
    done = []
    queued = asyncio.create_task(run_blocking(done.append, 1, kind="files"))
    await gate.until_begun(THREADS)
    for call in (running[0], queued):
        call.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait([call])
        assert call.cancelled()
    gate.set()
    await asyncio.gather(*running[1:])
    await run_blocking(int, kind="files")
    assert done == []


@pytest.mark.asyncio
async def test_cancelled_finish_in_thread_waits_until_its_work_is_done(gate):
    saving = asyncio.create_task(finish_in_thread(gate.work))
    await gate.until_begun()
    for _ in range(3):
        saving.cancel()
        await asyncio.sleep(0.01)
    assert not saving.done()
    gate.set()
    await asyncio.wait([saving])
    assert saving.cancelled()


@pytest.mark.asyncio
async def test_future_can_be_awaited_later():
    future = start_blocking(str, "later", kind="files")
    assert await wait_for_thread(future) == "later"


@pytest.mark.asyncio
async def test_idle_threads_end(monkeypatch):
    monkeypatch.setattr(executor, "IDLE_TIMEOUT", 0.02)
    await asyncio.gather(*(run_blocking(time.sleep, 0.01, kind="files") for _ in range(THREADS)))
    assert own_threads()
    while own_threads():
        await asyncio.sleep(0.005)
    assert await run_blocking(int, kind="files") == 0


@pytest.mark.asyncio
async def test_work_submitted_while_the_idle_thread_is_about_to_end_is_done(monkeypatch):
    monkeypatch.setattr(executor, "IDLE_TIMEOUT", 0.001)
    pool = executor._all.pool(asyncio.get_running_loop(), "files")
    is_idle, is_submitted, works = threading.Event(), threading.Event(), pool._works
    is_first_done = threading.Event()

    class Works:
        put = works.put

        def get(self, timeout):
            try:
                return works.get(timeout=timeout)
            except queue.Empty:
                if is_first_done.is_set():  # on a busy machine, the thread may look before the first work is there
                    is_idle.set()
                    assert is_submitted.wait(10)
                raise

    pool._works = Works()
    assert await run_blocking(int, "1", kind="files") == 1
    is_first_done.set()
    while not is_idle.is_set():
        await asyncio.sleep(0.001)
    future = start_blocking(int, "2", kind="files")
    is_submitted.set()
    async with asyncio.timeout(5):
        assert await future == 2


def test_threads_do_not_accumulate_over_hundreds_of_event_loops():
    before, most = threading.active_count(), 0
    for _ in range(300):
        asyncio.run(run_blocking(int, kind="files"))
        asyncio.run(run_blocking(int, kind="names"))
        most = max(most, threading.active_count())
    assert most <= before + 2 * THREADS
    until(lambda: not own_threads())


def test_closed_event_loop_that_is_still_referenced_loses_its_threads_with_the_next_loop():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(run_blocking(int, kind="files"))
    (thread,) = own_threads()
    loop.close()
    asyncio.run(run_blocking(int, kind="files"))
    until(lambda: not thread.is_alive())


@pytest.mark.parametrize("function", [int, lambda: {}["missing"]])
def test_event_loop_is_not_kept_alive(function):
    async def main():
        with contextlib.suppress(KeyError):
            await run_blocking(function, kind="files")
        return weakref.ref(asyncio.get_running_loop())

    gc.disable()
    try:
        reference = asyncio.run(main())
        until(lambda: reference() is None)
    finally:
        gc.enable()


def test_loop_that_is_closed_while_work_runs_is_ignored(gate, caplog):
    async def start():
        start_blocking(gate.work, kind="files")
        await gate.until_begun()

    asyncio.run(start())
    (thread,) = own_threads()
    assert asyncio.run(run_blocking(int, kind="files")) == 0
    gate.set()
    until(lambda: not thread.is_alive())
    assert not caplog.records


@pytest.mark.asyncio
async def test_system_without_threads_raises_os_error(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread"):
            await run_blocking(int, kind="files")
    assert await run_blocking(int, kind="files") == 0
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert await asyncio.gather(*(run_blocking(int, kind="files") for _ in range(9))) == [0] * 9


def test_event_loops_in_several_threads_have_pools_of_their_own(gate):
    threads = [threading.Thread(target=lambda: asyncio.run(run_blocking(gate.work, kind="files"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: gate.begun == 8)
    gate.set()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12: the process has threads
def test_forked_child_has_threads_of_its_own():
    async def in_time():
        async with asyncio.timeout(5):
            return await run_blocking(int, "7", kind="files")

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(in_time()) == 7
    pid = os.fork()
    if pid == 0:
        try:
            assert loop.run_until_complete(in_time()) == 7  # of the same event loop
            assert asyncio.run(in_time()) == 7
        except BaseException:  # noqa: BLE001 - it must not run the code of its parent
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    loop.close()


def run_script(script):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)


START_AND_LEAVE = """
import asyncio, time
from twilio_oauth_async import executor
def work():
    begun.append(1)
    time.sleep({seconds})
    print("done", flush=True)
async def main():
    executor.start_blocking(work, kind="{kind}")
    while not begun:
        await asyncio.sleep(0.001)
begun = []
executor.STOP_TIMEOUT = {timeout}
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""


def test_end_of_the_process_waits_for_work_with_files():
    result = run_script(START_AND_LEAVE.format(seconds=0.3, kind="files", timeout=10))
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(("kind", "timeout"), [("files", 0.1), ("names", 60)])
def test_end_of_the_process_does_not_wait_for_hanging_work(kind, timeout):
    result = run_script(START_AND_LEAVE.format(seconds=25, kind=kind, timeout=timeout))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
