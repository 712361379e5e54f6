"""Where the example with Redis finds a server: by REDIS_URL, else it starts a private one that ends with it."""

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
    program = shutil.which("redis-server") or sys.exit("There is no Redis: install redis-server, or set REDIS_URL.")
    # Tokens are in there: no port for others to find, only a socket in a folder that nobody else may enter.
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
