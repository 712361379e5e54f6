"""`twilio-oauth worker`: a process that only polls the sign-ins of a `DeviceFlowQueue`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from twilio_oauth_async.cli.invocation import Invocation, invocation_options

NATS_VARIABLE: Final = "NATS_URL"
REDIS_VARIABLE: Final = "REDIS_URL"
KEYS_VARIABLE: Final = "TWILIO_OAUTH_ENCRYPTION_KEYS"

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Poll the sign-ins of many hosts, which wait on NATS.")
@invocation_options
@click.option(
    "--nats",
    "servers",
    metavar="URL",
    multiple=True,
    help=f"A server of NATS; can be repeated. Without it: {NATS_VARIABLE}, which may have a password, or port 4222 of"
    " this host.",
)
@click.option("--nats-creds", metavar="FILE", type=_File, help="Credentials of a NATS user: a JWT and its key.")
@click.option("--nats-nkey", metavar="FILE", type=_File, help="The NKey seed of a NATS user.")
@click.option("--nats-ca", metavar="FILE", type=_File, help="Certificates that TLS trusts, in place of the system's.")
@click.option("--nats-cert", metavar="FILE", type=_File, help="The certificate of this client, with its key for TLS.")
@click.option(
    "--tokens",
    type=click.Choice(["nats", "redis", "file"]),
    default="nats",
    show_default=True,
    help=f"Where tokens are saved: on NATS, on the Redis server of {REDIS_VARIABLE}, or in the file of the profile, for"
    " workers on one host.",
)
@click.option("--name", default="twilio-oauth", show_default=True, help="The prefix of the streams and buckets.")
@click.option("--scope", "scopes", metavar="SCOPE", multiple=True, help="Of the sign-ins; can be repeated.")
@click.option("--audience", "audiences", metavar="NAME", multiple=True, help="Of the sign-ins; can be repeated.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Polls that are sent at the same time.",
)
@click.option(
    "--ack-wait",
    metavar="SECONDS",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="After which a sign-in goes to another worker, when the consumer is created.",
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 5),
    default=1,
    show_default=True,
    help="Of the streams and buckets, when they are created.",
)
@click.option(
    "--drain",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    default=8.0,
    show_default=True,
    help="For polls and saves that are under way at the end.",
)
@click.option(
    "--health", metavar="PORT", type=click.IntRange(0, 65535), help="Serve /healthz and /readyz on this port."
)
@click.option("--health-host", metavar="HOST", default="127.0.0.1", show_default=True, help="Of --health.")
def worker(invocation: Invocation, **options: Any) -> int:
    """Poll the sign-ins that web servers and bots start with a DeviceFlowQueue, and save their tokens.

    It needs the client, the server and the scopes of those who start them. Any number of workers can run, on any number
    of hosts; a worker that ends leaves its sign-ins to the others. SIGTERM ends it after the polls that are under way,
    and a second one ends it at once.

    Encryption keys of the queue and the tokens (Fernet, the first one encrypts) come from TWILIO_OAUTH_ENCRYPTION_KEYS,
    separated by spaces. Metrics: run it with `opentelemetry-instrument`.

    \b
    twilio-oauth worker --nats nats://nats-1:4222 --nats nats://nats-2:4222 --health 8081

    Exit code: 0 stopped by SIGTERM, 2 wrong usage or configuration, 130 stopped by Ctrl-C, 143 by a second SIGTERM.
    """  # noqa: D301 - click needs the character
    from twilio_oauth_async.cli.worker_process import Nats, Options, serve

    nats = Nats(
        servers=_servers(options.pop("servers")),
        creds=options.pop("nats_creds"),
        nkey=options.pop("nats_nkey"),
        ca=options.pop("nats_ca"),
        cert=options.pop("nats_cert"),
    )
    if nats.creds is not None and nats.nkey is not None:
        raise click.UsageError("--nats-creds and --nats-nkey exclude each other.")
    redis_url = os.environ.get(REDIS_VARIABLE)
    if options["tokens"] == "redis" and not redis_url:
        raise click.UsageError(f"--tokens redis needs the URL of the Redis server in {REDIS_VARIABLE}.")
    keys = os.environ.get(KEYS_VARIABLE, "").split() or None
    return asyncio.run(serve(invocation, Options(nats=nats, redis_url=redis_url, keys=keys, **options)))


def _servers(given: tuple[str, ...]) -> list[str]:
    """Return the URLs of the servers.

    Raises:
        click.UsageError: a URL is not valid, or an option has a password, which each user of this host could read.
    """
    servers = list(given) or [each for each in os.environ.get(NATS_VARIABLE, "").split(",") if each]
    for url in servers:
        scheme, _, rest = url.partition("://")
        if rest and scheme not in ("nats", "tls", "ws", "wss"):
            raise click.UsageError(f"A URL of NATS begins with nats:// or tls://, not with {scheme}://.")
    for url in given:
        if "@" in urlsplit(url if "://" in url else f"nats://{url}").netloc:
            raise click.UsageError(
                f"--nats must have no user or password: other users of this host can see it. Set {NATS_VARIABLE}, or"
                " use --nats-creds FILE."
            )
    return servers or ["nats://127.0.0.1:4222"]
