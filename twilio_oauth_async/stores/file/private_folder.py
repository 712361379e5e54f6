"""The folder of a database and its files, which only their owner may use. Blocking.

The files of a database are looked at with ``lstat`` only. The POSIX locks of a process on a file end when the process
closes any descriptor of this file. To open the database here and close it would release the locks of SQLite, and
another process would take a database in use for one that is not.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

import attrs

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra

P = ParamSpec("P")
T = TypeVar("T")

HAS_MODES = hasattr(os, "geteuid")
"""Whether the system has modes and owners as Unix has them. Windows does not: there, the folder of a user's profile is
closed to other users by its access list, which new folders and files inherit, and only links are refused."""

PARTS = ("", "-wal", "-shm")
"""What the names of the files of one database end with: the database, its log, and the index of the log."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Identity: TypeAlias = tuple[int, int]
"""Device and inode of a file."""


def os_errors_as_store_error(
    method: Callable[Concatenate[PrivateFolder, P], T],
) -> Callable[Concatenate[PrivateFolder, P], T]:
    """Decorator: convert OSError to StoreError with the path of the database."""

    @functools.wraps(method)
    def wrapper(self: PrivateFolder, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        raise StoreError(f"{self.database}: {reason}")

    return wrapper


@attrs.frozen
class PrivateFolder:
    """The folder of one database: mode 0700, its files 0600, all of the effective user, none a symbolic link.

    What other users can open is refused and never repaired: they may have read it already.
    """

    database: Path

    @property
    def path(self) -> Path:
        """The folder."""
        return self.database.parent

    def part(self, ending: str) -> Path:
        """Return the path of the file beside the database whose name has this additional `ending`."""
        return self.database.with_name(self.database.name + ending)

    @os_errors_as_store_error
    def prepare(self) -> None:
        """Create what is missing of the folder, with mode 0700.

        Raises:
            StoreError: the folder cannot be created.
        """
        missing = list(itertools.takewhile(lambda folder: not os.path.lexists(folder), self.database.parents))
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)  # noqa: PTH102 - Path.mkdir does the same
                if HAS_MODES:
                    os.chmod(folder, 0o700)  # noqa: PTH101 - an odd umask must not shut out the owner
            sync_folder(folder.parent)

    @os_errors_as_store_error
    def check(self) -> Identity | None:
        """Check the folder and the files of the database, and return the identity of the database.

        Returns:
            None if there is no database.

        Raises:
            StoreError: other users can open one of them, or own it, or one is a symbolic link.
        """
        try:
            folder = os.lstat(self.path)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(folder.st_mode):
            raise StoreError(f"{self.path} is a symbolic link")
        if not stat.S_ISDIR(folder.st_mode):
            raise StoreError(f"{self.path} is not a folder")
        _check_owner_and_mode(self.path, folder, "chmod 700 it, or use a folder of its own")
        found: Identity | None = None
        for ending in PARTS:
            path = self.part(ending)
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(path)
                check_file(path, status)
                if not ending:
                    found = status.st_dev, status.st_ino
        return found

    @os_errors_as_store_error
    def size_of(self, ending: str) -> int | None:
        """Return the size in bytes of the file with this `ending`; None if it does not exist."""
        try:
            return os.lstat(self.part(ending)).st_size
        except FileNotFoundError:
            return None

    def is_writable(self) -> bool:
        """Return whether files can be created in the folder."""
        return os.access(self.path, os.W_OK | os.X_OK)


def check_file(path: Path, status: os.stat_result) -> None:
    """Raise unless the file at `path` is a regular file that only the effective user can open.

    Raises:
        StoreError: it is not.
    """
    if stat.S_ISLNK(status.st_mode):
        raise StoreError(f"{path} is a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not a regular file")
    _check_owner_and_mode(path, status, "chmod 600 it if no other user can have read it, else delete it")


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in `folder` are on the disk."""
    if not HAS_MODES:
        return  # Windows cannot open a folder
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: str | os.PathLike[str] | None, default_name: str) -> PrivateFolder:
    """Return the folder of the database at `path`, whatever the working directory is later.

    Args:
        path: None: `default_name` in the folder that the platform has for the state of applications.
        default_name: a file name.

    Raises:
        ConfigurationError: `path` cannot be a file.
        ModuleNotFoundError: `path` is None and platformdirs is not installed.
    """
    if path is None:
        with from_extra("file", "platformdirs"):
            from platformdirs import user_state_path
        return PrivateFolder(user_state_path("twilio-oauth-async", appauthor=False) / default_name)
    given: Path | None = None
    with contextlib.suppress(TypeError):  # neither a string nor a path, or a path in bytes
        given = Path(path)
    absolute: Path | None = None
    if given is not None and given.name not in {"", ".."} and "\0" not in str(given):
        with contextlib.suppress(RuntimeError):  # the home of that user is unknown
            absolute = given.expanduser().absolute()
    if absolute is None:
        raise ConfigurationError("path cannot be a file")
    return PrivateFolder(absolute)


def _check_owner_and_mode(path: Path, status: os.stat_result, remedy: str) -> None:
    if not HAS_MODES:
        return
    if status.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & _OTHERS:
        raise StoreError(f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): {remedy}")
