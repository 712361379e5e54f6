"""Network file systems, which SQLite cannot use safely. They are recognised on Linux.

The processes that use a database in WAL mode share memory, and rely on locks that network file systems often only
pretend to have. https://www.sqlite.org/wal.html, https://www.sqlite.org/howtocorrupt.html
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from twilio_oauth_async.errors import StoreError

MOUNTS = Path("/proc/self/mountinfo")
"""The mounted file systems, on Linux: proc(5)."""

NETWORK_TYPES = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"orangefs", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf"}
    | {f"fuse.{name}" for name in ("ceph", "gcsfuse", "glusterfs", "rclone", "s3fs", "sshfs", "vmhgfs-fuse")}
)
"""Types of file systems that other hosts can change, or that do not share memory between processes."""


def check_is_local(folder: Path) -> None:
    """Raise if `folder` is known to be on a network file system.

    Raises:
        StoreError: it is.
    """
    kind = _type_of(folder)
    if kind in NETWORK_TYPES:
        raise StoreError(f"{folder} is on a network file system ({kind}), which SQLite cannot use safely: use Redis")


def _type_of(folder: Path) -> str | None:
    """Return the type of the file system of `folder`; None if it is unknown."""
    try:
        lines = os.fsdecode(MOUNTS.read_bytes()).split("\n")
    except OSError:
        return None
    folder = folder.resolve()
    found, depth = None, -1
    for line in lines:
        # "36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw": optional fields end with the hyphen.
        with contextlib.suppress(ValueError, IndexError):
            mounted, _, described = line.partition(" - ")
            point = Path(_unescape(mounted.split(" ")[4]))
            # Of two on one point, the later one hides the earlier one.
            if folder.is_relative_to(point) and len(point.parts) >= depth:
                found, depth = described.split(" ")[0], len(point.parts)
    return found


def _unescape(text: str) -> str:
    r"""Return a path of mountinfo, where a space is written as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
