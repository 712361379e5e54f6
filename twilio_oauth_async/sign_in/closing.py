"""How a pool closes: nothing that is under way is lost, and everything else is given back at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from twilio_oauth_async.clock import wait_for_all
from twilio_oauth_async.sign_in.members import Members
from twilio_oauth_async.sign_in.reporter import Reporter
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.tasks import create_task

REVOKE_TIMEOUT = 5.0
"""Seconds for the revocation of tokens that could not be saved."""


async def close(shared: Shared, members: Members, reporter: Reporter, timeout: float) -> None:
    """Stop all flows and reports.

    Flows that only wait are given back in one call of the store, while polls, saves and callbacks under way are waited
    for. If this is cancelled, the tasks are cancelled too.

    Args:
        shared: what the flows are run with.
        members: the flows. Their streams have ended.
        reporter: the ends that are being reported.
        timeout: seconds for what is under way.
    """
    flows, reports = members.tasks(), reporter.others()
    for running in flows.values():
        running.stop()
    busy = {task for task, running in flows.items() if running.is_under_way}
    busy |= {task for id_, task in reports.items() if id_ in reporter.called}
    rest = {*flows, *reports.values()} - busy
    idle = {running.id for task, running in flows.items() if task not in busy}
    idle |= {id_ for id_, task in reports.items() if task not in busy}
    try:
        await _cancel(rest)
        giving_back = create_task(shared.leases.give_back(idle))
        await wait_for_all({*busy, giving_back}, shared.clock, timeout)
        late = [running for task, running in flows.items() if task in busy and not task.done()]
        await _cancel({*busy, giving_back})
        revoking = {create_task(running.revoke_unsaved()) for running in late}
        left = {running.id for task, running in flows.items() if task in busy and not running.life.is_recorded}
        left |= {id_ for id_, task in reports.items() if task in busy}
        last = create_task(shared.leases.give_back(left - set(reporter.kept)))
        await wait_for_all({*revoking, last}, shared.clock, REVOKE_TIMEOUT)
        await _cancel({*revoking, last})
        # What ended while the pool was closing is reported by the next process.
        await _cancel(reporter.others().values())
    except BaseException:
        for task in (*flows, *reporter.others().values()):
            task.cancel()
        raise


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
