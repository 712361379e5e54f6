"""The settings of a command, and where each of them came from. Pure: flags, environment and file are arguments."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import attrs

from twilio_oauth_async.errors import ConfigurationError

Kind: TypeAlias = Literal["text", "texts", "flag"]
Flow: TypeAlias = Literal["device", "web", "client_credentials"]

FLOWS: Final[tuple[Flow, ...]] = ("device", "web", "client_credentials")
DEFAULT_PROFILE: Final = "default"
DEFAULT_RANK: Final = 3


@attrs.frozen
class Name:
    """A setting: the environment variable that has it, and what kind of value it is."""

    variable: str | None = None
    kind: Kind = "text"
    is_secret: bool = False


NAMES: Final[Mapping[str, Name]] = {
    "account_sid": Name("TWILIO_ACCOUNT_SID"),
    "auth_token": Name("TWILIO_AUTH_TOKEN", is_secret=True),
    "api_key": Name("TWILIO_API_KEY"),
    "api_secret": Name("TWILIO_API_SECRET", is_secret=True),
    "client_id": Name("TWILIO_CLIENT_ID"),
    "client_secret": Name("TWILIO_CLIENT_SECRET", is_secret=True),
    "base_url": Name("TWILIO_OAUTH_URL"),
    "region": Name("TWILIO_REGION"),
    "edge": Name("TWILIO_EDGE"),
    "issuer": Name(),
    "scopes": Name(kind="texts"),
    "audiences": Name(kind="texts"),
    "flow": Name(),
    "redirect_uri": Name(),
    "app_name": Name(),
    "store": Name(),
    "encrypt": Name(kind="flag"),
}
"""All settings that a profile can have. The variables are those of Twilio's own tools."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "issuer": "https://iam.twilio.com",
    "scopes": ("openid",),
    "audiences": (),
    "flow": "device",
    "app_name": "twilio-oauth",
    "encrypt": False,
}


@attrs.frozen
class Setting:
    """A value, and where it came from, in words."""

    value: Any = attrs.field(repr=False)
    source: str
    rank: int
    """0: flag, 1: environment, 2: file, `DEFAULT_RANK`: default. The lowest wins."""


def shown(name: str, setting: Setting) -> object:
    """Return the value of a setting as others may see it: no secret, and no password in a URL."""
    if NAMES[name].is_secret:
        return "(a secret)"
    if name == "base_url" and "@" in str(setting.value):
        scheme, separator, rest = str(setting.value).partition("://")
        return f"{scheme}{separator}(a secret)@{rest.rpartition('@')[2]}"
    return setting.value


@attrs.frozen
class Settings:
    """The settings of one profile."""

    profile: str
    values: Mapping[str, Setting]

    def get(self, name: str) -> Any:
        """Return the value of a setting; None if it has none."""
        found = self.values.get(name)
        return None if found is None else found.value

    def need(self, name: str) -> str:
        """Return a text that must be there.

        Raises:
            ConfigurationError: it is not there; the message says where it can be set.
        """
        value = self.get(name)
        if value:
            return str(value)
        variable = NAMES[name].variable
        places = [f"set {variable}"] if variable else []
        raise ConfigurationError(f"there is no {name}: " + ", or ".join([*places, f"add {name} to the profile"]))

    @property
    def flow(self) -> Flow:
        """How a user signs in."""
        return cast("Flow", self.get("flow"))

    def credentials(self) -> tuple[str, str] | None:
        """Return user name and password of the account. A pair comes from one place; an API key is preferred there."""
        for rank in range(3):
            for user, password in (("api_key", "api_secret"), ("account_sid", "auth_token")):
                pair = [self.values.get(name) for name in (user, password)]
                if all(each is not None and each.rank == rank and each.value for each in pair):
                    return pair[0].value, pair[1].value  # type: ignore[union-attr]
        return None

    def server(self) -> tuple[str | None, str | None, str | None]:
        """Return base URL, region and edge. A base URL does not win against a region or edge of a stronger place."""
        ranks = {name: self.values[name].rank for name in ("base_url", "region", "edge") if self.get(name)}
        if "base_url" in ranks and ranks["base_url"] == min(ranks.values()):
            return self.get("base_url"), None, None
        return None, self.get("region"), self.get("edge")


def resolve(
    *,
    profile: str,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Mapping[str, Any],
    path: str,
) -> Settings:
    """Return the settings of `profile`: a flag wins against the environment, and that against the file.

    Args:
        profile: its name.
        flags: values from the command line, by the name of the setting; None: not given.
        environ: environment variables.
        file: the members of the profile in the configuration file.
        path: of that file, for messages.

    Raises:
        ConfigurationError: the file has an unknown setting, or a value is of the wrong kind.
    """
    check_profile(profile, file, path)
    values: dict[str, Setting] = {}
    for name, about in NAMES.items():
        if flags.get(name) is not None and flags[name] != ():
            values[name] = Setting(flags[name], "an option", 0)
        elif about.variable is not None and environ.get(about.variable):
            values[name] = Setting(environ[about.variable], f"the variable {about.variable}", 1)
        elif name in file:
            value = tuple(file[name]) if about.kind == "texts" else file[name]
            values[name] = Setting(value, f"{path}, profile {profile}", 2)
        elif name in DEFAULTS:
            values[name] = Setting(DEFAULTS[name], "the default", DEFAULT_RANK)
    settings = Settings(profile, values)
    if settings.flow not in FLOWS:
        raise ConfigurationError(f"flow must be one of {', '.join(FLOWS)} ({values['flow'].source})")
    return settings


def check_profile(profile: str, file: Mapping[str, Any], path: str) -> None:
    """Check the members of a profile.

    Raises:
        ConfigurationError: a name is unknown, or a value is of the wrong kind; no value is quoted.
    """
    place = f"{path}, profile {profile}"
    for name, value in file.items():
        about = NAMES.get(name)
        if about is None:
            close = difflib.get_close_matches(name, NAMES, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; it has {', '.join(NAMES)}"
            raise ConfigurationError(f"{place}: there is no setting {name}{hint}")
        if about.kind == "flag" and not isinstance(value, bool):
            raise ConfigurationError(f"{place}: {name} must be true or false")
        if about.kind == "text" and not isinstance(value, str):
            raise ConfigurationError(f"{place}: {name} must be a string")
        if about.kind == "texts" and not (
            isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))
        ):
            raise ConfigurationError(f"{place}: {name} must be a list of strings")
