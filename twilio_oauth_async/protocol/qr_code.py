"""QR codes of a verification URI (RFC 8628 3.3.1): SVG for pages, text for terminals. Needs the extra ``web``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from twilio_oauth_async.extras import from_extra

if TYPE_CHECKING:
    import segno

_BORDER = 4
"""Light modules around the code that a reader needs (ISO/IEC 18004)."""


def svg(link: str) -> str:
    """Return the QR code of `link` as an SVG image, dark on white.

    Raises:
        MissingExtraError: segno is not installed.
    """
    written = io.BytesIO()
    _qr_code(link).save(written, kind="svg", border=_BORDER, scale=4, light="#fff", xmldecl=False, nl=False)
    return written.getvalue().decode()


def text(link: str, *, dark_on_light: bool) -> str:
    """Return the QR code of `link` as lines of block characters; each character holds two modules.

    Args:
        link: what the QR code contains.
        dark_on_light: for a terminal with dark text on a light background; False: for light text on a dark one.

    Raises:
        MissingExtraError: segno is not installed.
    """
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    rows = [[bool(dark) == dark_on_light for dark in row] for row in _qr_code(link).matrix_iter(border=_BORDER)]
    if len(rows) % 2:
        rows.append([not dark_on_light] * len(rows))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(blocks[cell] for cell in zip(upper, lower, strict=True)) for upper, lower in pairs)


def _qr_code(link: str) -> segno.QRCode:
    with from_extra("web", "segno"):
        import segno
    return segno.make_qr(link, error="m")
