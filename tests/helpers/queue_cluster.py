"""`QueueCluster`: a web server, workers in processes of their own, and NATS servers, all in real time on one host.

`promises_broken` checks afterwards what a queue promises whatever has happened: each approval is in the store once and
is valid, no poll was early, no sign-in is lost, and each end is reported.
"""

import asyncio
import contextlib
import os
import signal
import time

from tests.helpers.command import start
from tests.helpers.cut_proxy import CutProxy
from tests.helpers.nats_server import NatsServer, until
from tests.helpers.redis_server import free_port
from tests.helpers.shared_clock import SharedClock
from twilio_oauth_async import DeviceFlow, OAuthSession
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.sign_in.nats import DeviceFlowQueue
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.tokens.identity import key_of

ACK_WAIT = 2.0


class QueueCluster:
    """What `queue_cluster` opens. `web` is a queue in this process that polls nothing and gets all ends."""

    def __init__(self, folder, emulator, proxy, servers, *, interval, replicas):
        self.folder, self.emulator, self.proxy, self.servers = folder, emulator, proxy, servers
        self.interval, self.replicas = interval, replicas
        self.ends = []
        self.sign_ins = {}
        self.workers = []
        self.url = f"http://127.0.0.1:{proxy.port}"
        self.tokens = FileTokenStore(folder / "state/twilio-oauth-async/tokens.db")
        self.web = self.flow = self.client = None

    @contextlib.asynccontextmanager
    async def opened(self):
        """Open the queue of the web server."""
        emulator = self.emulator
        async with OAuthSession(
            emulator.account_sid, emulator.auth_token, base_url=self.url, clock=self.emulator.clock
        ) as session:
            self.flow = DeviceFlow(
                session, client_sid=emulator.client_sid, client_secret=emulator.client_secret, scopes=["openid"]
            )
            self.client = await self.servers[0].connect([server.url for server in self.servers])
            try:
                self.web = DeviceFlowQueue(
                    self.client.jetstream(),
                    self.flow,
                    tokens=self.tokens,
                    on_end=self.ends.append,
                    concurrency=0,
                    ack_wait=ACK_WAIT,
                    replicas=self.replicas,
                    sweep_every=2.0,
                )
                async with self.web:
                    yield self
            finally:
                for worker in self.workers:
                    with contextlib.suppress(ProcessLookupError):
                        worker.send_signal(signal.SIGCONT)
                    worker.kill()
                    await asyncio.to_thread(worker.communicate)
                await self.client.close()
                await self.tokens.close()

    def start_worker(self, *args, nats=None):
        """Start a worker, and return its process."""
        emulator = self.emulator
        worker = start(
            *("worker", "--tokens", "file", "--ack-wait", str(ACK_WAIT), *args),
            TWILIO_OAUTH_URL=self.url,
            TWILIO_ACCOUNT_SID=emulator.account_sid,
            TWILIO_AUTH_TOKEN=emulator.auth_token,
            TWILIO_CLIENT_ID=emulator.client_sid,
            TWILIO_CLIENT_SECRET=emulator.client_secret,
            NATS_URL=nats or ",".join(server.url for server in self.servers),
            HOME=str(self.folder),
            XDG_CONFIG_HOME=str(self.folder / "config"),
            XDG_STATE_HOME=str(self.folder / "state"),
            PYTHONDEVMODE="0",
        )
        self.workers.append(worker)
        return worker

    async def submit(self, users):
        """Start the sign-ins of `users`, some at a time."""
        for begin in range(0, len(users), 50):
            batch = users[begin : begin + 50]
            found = await asyncio.gather(*(self.web.submit(user) for user in batch))
            self.sign_ins.update(zip(batch, found, strict=True))

    async def approve(self, users):
        """Approve the sign-ins of `users`."""
        for user in users:
            await self.emulator.approve(self.sign_ins[user].user_code)

    def polls(self):
        """Return all polls that the server has received."""
        return self.emulator.requests.to("poll")

    async def ended(self, seconds):
        """Wait until each end is reported, and return the ids of those that are not."""
        missing = {sign_in.id for sign_in in self.sign_ins.values()}
        until_ = time.monotonic() + seconds
        while missing and time.monotonic() < until_:
            await asyncio.sleep(0.05)
            missing -= {end.id for end in self.ends}
        return missing

    async def promises_broken(self, *, missing=(), may_fail=lambda exchanged_at: False, early=0):
        """Return what was promised and did not hold.

        Args:
            missing: the sign-ins whose end was not reported in time.
            may_fail: whether a second exchange of a code could not be avoided, given when the first one was (seconds
                of the emulator's clock). Such a sign-in may have failed.
            early: polls that are early because the network has held them.
        """
        broken = [f"{len(missing)} ends were not reported"] if missing else []
        gaps = [gap for gap in self.emulator.requests.poll_gaps() if gap < self.interval - 1e-6]
        if len(gaps) > early:
            broken.append(f"{len(gaps)} polls were early: {sorted(gaps)[:3]}")
        exchanges = {poll.form["DeviceCode"]: poll.received_at for poll in self.polls() if poll.status == 201}
        if len(exchanges) < sum(poll.status == 201 for poll in self.polls()):
            broken.append("the server has exchanged a code twice")
        replays = {poll.form["DeviceCode"] for poll in self.polls() if poll.error == "invalid_grant"}
        excused = {code for code in replays if code in exchanges and may_fail(exchanges[code])}
        if replays - excused:
            broken.append(f"{len(replays - excused)} codes were sent again after their exchange")
        for user, sign_in in self.sign_ins.items():
            entry = await self.web._states.read(sign_in.id)
            state, code = entry.state.flow.state, entry.state.flow.authorization.device_code
            stored = await self.tokens.load(key_of(self.flow, user))
            is_valid = stored is not None and self.emulator.introspect(stored.token.access_token)["active"]
            if (state, is_valid) == ("approved", True) or (state == "failed" and code in excused and stored is None):
                continue
            broken.append(f"{user} is {state}, and its stored token is {'valid' if is_valid else 'not valid'}")
        return broken


