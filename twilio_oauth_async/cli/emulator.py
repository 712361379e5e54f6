"""`twilio-oauth emulator`: the emulator as a process, for programs and tests in any language."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click
from click.core import ParameterSource

from twilio_oauth_async.clock import SystemClock, VirtualClock

if TYPE_CHECKING:
    from twilio_oauth_async.emulator import Emulator

CONTROL_TOKEN_VARIABLE = "TWILIO_OAUTH_CONTROL_TOKEN"  # noqa: S105 - a name
_FILE: click.Path = click.Path(exists=True, dir_okay=False, path_type=Path)
_SECONDS = click.IntRange(min=1)

_APP_OPTIONS = {"client_sid", "client_secret", "public", "app_name", "redirect_uris"}

F = TypeVar("F", bound=Callable[..., Any])


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


_ADDRESS = _options(
    click.option(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        show_default=True,
        help="Address to listen on; a loopback address, unless --insecurely-on-the-network is given.",
    ),
    click.option(
        "--port",
        metavar="PORT",
        type=click.IntRange(0, 65535),
        default=0,
        show_default="a free port",
        help="Port to listen on.",
    ),
    click.option("--certificate", metavar="FILE", type=_FILE, help="Serve HTTPS with this certificate (PEM)."),
    click.option("--key", metavar="FILE", type=_FILE, help="Private key of the certificate, if it is in another file."),
    click.option(
        "--allow-host", "hosts", metavar="NAME", multiple=True, help="Host name by which clients may reach it too."
    ),
    click.option(
        "--insecurely-on-the-network",
        is_flag=True,
        help="Allow an address to which other machines can connect. Any of them can approve a sign-in.",
    ),
)
_CONTENT = _options(
    click.option("--seed", metavar="FILE", type=_FILE, help="Apps, users, scopes, policy and faults, in TOML or JSON."),
    click.option(
        "--random-seed", metavar="NUMBER", type=int, help="Create the same identifiers and secrets in every run."
    ),
    click.option("--account-sid", metavar="SID", help="SID of the account. [default: generated]"),
    click.option("--auth-token", metavar="TEXT", help="Auth token of the account, for tests. [default: generated]"),
    click.option("--client-id", "client_sid", metavar="SID", help="SID of the app. [default: generated]"),
    click.option("--client-secret", metavar="TEXT", help="Secret of the app, for tests. [default: generated]"),
    click.option("--public", is_flag=True, help="The app is a public client and has no secret."),
    click.option("--app-name", metavar="TEXT", default="Example App", show_default=True, help="Name of the app."),
    click.option(
        "--redirect-uri",
        "redirect_uris",
        metavar="URI",
        multiple=True,
        help="Redirect URI of the app; repeat it for several. [default: any on loopback]",
    ),
    click.option(
        "--issuer", metavar="URL", default="https://iam.twilio.com", show_default=True, help="Issuer of the tokens."
    ),
)
_RULES = _options(
    click.option(
        "--interval",
        metavar="SECONDS",
        type=_SECONDS,
        default=5,
        show_default=True,
        help="Minimum time between two polls.",
    ),
    click.option(
        "--expires-in",
        metavar="SECONDS",
        type=_SECONDS,
        default=299,
        show_default=True,
        help="Lifetime of a device code.",
    ),
    click.option(
        "--access-token-lifetime",
        metavar="SECONDS",
        type=_SECONDS,
        default=3600,
        show_default=True,
        help="Lifetime of an access token.",
    ),
    click.option(
        "--refresh-token-lifetime",
        metavar="SECONDS",
        type=_SECONDS,
        default=30 * 86400,
        show_default="30 days",
        help="Lifetime of a refresh token.",
    ),
    click.option(
        "--rotate-refresh-tokens/--keep-refresh-tokens",
        default=True,
        show_default=True,
        help="Whether each refresh replaces the refresh token.",
    ),
    click.option(
        "--pkce-required/--pkce-optional",
        default=True,
        show_default=True,
        help="Whether an app with a secret needs PKCE too.",
    ),
    click.option(
        "--device-secret-required", is_flag=True, help="Whether the app must send its secret in the device grant."
    ),
    click.option(
        "--device-grant-type",
        metavar="TEXT",
        default="urn:ietf:params:oauth:grant-type:device_code",
        show_default=True,
        help="The GrantType of the device grant.",
    ),
)
_FORMATS = _options(
    click.option(
        "--errors",
        type=click.Choice(["oauth", "twilio"]),
        default="oauth",
        show_default=True,
        help="Format of error responses: RFC 6749 or Twilio.",
    ),
    click.option(
        "--dates",
        type=click.Choice(["rfc2822", "iso8601"]),
        default="rfc2822",
        show_default=True,
        help="Format of dates.",
    ),
    click.option(
        "--signing-algorithm",
        type=click.Choice(["ES256", "RS256"]),
        default="ES256",
        show_default=True,
        help="Algorithm of signatures.",
    ),
)
_CONTROL = _options(
    click.option(
        "--control-token",
        metavar="TOKEN",
        envvar=CONTROL_TOKEN_VARIABLE,
        help=f"Bearer token of /_control/ and of the overview page. Setting {CONTROL_TOKEN_VARIABLE} is safer: other "
        "processes on this machine can read the command line. [default: generated]",
    ),
    click.option("--virtual-clock", is_flag=True, help="Use a clock that only /_control/advance moves."),
    click.option(
        "--journal-size",
        metavar="NUMBER",
        type=click.IntRange(min=1),
        default=10_000,
        show_default=True,
        help="Number of recorded requests that are kept.",
    ),
    click.option(
        "--journal-bytes",
        metavar="BYTES",
        type=click.IntRange(min=1),
        default=32 << 20,
        show_default="32 MiB",
        help="Size of recorded requests that are kept.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print address and credentials as one line of JSON."),
    click.option(
        "--env-file",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write address and credentials to this file when it is ready; it is deleted at the end.",
    ),
)


@click.command(short_help="Run the emulator until it is stopped, or while a command runs.")
@_ADDRESS
@_CONTENT
@_RULES
@_FORMATS
@_CONTROL
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def emulator(
    *,
    certificate: Path | None,
    key: Path | None,
    insecurely_on_the_network: bool,
    seed: Path | None,
    random_seed: int | None,
    control_token: str | None,
    virtual_clock: bool,
    as_json: bool,
    env_file: Path | None,
    command: tuple[str, ...],
    **settings: Any,
) -> int:
    """Run the emulator of the OAuth server until it is stopped, or while COMMAND runs.

    When it is ready, it prints its address and its test credentials as lines that a shell can source, with the variable
    names that the examples of this package use. A test in any language can approve and deny sign-ins, add faults and
    more, through /_control/ and with the control token; docs/emulator.md describes each request. The overview page,
    with all codes, tokens and requests, is at the address itself.

    \b
    twilio-oauth emulator --port 8080 --seed seed.toml
    twilio-oauth emulator -- npm test

    With a COMMAND, nothing is printed: the command has these variables in its environment, and the emulator stops when
    it ends.

    Exit code: that of COMMAND; without one 0 stopped by SIGTERM, 2 wrong usage or cannot listen on the address, 130
    stopped with Ctrl-C.
    """  # noqa: D301 - click needs the character
    from twilio_oauth_async.cli.emulator_process import serve

    _check_usage(settings["host"], insecurely_on_the_network, as_json, command)
    settings["redirect_uris"] = settings["redirect_uris"] or None
    settings["ssl_context"] = _ssl_context(certificate, key)
    # Starts at the present time, so that clients that use the system clock do not find its tokens expired.
    settings["clock"] = VirtualClock(datetime.now(UTC), auto=False) if virtual_clock else SystemClock()
    token = secrets.token_urlsafe(24) if control_token is None else control_token
    server = _emulator(seed, {**settings, "seed": random_seed, "control_token": token})
    if insecurely_on_the_network:
        click.echo("Warning: other machines can reach this server, and any of them can approve a sign-in.", err=True)
    return asyncio.run(serve(server, token, as_json=as_json, env_file=env_file, command=command))


def _check_usage(host: str, insecurely_on_the_network: bool, as_json: bool, command: tuple[str, ...]) -> None:
    if not _is_loopback(host) and not insecurely_on_the_network:
        raise click.UsageError(
            "--host is not a loopback address. The emulator is for tests, and any client can approve a sign-in; "
            "use --insecurely-on-the-network to listen there nevertheless."
        )
    if as_json and command:
        raise click.UsageError("--json prints to the output of the command; use --env-file with a command.")


def _emulator(seed: Path | None, settings: dict[str, Any]) -> Emulator:
    from twilio_oauth_async.emulator import Emulator

    try:
        server = Emulator(**settings)
        if seed is not None:
            _load_seed(server, seed, settings)
    except OSError as error:
        raise click.UsageError(f"--seed cannot be read: {error.strerror}.") from None
    except ValueError as error:  # the message quotes no secret
        raise click.UsageError(f"{error}.") from None
    return server


def _load_seed(server: Emulator, seed: Path, settings: dict[str, Any]) -> None:
    """Load `seed`; options of the command line win against its policy.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not valid, or has apps, and an option describes the app.
    """
    context = click.get_current_context()
    given = {name for name in settings if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    app = server.client_sid
    server.load_seed(seed)
    if given & _APP_OPTIONS and server.client_sid != app:
        raise ValueError("the seed has apps: describe the app there, and not with options")
    server.set_policy(**{name: settings[name] for name in given & attrs.asdict(server.policy).keys()})


def _ssl_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise click.UsageError("--key needs --certificate.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise click.UsageError("--certificate and --key are not a certificate and its private key in PEM.") from None
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
