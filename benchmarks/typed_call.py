"""CPU time of one typed call and one pending poll, compared with the same request written by hand with aiohttp.

    python benchmarks/typed_call.py [--guard]

Both clients run in this process, in turn, over one kept connection each, to a server in a process of its own that costs
less than they do. The hand-written call is what the documentation of aiohttp recommends: one shared ``ClientSession``
with the headers and the time limit, and ``async with session.post(...) as response: await response.json()``. It checks
nothing, limits nothing and returns a dict.

Structuring is measured alone: from the bytes of a token response to a `Token`, compared with ``json.loads`` and a
hand-written constructor that makes the same checks of the values.

``--guard`` measures for two seconds, compares the ratios with limits that only a regression exceeds, and writes no
result. A test runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
import attrs
from constant_server import PENDING_CODE, TOKEN, TOKEN_BODY, constant_server
from harness import Report, Usage, cpu_ratios, in_turn, measured, ratios, repeat
from multidict import CIMultiDict, CIMultiDictProxy

from twilio_oauth_async import DEVICE_CODE_GRANT, DeviceAuthorization, DeviceFlow, OAuthSession, Token
from twilio_oauth_async.protocol.messages import Context, Response
from twilio_oauth_async.protocol.polling import Pending
from twilio_oauth_async.protocol.token_endpoint import parse_token

USERNAME, PASSWORD, CLIENT_SID = "AC" + "0" * 32, "1" * 32, "OQ" + "2" * 32
STRUCTURED = 2_000


@attrs.frozen
class Effort:
    """How much is measured, and the limits of the ratios."""

    calls: int
    rounds: int
    max_call: float
    max_poll: float
    max_structure: float


WHOLE = Effort(calls=500, rounds=41, max_call=0.95, max_poll=0.90, max_structure=1.2)
GUARD = Effort(calls=100, rounds=9, max_call=1.4, max_poll=1.35, max_structure=1.2)
"""The limits are a third above what was measured: a busy machine changes the ratios by a tenth."""


def fields(device_code: str) -> dict[str, str]:
    """Return the form of a token request."""
    return {"GrantType": DEVICE_CODE_GRANT, "ClientSid": CLIENT_SID, "DeviceCode": device_code}


def by_hand(http: aiohttp.ClientSession, url: str, device_code: str) -> Callable[[], Awaitable[object]]:
    """Return the call that a user of aiohttp writes."""

    async def call() -> object:
        async with http.post(url, data=fields(device_code), headers={"Accept": "application/json"}) as response:
            return await response.json()

    return call


def token_by_hand(body: bytes) -> Token:
    """Build a `Token` from a response: the same checks of the values, and no recovery from wrong ones."""
    values = json.loads(body)
    if not isinstance(values, dict):
        raise TypeError("not an object")
    texts = {name: values.get(name) for name in ("access_token", "refresh_token", "id_token", "scope")}
    for name, value in texts.items():
        if value is not None and not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
            raise ValueError(name)
    if texts["access_token"] is None or values.get("token_type", "Bearer").lower() != "bearer":
        raise ValueError("access_token")
    dates = {}
    for name in ("access_token_expires_at", "refresh_token_expires_at"):
        value = values.get(name)
        dates[name] = None if value is None else parsedate_to_datetime(value).astimezone(UTC)
    return Token(**texts, **dates)


async def measure_structuring(report: Report, effort: Effort) -> None:
    """Add the figures of structuring."""
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
    response = Response(status=201, headers=headers, body=TOKEN_BODY)
    context = Context(now=datetime.now(UTC), base_url="https://oauth.twilio.com", sent=(PASSWORD,))
    assert parse_token(response, context) == token_by_hand(TOKEN_BODY)

    def round_of(call: Callable[[], object]) -> Callable[[], Awaitable[Usage]]:
        async def run() -> Usage:
            with measured() as usage:
                for _ in range(STRUCTURED):
                    call()
            return usage

        return run

    rounds = {
        "ours": round_of(lambda: parse_token(response, context)),
        "by hand": round_of(lambda: token_by_hand(TOKEN_BODY)),
    }
    series = await in_turn(rounds, rounds=effort.rounds, calls=STRUCTURED)
    group = f"structuring, {len(TOKEN_BODY):,} bytes"
    report.add(group, "by hand", series["by hand"].cpu, "us")
    report.add(group, "parse_token", series["ours"].cpu, "us")
    ratio = cpu_ratios(series["ours"], series["by hand"])
    report.add(group, "parse_token / by hand", ratio, "x", at_most=effort.max_structure)


async def measure_calls(report: Report, base_url: str, effort: Effort) -> None:
    """Add the figures of the calls."""
    # The good practice of aiohttp: one session, its headers set once, a total time limit.
    http = aiohttp.ClientSession(
        headers={"Authorization": aiohttp.encode_basic_auth(USERNAME, PASSWORD)},
        timeout=aiohttp.ClientTimeout(total=30),
    )
    async with http, OAuthSession(USERNAME, PASSWORD, base_url=base_url) as session:
        url = base_url + "/v1/token"

        async def typed_call() -> object:
            return await session.create_token(grant_type=DEVICE_CODE_GRANT, client_sid=CLIENT_SID, device_code="d" * 40)

        flow = DeviceFlow(session, client_sid=CLIENT_SID, scopes=["openid"])
        now = datetime.now(UTC)
        state = DeviceAuthorization(
            client_sid=CLIENT_SID,
            scopes=("openid",),
            device_code=PENDING_CODE.ljust(40, "d"),
            user_code="ABCD-EFGH",
            verification_uri=base_url,
            interval=5.0,
            expires_at=now + timedelta(days=1),
            next_poll_at=now,
        )
        poller = flow.poller(state)

        async def poll() -> None:
            nonlocal state
            step = await poller.poll(state)
            assert isinstance(step, Pending)
            state = step.authorization

        rounds = {
            "typed": repeat(typed_call, effort.calls),
            "call": repeat(by_hand(http, url, "d" * 40), effort.calls),
            "poll": repeat(poll, effort.calls),
            "pending": repeat(by_hand(http, url, PENDING_CODE.ljust(40, "d")), effort.calls),
        }
        assert isinstance(await typed_call(), Token)
        assert await by_hand(http, url, "d" * 40)() == TOKEN
        series = await in_turn(rounds, rounds=effort.rounds, calls=effort.calls)
    for group, ours, theirs, limit in (
        ("create_token", "typed", "call", effort.max_call),
        ("pending poll", "poll", "pending", effort.max_poll),
    ):
        report.add(group, "aiohttp by hand, CPU", series[theirs].cpu, "us")
        report.add(group, "this package, CPU", series[ours].cpu, "us")
        report.add(group, "CPU / by hand", cpu_ratios(series[ours], series[theirs]), "x", at_most=limit)
        report.add(group, "time / by hand", ratios(series[ours], series[theirs]), "x")


async def main(effort: Effort) -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("aiohttp", "yarl", "multidict", "attrs", "cattrs"))
    await measure_structuring(report, effort)
    async with constant_server() as base_url:
        await measure_calls(report, base_url, effort)
    return report.finish(write=effort is WHOLE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--guard", action="store_true", help="measure briefly, with limits that a regression exceeds")
    sys.exit(asyncio.run(main(GUARD if parser.parse_args().guard else WHOLE)))