@contextlib.asynccontextmanager
async def queue_cluster(folder, *, interval=1, servers=1, journal=100_000):
    """Open an emulator, a proxy before it, NATS servers and the queue of a web server; yield the `QueueCluster`."""
    running = start_servers(folder, servers)
    try:
        async with (
            # This clock sleeps in short parts, so that the guard of the tests does not end its sleeps.
            Emulator(
                clock=SharedClock(folder / "clock"),
                interval=interval,
                journal_size=journal,
                journal_bytes=journal * 2_000,
            ) as emulator,
            CutProxy(int(emulator.base_url.rpartition(":")[2])) as proxy,
        ):
            cluster = QueueCluster(
                folder, emulator, proxy, running, interval=interval, replicas=3 if servers == 3 else 1
            )
            client = await running[0].connect([server.url for server in running])
            try:
                await until(lambda: is_up(client), 30)
            finally:
                await client.close()
            async with cluster.opened():
                yield cluster
    finally:
        for server in running:
            server.stop()


def start_servers(folder, count):
    """Start `count` NATS servers; more than one are a cluster."""
    if count == 1:
        return [NatsServer(folder / "nats").start()]
    ports = [free_port() for _ in range(count)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    return [
        NatsServer(
            folder / f"nats-{number}",
            *("-n", f"server-{number}", "--cluster_name", "test"),
            *("--cluster", f"nats://127.0.0.1:{port}", "--routes", routes),
        ).start()
        for number, port in enumerate(ports)
    ]


async def is_up(client):
    """Return whether JetStream works; in a cluster it takes some seconds until there is a leader."""
    try:
        await client.jetstream(timeout=1).account_info()
    except Exception:  # noqa: BLE001 - it is asked again
        return False
    return True


def kill(worker):
    """Kill a worker, as when its host fails."""
    worker.kill()
    worker.wait()


def suspend(worker):
    """Suspend a worker: it keeps its connections, and does not respond."""
    os.kill(worker.pid, signal.SIGSTOP)


def resume(worker):
    """Let a suspended worker go on."""
    os.kill(worker.pid, signal.SIGCONT)
