"""`Background`: what is under way when a queue is closed is finished, and not cancelled a second time."""

import asyncio

import pytest

from twilio_oauth_async import SystemClock
from twilio_oauth_async.sign_in.nats import background as background_module
from twilio_oauth_async.sign_in.nats.background import Background
from twilio_oauth_async.sign_in.nats.setup import Limits

pytestmark = pytest.mark.asyncio


class DrainingPuller:
    """A `Puller` that needs some turns of the event loop to end."""

    outcome = None

    async def run(self, close_timeout):
        try:
            await asyncio.Event().wait()
        finally:
            DrainingPuller.outcome = "interrupted"
            for _ in range(20):
                await asyncio.sleep(0)
            DrainingPuller.outcome = "drained"


@pytest.mark.parametrize("first", ["worker", "puller"])
async def test_drain_is_not_interrupted_by_the_end_of_the_worker(monkeypatch, first):
    monkeypatch.setattr(background_module, "Puller", lambda *_, **options: DrainingPuller())
    background = Background(None, type("Names", (), {"flows": "f", "workers": "w"}), Limits(1, 1.0, 1), SystemClock())
    worker = background.start(background.poll(None, 1, 1.0))
    while len(background._tasks) < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    [puller] = background._tasks - {worker}
    for task in (worker, puller) if first == "worker" else (puller, worker):
        task.cancel()
        await asyncio.sleep(0)
    await background.stop()
    assert DrainingPuller.outcome == "drained"
