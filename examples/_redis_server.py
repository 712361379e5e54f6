"""The Redis server of the example: the one that REDIS_URL names, else a private one that ends with the example."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def redis_url() -> Generator[str, None, None]:
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    program = shutil.which("redis-server") or sys.exit("Redis was not found: install redis-server, or set REDIS_URL.")
    # It holds tokens, so it opens no port, only a socket in a folder that no other user can access.
    command = (program, "--port", "0", "--unixsocket", "redis.sock", "--save", "")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server,
    ):
        socket = Path(folder, "redis.sock")
        while not socket.exists() and server.poll() is None:
            time.sleep(0.01)
        try:
            yield f"unix://{socket}"
        finally:
            server.terminate()
