"""What a result has to say about the machine and the versions that were measured."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path

BUSY = 0.25
"""From this load average per core on, a result says that the machine was busy."""


def machine() -> dict[str, str | int]:
    """Return processor, number of cores, operating system and Python."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Return the number of processes that ran or wanted to run, on average over the last minute; None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of `packages`."""
    installed: dict[str, str] = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def cpu_of_process(pid: int) -> float | None:
    """Return the CPU time of all threads of a running process, in seconds; None where it is not known (not Linux)."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except OSError:
        return None
    return sum(int(text.split()[0]) for text in threads) / 1e9 if threads else None


def file_system(folder: Path) -> str:
    """Return the type of the file system of `folder`; "unknown" where it is not known."""
    best, kind = -1, "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, place, name = line.split()[:3]
            if folder.resolve().is_relative_to(place) and len(place) > best:
                best, kind = len(place), name
    return kind


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
