"""`twilio-oauth completion`: the script that completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(short_help="Print a script that completes commands in your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print a script that completes commands and options.

    \b
    eval "$(twilio-oauth completion bash)"          in ~/.bashrc
    eval "$(twilio-oauth completion zsh)"           in ~/.zshrc, after compinit
    twilio-oauth completion fish > ~/.config/fish/completions/twilio-oauth.fish
    """  # noqa: D301 - click needs the character
    from twilio_oauth_async.cli.commands import commands

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(commands, {}, "twilio-oauth", "_TWILIO_OAUTH_COMPLETE").source())
    return 0
