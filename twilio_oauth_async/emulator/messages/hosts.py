"""Which ``Host`` headers the server accepts, against DNS rebinding: a website must not control it through a browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse


class AllowedHosts:
    """The hosts that requests may name.

    A website can let its own name lead to 127.0.0.1 and then send requests there as to itself. The browser sends the
    name of the website, so a server on loopback accepts only loopback addresses, ``localhost``, and the names that its
    user has given.
    """

    def __init__(self, listens_on: str, names: Iterable[str] = ()) -> None:
        """Accept `names`; all hosts if `listens_on` is not a loopback address and there are no `names`.

        Args:
            listens_on: address or name on which the server listens.
            names: more host names, without a port.

        Raises:
            TypeError: one of them is not a string.
        """
        given: list[object] = [listens_on, *([0] if isinstance(names, str) else names)]
        if not all(isinstance(name, str) for name in given):
            raise TypeError("host must be a string, and hosts a list of strings")
        self._names = {name.lower() for name in names}
        self._accepts_all = not self._names and not _is_loopback(listens_on)

    def check(self, host: str) -> None:
        """Check a ``Host`` header (RFC 9110 7.2): a name or an address, and maybe a port; empty if there was none.

        Raises:
            ErrorResponse: 421: the server does not have this name.
        """
        name = _without_port(host).lower()
        # A browser always sends the header.
        if name and not (self._accepts_all or name in self._names or _is_loopback(name)):
            raise ErrorResponse(
                "misdirected_request",
                "The emulator does not have the host name of this request. Use its base URL, or start it with the "
                "argument hosts (--allow-host on the command line).",
                status=421,  # RFC 9110 15.5.20
            )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # RFC 6761 6.3: names below localhost lead to loopback too.
        return host == "localhost" or host.endswith(".localhost")
