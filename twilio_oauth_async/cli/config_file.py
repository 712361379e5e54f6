"""The configuration file: where it is, and the profiles that it has."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import attrs

from twilio_oauth_async.cli.settings import DEFAULT_PROFILE, NAMES, check_profile
from twilio_oauth_async.errors import ConfigurationError

CONFIG_VARIABLE: Final = "TWILIO_OAUTH_CONFIG"
PROFILE_VARIABLE: Final = "TWILIO_OAUTH_PROFILE"


@attrs.frozen
class ConfigFile:
    """The content of the configuration file; empty if there is none."""

    path: Path
    profiles: Mapping[str, Mapping[str, Any]] = attrs.field(repr=False)
    default_profile: str = DEFAULT_PROFILE

    def profile(self, name: str, *, is_chosen: bool) -> Mapping[str, Any]:
        """Return the members of a profile; nothing if it is the default one and the file does not have it.

        Raises:
            ConfigurationError: the user has chosen a profile that does not exist.
        """
        if name in self.profiles or not is_chosen or name == DEFAULT_PROFILE:
            return self.profiles.get(name, {})
        known = f"it has {', '.join(self.profiles)}" if self.profiles else "it has no profiles"
        raise ConfigurationError(f"{self.path} has no profile {name}; {known}")


def read_config_file(path: Path | None, environ: Mapping[str, str]) -> ConfigFile:
    """Return the configuration file at `path`, or the one of the user.

    Raises:
        ConfigurationError: it is not valid, it does not exist although it was named, or it has secrets and other users
            can read it.
    """
    named = path if path is not None else _named(environ)
    found = config_path(path, environ)
    try:
        content = found.read_bytes()
        mode = found.stat().st_mode
    except FileNotFoundError:
        if named is None:
            return ConfigFile(found, {})
        raise ConfigurationError(f"{found} does not exist") from None
    except OSError as error:
        raise ConfigurationError(f"{found} cannot be read: {error.strerror}") from None
    config = _parse(found, content)
    if _has_secrets(config) and hasattr(os, "geteuid") and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"{found} has secrets, and other users can read it: chmod 600 it")
    return config


def config_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Return `path`, or the one that the environment names, or that of the user; it may not exist."""
    return path or _named(environ) or _default_path()


def _named(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else None


def _default_path() -> Path:
    from platformdirs import user_config_path

    return user_config_path("twilio-oauth-async", appauthor=False) / "config.toml"


def _parse(path: Path, content: bytes) -> ConfigFile:
    try:
        parsed: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except ValueError as error:  # also of the decoding; the message has the line, and no value
        raise ConfigurationError(f"{path}: {error}") from None
    unknown = parsed.keys() - {"default_profile", "profiles"}
    if unknown:
        raise ConfigurationError(f"{path}: it has default_profile and [profiles.NAME], not {min(unknown)}")
    profiles = parsed.get("profiles", {})
    default = parsed.get("default_profile", DEFAULT_PROFILE)
    if not isinstance(default, str) or not isinstance(profiles, dict):
        raise ConfigurationError(f"{path}: default_profile must be a string, and profiles a table")
    for name, members in cast("dict[str, Any]", profiles).items():
        if not isinstance(members, dict):
            raise ConfigurationError(f"{path}: profiles.{name} must be a table")
        check_profile(name, cast("dict[str, Any]", members), str(path))
    return ConfigFile(path, cast("dict[str, dict[str, Any]]", profiles), default)


def _has_secrets(config: ConfigFile) -> bool:
    return any(NAMES[name].is_secret for members in config.profiles.values() for name in members)
