"""CPU time of importing the package with its core names, compared with importing the libraries that it needs.

    python benchmarks/import_time.py

Each import runs in a new interpreter, in turn; the time of an interpreter that imports nothing is subtracted. The
round before the first one writes the compiled files. Then the script checks that no optional package was imported.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from harness import Report, Spread, Usage, in_turn

LIBRARIES = "import aiohttp, attrs, cattrs, backoff"
SIGN_IN = "from twilio_oauth_async import DeviceFlow, OAuthSession, Token"
CORE = "from twilio_oauth_async import DeviceFlow, DeviceFlowPool, OAuthSession, Token, TokenManager"
OPTIONAL = (
    "aiohttp.web",
    "cryptography",
    "filelock",
    "httpx",
    "keyring",
    "nats",
    "opentelemetry",
    "platformdirs",
    "pytest",
    "redis",
    "segno",
    "sqlite3",
    "starlette",
    "typer",
)
ROUNDS, MAX_RATIO = 31, 1.06
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def importing(statement: str) -> Callable[[], Awaitable[Usage | None]]:
    """Return a round that runs `statement` in a new interpreter."""

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", statement, env=ENVIRONMENT)
        assert await process.wait() == 0, statement

    return run


async def loaded(statement: str) -> set[str]:
    """Return the names of the modules that are loaded after `statement`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return set(out.decode().split())


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("aiohttp", "attrs", "cattrs", "backoff"))
    statements = {"nothing": "pass", "libraries": LIBRARIES, "sign-in": SIGN_IN, "core": CORE}
    series = await in_turn({name: importing(each) for name, each in statements.items()}, rounds=ROUNDS)
    times = {name: [usage.children for usage in each.usages] for name, each in series.items()}
    nothing = times.pop("nothing")
    net = {name: [a - b for a, b in zip(each, nothing, strict=True)] for name, each in times.items()}
    for name, each in net.items():
        names = statements[name].replace("from twilio_oauth_async ", "").removeprefix("import ")
        report.add(names, "import", Spread.of(each).scaled(1e3), "ms")
        if name != "libraries":
            ratio = Spread.of([a / b for a, b in zip(each, net["libraries"], strict=True)])
            report.add(names, "import / libraries", ratio, "x", at_most=MAX_RATIO)
    optional = (await loaded(CORE)).intersection(OPTIONAL) - await loaded(LIBRARIES)
    report.add("all", f"optional packages loaded {sorted(optional) or ''}".strip(), len(optional), "", at_most=0)
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
