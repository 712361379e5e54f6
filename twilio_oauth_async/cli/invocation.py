"""What a command is run with: its common options, its settings, and how it prints a result."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from twilio_oauth_async.cli.config_file import PROFILE_VARIABLE, ConfigFile, config_path, read_config_file
from twilio_oauth_async.cli.settings import DEFAULT_PROFILE, Settings, resolve
from twilio_oauth_async.errors import ConfigurationError

if TYPE_CHECKING:
    from twilio_oauth_async.protocol.models import Token

F = TypeVar("F", bound=Callable[..., Any])

_SERVER_OPTIONS = (
    click.option("--client-id", metavar="SID", help="The OAuth app."),
    click.option("--region", metavar="REGION", help="A region of Twilio, for example ie1."),
    click.option("--edge", metavar="EDGE", help="An edge of Twilio, for example dublin."),
    click.option("--base-url", metavar="URL", help="Another server, for example the emulator."),
)
_COMMON_OPTIONS = (
    click.option("--profile", metavar="NAME", help=f"The profile to use; {PROFILE_VARIABLE} names one too."),
    click.option(
        "--config", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Another configuration file."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
    click.option("--debug", is_flag=True, help="Log requests to stderr, without secrets."),
)


@attrs.frozen
class Invocation:
    """The settings of one run of a command."""

    settings: Settings
    config: ConfigFile
    as_json: bool
    problem: str | None = None
    """Why the configuration file is not used; None: it is used, or there is none."""

    def print(self, document: dict[str, Any], text: str) -> None:
        """Print the result to stdout: the document with ``--json``, else the text."""
        click.echo(json.dumps(document) if self.as_json else text)


def invocation_options(function: F, *, is_lenient: bool = False) -> F:
    """Add the common options to a command, whose function gets an `Invocation` in their place.

    Args:
        function: of the command.
        is_lenient: if the configuration file or the profile is not valid, the command runs without the file, and gets
            the reason as `Invocation.problem`. Otherwise the error ends the command.
    """

    @functools.wraps(function)
    def run(
        *,
        profile: str | None,
        config: Path | None,
        as_json: bool,
        debug: bool,
        client_id: str | None,
        region: str | None,
        edge: str | None,
        base_url: str | None,
        **options: Any,
    ) -> Any:
        if debug:
            _log_to_stderr()
        flags = {"client_id": client_id, "region": region, "edge": edge, "base_url": base_url}
        flags |= {name: options.pop(name) for name in ("scopes", "audiences", "flow", "encrypt") if name in options}
        try:
            invocation = invocation_of(profile, config, flags, as_json=as_json)
        except ConfigurationError as error:
            if not is_lenient:
                raise
            invocation = _without_file(config, flags, str(error), as_json=as_json)
        return function(invocation, **options)

    for option in reversed((*_COMMON_OPTIONS, *_SERVER_OPTIONS)):
        run = option(run)
    return run  # type: ignore[return-value]


def invocation_of(profile: str | None, path: Path | None, flags: dict[str, Any], *, as_json: bool) -> Invocation:
    """Return the invocation for these options.

    Raises:
        ConfigurationError: the configuration file or a setting is not valid.
    """
    config = read_config_file(path, os.environ)
    chosen = profile or os.environ.get(PROFILE_VARIABLE)
    name = chosen or config.default_profile
    members = config.profile(name, is_chosen=True)
    settings = resolve(profile=name, flags=flags, environ=os.environ, file=members, path=str(config.path))
    return Invocation(settings, config, as_json)


def _without_file(path: Path | None, flags: dict[str, Any], problem: str, *, as_json: bool) -> Invocation:
    config = ConfigFile(config_path(path, os.environ), {})
    settings = resolve(profile=DEFAULT_PROFILE, flags=flags, environ=os.environ, file={}, path=str(config.path))
    return Invocation(settings, config, as_json, problem)


def granted_scopes(token: Token, invocation: Invocation) -> list[str]:
    """Return the scopes of a token: without a ``scope`` in the response, those that were requested (RFC 6749 5.1)."""
    return list(invocation.settings.get("scopes")) if token.scope is None else token.scope.split()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    log = logging.getLogger("twilio_oauth_async")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
