"""`twilio-oauth doctor`: checks the set-up, one line for each check, with a cure where one has failed."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from twilio_oauth_async.cli.exit_codes import OK, REFUSED
from twilio_oauth_async.cli.invocation import Invocation, invocation_options

if TYPE_CHECKING:
    from twilio_oauth_async.cli.doctor_checks import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}
_WIDTH = 10
"""Columns of the state, before the text."""


@click.command(short_help="Check the set-up, and say what to do about each problem.")
@functools.partial(invocation_options, is_lenient=True)
@click.option("--create-code", is_flag=True, help="Also request a device code, which expires unused.")
def doctor(invocation: Invocation, *, create_code: bool) -> int:
    """Check the set-up, and say what to do about each problem.

    \b
    twilio-oauth doctor
    twilio-oauth doctor --json > report.json      for a bug report; it has no secrets

    It checks versions, settings, the store, the network, TLS, the clock, the credentials, and which endpoints the
    server offers to this account. It asks before it requests a device code; --create-code requests one without that.

    Exit code: 0 nothing has failed, 1 a check has failed, 2 wrong usage or configuration.
    """  # noqa: D301 - click needs the character
    from twilio_oauth_async.cli.doctor_checks import check_all, check_device_code

    may_ask = sys.stdin.isatty() and sys.stderr.isatty() and not invocation.as_json
    findings: list[Finding] = []
    asyncio.run(check_all(invocation, lambda finding: _add(findings, finding, invocation)))
    if not any(finding.state == "failed" for finding in findings):
        if not create_code and may_ask:
            create_code = click.confirm("Request a device code, which expires unused?", default=False, err=True)
        asyncio.run(check_device_code(invocation, create_code, lambda finding: _add(findings, finding, invocation)))
    has_failed = any(finding.state == "failed" for finding in findings)
    if invocation.as_json:
        document = {"ok": not has_failed, "checks": [finding.as_json() for finding in findings]}
        invocation.print(document, "")
    return REFUSED if has_failed else OK


def _add(findings: list[Finding], finding: Finding, invocation: Invocation) -> None:
    findings.append(finding)
    if not invocation.as_json:
        click.echo(_text(finding))


def _text(finding: Finding) -> str:
    """Return a finding as lines that fit into the terminal."""
    columns = max(30, shutil.get_terminal_size((80, 24)).columns) - _WIDTH
    # A path or a URL is not broken, so that it can be copied.
    wrapper = textwrap.TextWrapper(columns, break_long_words=False, break_on_hyphens=False)
    lines = wrapper.wrap(f"{finding.name}: {finding.text}")
    wrapper.initial_indent = wrapper.subsequent_indent = "  "
    lines += wrapper.wrap(finding.cure)
    state = f"{finding.state:{_WIDTH}}"
    if not os.environ.get("NO_COLOR"):
        state = click.style(state, _COLOURS[finding.state])
    return "\n".join([state + lines[0], *(" " * _WIDTH + line for line in lines[1:])])
