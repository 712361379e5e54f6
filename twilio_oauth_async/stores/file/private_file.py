"""One file that nobody but its owner may read, in a folder that nobody but its owner may enter. Blocking.

The folder is opened once and everything else happens relative to its descriptor, so that nobody can exchange it
between the check and the use. A new content is complete on the disk before it takes the old one's name.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import stat
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import attrs

from twilio_oauth_async.errors import StoreError

if sys.platform == "darwin":
    import fcntl

P = ParamSpec("P")
T = TypeVar("T")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NEW = ".new"


class _AtPath(Protocol):
    path: Path


F = TypeVar("F", bound=_AtPath)


def told(method: Callable[Concatenate[F, P], T]) -> Callable[Concatenate[F, P], T]:
    """Make `method` turn what the system says into a `StoreError` about its file."""

    @functools.wraps(method)
    def telling(self: F, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if error.errno in {errno.ELOOP, errno.ENOTDIR} and (
                self.path.is_symlink() or self.path.parent.is_symlink()
            ):
                reason = "a symbolic link stands in its place, or in its folder's"
        # Raised out here: without the system's error behind it, whose frames hold what was to be written.
        raise StoreError(f"{self.path}: {reason}")

    return telling


class PrivateFile(Protocol):
    """What a store asks of its file. Every method raises `StoreError` where the file cannot be used."""

    path: Path

    @property
    def reads_disturb(self) -> bool:
        """Whether somebody who reads keeps others from replacing the file meanwhile."""
        ...

    def prepare(self) -> None:
        """Make the folder where it is missing, and check it."""
        ...

    def read(self) -> bytes | None:
        """The whole content; None where there is no file."""
        ...

    def replace(self, data: bytes) -> None:
        """Put `data` in the place of the content: after a crash there is the old or the new one, never a part.

        Only for the holder of the file's lock, who has read it under the lock: reading is what refuses a file that
        others can use.
        """
        ...

    def set_aside(self) -> Path:
        """Rename the file, so that nothing is lost and a new one can be begun; the new name. For the lock's holder."""
        ...

    def keep_copy(self, data: bytes) -> Path:
        """Write `data`, the present content, under a name as `set_aside` gives. For the lock's holder."""
        ...

    def remove(self, name: str) -> None:
        """Delete another file of the folder, a lock's; nothing happens where there is none."""
        ...


@attrs.define
class PosixFile:
    """Mode 0600 in a folder of mode 0700, both of the effective user, neither a symbolic link."""

    path: Path

    @property
    def reads_disturb(self) -> bool:
        """No: a rename takes the name away from under a reader, who keeps the content."""
        return False

    @told
    def prepare(self) -> None:
        """As `PrivateFile.prepare`; what is missing of the path is made with mode 0700."""
        missing = list(itertools.takewhile(lambda folder: not os.path.lexists(folder), self.path.parents))
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)  # noqa: PTH102 - Path.mkdir would do the same
            _sync_folder_at(folder.parent)
        with self._folder():
            pass

    @told
    def read(self) -> bytes | None:
        """As `PrivateFile.read`."""
        try:
            with self._folder() as folder, self._checked(folder) as file:
                return _read_all(file)
        except FileNotFoundError:
            return None

    @told
    def replace(self, data: bytes) -> None:
        """As `PrivateFile.replace`."""
        with self._folder() as folder:
            self._write(folder, self.path.name, data)

    @told
    def set_aside(self) -> Path:
        """As `PrivateFile.set_aside`."""
        with self._folder() as folder:
            name = _free_name(folder, self.path.name)
            os.rename(self.path.name, name, src_dir_fd=folder, dst_dir_fd=folder)
            _sync_folder(folder)
        return self.path.with_name(name)

    @told
    def keep_copy(self, data: bytes) -> Path:
        """As `PrivateFile.keep_copy`."""
        with self._folder() as folder:
            name = _free_name(folder, self.path.name)
            self._write(folder, name, data)
        return self.path.with_name(name)

    @told
    def remove(self, name: str) -> None:
        """As `PrivateFile.remove`."""
        with self._folder() as folder, contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)

    @contextlib.contextmanager
    def _folder(self) -> Generator[int]:
        path = self.path.parent
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check_owner_and_mode(path, os.fstat(folder), "choose a folder for this program only, or chmod 700 it")
            yield folder
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _checked(self, folder: int) -> Generator[int]:
        file = self._open(folder)
        try:
            yield file
        finally:
            os.close(file)

    def _open(self, folder: int) -> int:
        # O_NONBLOCK: a pipe in the place of the file must not hold us up before it is refused.
        file = os.open(self.path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            _check_file(self.path, os.fstat(file))
        except BaseException:
            os.close(file)
            raise
        return file

    def _write(self, folder: int, name: str, data: bytes) -> None:
        # One name for all: the lock lets one writer in, and what a killed one left behind is overwritten by the next.
        new = self.path.name + _NEW
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            try:
                os.fchmod(file, 0o600)  # whatever the umask took away
                write_all(file, data)
                sync(file)
            finally:
                os.close(file)
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new, dir_fd=folder)
            raise
        _sync_folder(folder)


def write_all(file: int, data: bytes) -> None:
    """Write all of `data`, however little the system takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync(file: int) -> None:
    """Wait until the content is on the disk."""
    if sys.platform == "darwin":
        # There fsync leaves the data in the drive's cache; a file system that cannot do more falls through.
        with contextlib.suppress(OSError):
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def _read_all(file: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not a regular file")
    _check_owner_and_mode(path, status, "chmod 600 it if no other user can have read it, else sign in again")


def _check_owner_and_mode(path: Path, status: os.stat_result, remedy: str) -> None:
    if status.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & _OTHERS:
        raise StoreError(f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): {remedy}")


def _free_name(folder: int, name: str) -> str:
    taken = set(os.listdir(folder))
    return next(free for n in itertools.count(1) if (free := f"{name}.set-aside-{n}") not in taken)


def _sync_folder(folder: int) -> None:
    """Make a rename last. Some network file systems cannot, and say so."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


def _sync_folder_at(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync_folder(folder)
    finally:
        os.close(folder)
