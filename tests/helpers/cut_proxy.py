"""`CutProxy`: a TCP proxy on loopback, whose connections can be cut as a broken cable does: both ends hear nothing."""

import asyncio
import contextlib


class CutProxy:
    """Forwards connections to `port`. Those that are open when it is cut carry nothing until it is repaired."""

    def __init__(self, port):
        self.target = port
        self.port = None
        self.held = 0
        """Parts of data that wait because their connection is cut."""
        self._server = None
        self._passing = {}  # each connection's task, and the event that it waits for
        self._whole = None

    async def __aenter__(self):
        self._whole = asyncio.Event()
        self._whole.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._passing):
            task.cancel()
        if self._passing:
            await asyncio.wait(set(self._passing))

    def cut(self, *, new=True):
        """Cut all connections; with `new`, those that are opened later too."""
        for passing in self._passing.values():
            passing.clear()
        if new:
            self._whole.clear()

    def repair(self):
        """Let all connections go on: what was sent meanwhile arrives now."""
        self._whole.set()
        for passing in self._passing.values():
            passing.set()

    async def _serve(self, reader, writer):
        passing = asyncio.Event()
        if self._whole.is_set():
            passing.set()
        task = asyncio.current_task()
        self._passing[task] = passing
        far_writer = None
        try:
            await passing.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._copy(reader, far_writer, passing))
                tasks.create_task(self._copy(far_reader, writer, passing))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            del self._passing[task]
            for each in (writer, far_writer):
                if each is not None:
                    each.close()
                    with contextlib.suppress(OSError, asyncio.CancelledError):
                        await each.wait_closed()

    async def _copy(self, reader, writer, passing):
        while data := await reader.read(1 << 16):
            self.held += 1
            await passing.wait()
            self.held -= 1
            writer.write(data)
            await writer.drain()
        await passing.wait()
        raise ConnectionResetError  # the other direction ends too
