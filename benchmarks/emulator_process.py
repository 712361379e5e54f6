"""Runs the emulator in a separate process, so that a benchmark measures only the client.

The child process prints one line of JSON when it is ready. Then it reads commands from its standard input, one per
line: ``approve CODE`` or ``deny CODE``. It ends when its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs


@attrs.define
class EmulatorProcess:
    """The child process, as seen by the parent."""

    process: asyncio.subprocess.Process
    base_url: str
    account_sid: str
    auth_token: str
    client_sid: str
    client_secret: str

    def send(self, command: str, user_code: str) -> None:
        """Send a command: approve or deny a user code."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command} {user_code}\n".encode())


@contextlib.asynccontextmanager
async def emulator_process(**options: Any) -> AsyncIterator[EmulatorProcess]:
    """Start the child with `options` for the `Emulator`, and ``faults``: the share of requests that get a fault."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, json.dumps(options), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield EmulatorProcess(process, **json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


def add_faults(emulator: Any, share: float) -> None:
    """Add every kind of fault, in total on `share` of the requests."""
    kinds: list[Callable[[Any], object]] = [
        lambda fault: fault.reset("before"),
        lambda fault: fault.reset("unanswered"),
        lambda fault: fault.reset("inside"),
        lambda fault: fault.reset("after"),
        lambda fault: fault.hang_up("before"),
        lambda fault: fault.hang_up("inside"),
        lambda fault: fault.drop_response(),
        lambda fault: fault.truncate(),
        lambda fault: fault.stall("before"),
        lambda fault: fault.respond(500),
        lambda fault: fault.respond(503, retry_after=2),
        lambda fault: fault.respond(429, retry_after="soon"),
        lambda fault: fault.html(502),
        lambda fault: fault.html(200),
        lambda fault: fault.garble("nan"),
        lambda fault: fault.pad(2 << 20),
        lambda fault: fault.redirect("http://127.0.0.1:9/"),
        lambda fault: fault.error("slow_down"),
    ]
    for kind in kinds:
        for target in ("poll", "device_code"):
            if target == "device_code" and kind is kinds[-1]:
                continue
            kind(emulator.faults.on(target).always().chance(share / len(kinds)))


async def serve(options: dict[str, Any]) -> None:
    """Run the emulator and execute the commands; called in the child process."""
    from twilio_oauth_async.emulator import Emulator

    share = options.pop("faults", 0.0)
    async with Emulator(**options) as emulator:
        if share:
            add_faults(emulator, share)
        names = ("base_url", "account_sid", "auth_token", "client_sid", "client_secret")
        print(json.dumps({name: getattr(emulator, name) for name in names}), flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command, user_code = line.decode().split()
            with contextlib.suppress(LookupError, ValueError):  # the code has expired
                await (emulator.approve if command == "approve" else emulator.deny)(user_code)
            emulator.requests.clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("options", type=json.loads)
    asyncio.run(serve(parser.parse_args().options))
