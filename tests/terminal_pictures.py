"""Takes a picture, as SVG, of the screens of the command: nox -s terminal_pictures -- FOLDER."""

from __future__ import annotations

import sys
import tempfile
import unicodedata
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

from tests.helpers.terminal import Terminal
from twilio_oauth_async.emulator import Emulator

WIDTH, HEIGHT = 9, 19
"""Pixels of a character."""
COLOURS = {"default": "#e6e6e6", "cyan": "#56b6c2", "yellow": "#e5c07b", "brown": "#e5c07b", "green": "#98c379"}
BACKGROUND = "#1c2028"


def svg(screen: pyte.Screen, title: str) -> str:
    """Return the screen as a picture; empty lines at its end are left out."""
    lines = [line.rstrip() for line in screen.display]
    rows = max((number for number, line in enumerate(lines, 1) if line), default=1)
    width, height = screen.columns * WIDTH + 32, rows * HEIGHT + 56
    view = f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"'
    heading = (
        f'<text x="{width / 2}" y="24" fill="#aab2c0" font-family="sans-serif" font-size="13" text-anchor="middle">'
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f'<rect width="{width}" height="{height}" rx="10" fill="{BACKGROUND}"/>',
        f"{heading}{escape(title)}</text>",
        '<g font-family="ui-monospace, DejaVu Sans Mono, Menlo, monospace" font-size="15" xml:space="preserve">',
    ]
    for y in range(rows):
        for x in range(screen.columns):
            parts += _cell(screen.buffer[y][x], 16 + x * WIDTH, 40 + y * HEIGHT)
    return "\n".join([*parts, "</g></svg>\n"])


def _cell(cell: pyte.screens.Char, x: int, y: int) -> list[str]:
    colour = COLOURS.get(cell.fg, COLOURS["default"])
    if cell.data in "▀▄█":  # drawn, because fonts leave gaps between them
        top = 0 if cell.data in "▀█" else HEIGHT / 2
        height = HEIGHT if cell.data == "█" else HEIGHT / 2
        return [f'<rect x="{x}" y="{y + top}" width="{WIDTH + 0.3}" height="{height + 0.3}" fill="#ffffff"/>']
    parts: list[str] = []
    if cell.reverse:
        parts.append(f'<rect x="{x}" y="{y}" width="{WIDTH + 0.3}" height="{HEIGHT}" fill="{colour}"/>')
        colour = BACKGROUND
    if not cell.data.isspace() and unicodedata.category(cell.data[:1] or " ") != "Cc":
        weight = ' font-weight="700"' if cell.bold else ""
        parts.append(f'<text x="{x}" y="{y + 15}" fill="{colour}"{weight}>{escape(cell.data)}</text>')
    return parts


def main(folder: Path) -> None:
    """Take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, Emulator.in_thread(interval=1, app_name="Kitchen Display") as emulator:
        environment = {
            "HOME": home,
            "XDG_CONFIG_HOME": None,
            "XDG_STATE_HOME": None,
            "CI": None,
            "TWILIO_OAUTH_URL": emulator.base_url,
            "TWILIO_ACCOUNT_SID": emulator.account_sid,
            "TWILIO_AUTH_TOKEN": emulator.auth_token,
            "TWILIO_CLIENT_ID": emulator.client_sid,
        }

        def take(name: str, *args: str, columns: int = 80, rows: int = 50, until: str) -> None:
            with Terminal(*args, columns=columns, rows=rows, environment=environment) as terminal:
                terminal.wait_for(until)
                (folder / f"{name}.svg").write_text(svg(terminal.screen, f"twilio-oauth {' '.join(args)}"))
                terminal.press("\x03")  # those that wait
                terminal.end()

        for columns in (80, 40):
            take(f"login-{columns}", "login", columns=columns, until="Waiting for your approval. 4:")
            take(f"doctor-{columns}", "doctor", columns=columns, rows=70, until="[y/N]")
            take(f"status-{columns}", "status", columns=columns, until="signed in")
            take(f"help-{columns}", "--help", columns=columns, until="completion")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/_build/terminal")
    main(target)
    print(f"{len(list(target.glob('*.svg')))} pictures in {target}")
