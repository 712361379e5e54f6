"""`twilio-oauth doctor`: checks the set-up, one line for each check."""

from __future__ import annotations

import click

from twilio_oauth_async.cli.invocation import Invocation, invocation_options


@click.command(short_help="Check the set-up, and say what to do about each problem.")
@invocation_options
def doctor(invocation: Invocation) -> int:  # noqa: ARG001 - in the next commit
    """Check the set-up."""
    raise click.UsageError("this command is not built yet")
