"""The file of a store where there are no modes and owners as Unix has them: Windows. Blocking.

There the folder of a user's profile is closed to other users by its access list, which new folders and files
inherit. That is what this relies on, and all that it adds is to refuse links. A folder elsewhere is as private as its
access list says.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

import attrs

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.stores.file.private_file import sync, told, write_all


@attrs.define
class ProfileFile:
    """A `PrivateFile` that leaves privacy to the folder it is in."""

    path: Path

    @property
    def reads_disturb(self) -> bool:
        """Yes: Windows does not rename over a file that somebody has open."""
        return True

    @told
    def prepare(self) -> None:
        """As `PrivateFile.prepare`."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._refuse_links()

    @told
    def read(self) -> bytes | None:
        """As `PrivateFile.read`."""
        self._refuse_links()
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    @told
    def replace(self, data: bytes) -> None:
        """As `PrivateFile.replace`."""
        self._refuse_links()
        self._write(self.path, data)

    @told
    def set_aside(self) -> Path:
        """As `PrivateFile.set_aside`."""
        return self.path.rename(self._free_path())

    @told
    def keep_copy(self, data: bytes) -> Path:
        """As `PrivateFile.keep_copy`."""
        free = self._free_path()
        self._write(free, data)
        return free

    @told
    def remove(self, name: str) -> None:
        """As `PrivateFile.remove`."""
        self.path.with_name(name).unlink(missing_ok=True)

    def _refuse_links(self) -> None:
        for path in (self.path, self.path.parent):
            if path.is_symlink():
                raise StoreError(f"{path} is a symbolic link")

    def _free_path(self) -> Path:
        numbered = (self.path.with_name(f"{self.path.name}.set-aside-{n}") for n in itertools.count(1))
        return next(path for path in numbered if not path.exists())

    def _write(self, path: Path, data: bytes) -> None:
        new = self.path.with_name(self.path.name + ".new")
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            try:
                write_all(file, data)
                sync(file)
            finally:
                os.close(file)
            new.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
