"""`twilio-oauth discovery`, `certs` and `verify`: what the server publishes, and whether it has issued an ID token."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from twilio_oauth_async.cli.invocation import Invocation, invocation_options

_MAX_ID_TOKEN = 65_536
"""Bytes that are read."""


@click.command(short_help="Print the discovery document.")
@invocation_options
def discovery(invocation: Invocation) -> int:
    """Print the discovery document of the server, as JSON.

    \b
    twilio-oauth discovery
    """  # noqa: D301 - click needs the character
    _print(asyncio.run(_fetch(invocation, "discovery")), invocation)
    return 0


@click.command(short_help="Print the signing keys.")
@invocation_options
def certs(invocation: Invocation) -> int:
    """Print the public keys with which the server signs ID tokens, as a JWK set (RFC 7517).

    \b
    twilio-oauth certs
    """  # noqa: D301 - click needs the character
    _print(asyncio.run(_fetch(invocation, "certs")), invocation)
    return 0


async def _fetch(invocation: Invocation, what: str) -> dict[str, Any]:
    from twilio_oauth_async.cli.opening import open_session
    from twilio_oauth_async.protocol import codec

    async with open_session(invocation.settings) as session:
        found = await (session.fetch_openid_discovery() if what == "discovery" else session.fetch_certs())
    document: dict[str, Any] = codec.unstructure(found)
    return {name: value for name, value in document.items() if value is not None}


def _print(document: dict[str, Any], invocation: Invocation) -> None:
    click.echo(json.dumps(document, indent=None if invocation.as_json else 2))


@click.command(short_help="Verify an ID token from stdin or a file.")
@invocation_options
@click.argument("file", default="-", metavar="[FILE]")
def verify(invocation: Invocation, *, file: str) -> int:
    """Verify an ID token: signature, issuer, audience and times. It is read from FILE, or from stdin.

    It is never an argument, because other processes can read the command line.

    \b
    twilio-oauth verify < id_token.txt

    Exit code: 0 valid, 1 not valid.
    """  # noqa: D301 - click needs the character
    try:
        content = sys.stdin.buffer.read(_MAX_ID_TOKEN) if file == "-" else Path(file).read_bytes()[:_MAX_ID_TOKEN]
        id_token = content.decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise click.UsageError("The ID token cannot be read.") from None
    claims = asyncio.run(_verify(invocation, id_token))
    invocation.print({"valid": True, "claims": claims}, "\n".join(f"{name}: {claims[name]}" for name in claims))
    return 0


async def _verify(invocation: Invocation, id_token: str) -> dict[str, Any]:
    from twilio_oauth_async.cli.opening import open_session
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier
    from twilio_oauth_async.protocol import codec

    settings = invocation.settings
    async with open_session(settings) as session:
        verifier = IdTokenVerifier(session, client_sid=settings.need("client_id"))
        claims: dict[str, Any] = codec.unstructure(await verifier.verify(id_token))
    return {name: value for name, value in claims.items() if value is not None}
