"""`twilio-oauth worker` as a process of its own, with a real NATS server. The test is the web server."""

import asyncio
import contextlib
import json
import signal
import urllib.error
import urllib.request

import nkeys
import pytest
import pytest_asyncio

from tests.helpers.command import error_lines, start
from tests.helpers.nats_server import NatsServer, allow_sleeps_of_client, need_nats, until
from tests.helpers.queue_world import queue_world
from tests.helpers.redis_server import free_port
from tests.helpers.tls import make as make_tls
from twilio_oauth_async.cli import main
from twilio_oauth_async.stores.file import FileTokenStore

WEB = {"concurrency": 0}


@pytest_asyncio.fixture
async def world(tmp_path, monkeypatch):
    """An emulator and a NATS server, and the environment of a worker for them."""
    need_nats()
    allow_sleeps_of_client(monkeypatch)
    server = NatsServer(tmp_path / "nats").start()
    try:
        async with queue_world(server, tmp_path) as world:
            world.folder = tmp_path
            yield world
    finally:
        server.stop()


class Worker:
    """A worker, and the port of its health checks."""

    def __init__(self, world, *args, **environment):
        self.port = free_port()
        emulator = world.emulator
        environment = {
            "TWILIO_OAUTH_URL": emulator.base_url,
            "TWILIO_ACCOUNT_SID": emulator.account_sid,
            "TWILIO_AUTH_TOKEN": emulator.auth_token,
            "TWILIO_CLIENT_ID": emulator.client_sid,
            "TWILIO_CLIENT_SECRET": emulator.client_secret,
            "NATS_URL": world.server.url,
            "HOME": str(world.folder),
            "XDG_CONFIG_HOME": str(world.folder / "config"),
            "XDG_STATE_HOME": str(world.folder / "state"),
            **environment,
        }
        options = ("--tokens", "file", "--ack-wait", "2", "--health", str(self.port))
        self.process = start("worker", *options, *args, **environment)

    async def status(self, path="/readyz"):
        """Return the status and the body of a health check; None while the port is closed."""
        return await asyncio.to_thread(self._status, path)

    async def is_ready(self):
        found = await self.status()
        return found is not None and found[0] == 200

    async def end(self, number=signal.SIGTERM):
        """End it by a signal, and return its exit code, stdout and the lines on stderr."""
        self.process.send_signal(number)
        out, err = await asyncio.to_thread(self.process.communicate, timeout=30)
        return self.process.returncode, out, error_lines(err)

    def _status(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return None


@contextlib.asynccontextmanager
async def running(world, *args, **environment):
    """Run a worker until the end of a block, and yield it when it is ready."""
    worker = Worker(world, *args, **environment)
    try:
        await until(worker.is_ready, 30)
        yield worker
    finally:
        worker.process.kill()
        worker.process.communicate()


async def stored_users(world):
    store = FileTokenStore(world.folder / "state/twilio-oauth-async/tokens.db")
    try:
        return [user async for user in store.users()]
    finally:
        await store.close()


async def is_polled(world):
    return bool(world.polls())


@pytest.mark.asyncio
async def test_worker_polls_what_a_web_server_starts_and_drains_on_sigterm(world):
    async with world.queues(WEB) as [web], running(world) as worker:
        assert await worker.status("/healthz") == (200, {"status": "live"})
        sign_in = await web.submit("ada")
        assert await worker.status() == (200, {"status": "ready", "pending": 1})
        await world.emulator.approve(sign_in.user_code)
        await asyncio.wait_for(web.result(sign_in.id), 20)
        assert await stored_users(world) == ["ada"]
        code, out, err = await worker.end()
        assert (code, out, err) == (
            0,
            "",
            [
                "Polling sign-ins. SIGTERM ends this after the polls under way.",
                "Finishing the polls that are under way.",
            ],
        )


@pytest.mark.asyncio
async def test_poll_under_way_is_finished_and_the_rest_goes_to_other_workers_at_once(world):
    async with world.queues(WEB) as [web], running(world) as worker:
        other = await web.submit("bob")
        await until(lambda: is_polled(world), 20)
        sign_in, arrived = await web.submit("ada"), []
        await world.emulator.approve(sign_in.user_code)
        approved = world.emulator.faults.on("poll").on_success().when(lambda poll: arrived.append(poll) or True)
        approved.delay(0.6)
        await until(lambda: arrived, 20)
        code, *_ = await worker.end()
        assert code == 0
        assert (await web.find(sign_in.id)).state == "approved"
        async with world.queues({}) as [second]:
            await world.emulator.approve(other.user_code)
            await asyncio.wait_for(second.result(other.id), 20)
    assert world.polls().count(201) == 2


@pytest.mark.asyncio
async def test_nats_that_is_down_at_the_start_is_waited_for(world):
    world.server.stop()
    worker = Worker(world, "--json")
    try:
        await until(worker.status, 30)
        assert await worker.status() == (503, {"status": "not ready"})
        assert (await worker.status("/healthz"))[0] == 200
        world.server.start()
        await until(worker.is_ready, 30)
        world.server.stop()
        await until(lambda: is_not_ready(worker), 30)
        world.server.start()
        await until(worker.is_ready, 30)
        code, out, err = await worker.end()
        assert (code, err) == (0, [])
        messages = [json.loads(line)["message"] for line in out.splitlines()]
        assert messages[0].startswith("NATS cannot be reached (ConnectionRefusedError)")
        assert "Connected to NATS again." in messages
    finally:
        worker.process.kill()
        worker.process.communicate()


async def is_not_ready(worker):
    return (await worker.status())[0] == 503


@pytest.mark.asyncio
async def test_stop_while_nats_is_down(world):
    world.server.stop()
    worker = Worker(world, NATS_URL=world.server.url.replace("//", "//operator:password-of-nats@"))
    try:
        await until(worker.status, 30)
        code, out, err = await worker.end()
        assert (code, out) == (0, "")
        assert err == ["NATS cannot be reached (ConnectionRefusedError); trying again."]
    finally:
        worker.process.kill()
        worker.process.communicate()


@pytest.mark.asyncio
async def test_ctrl_c_and_a_second_sigterm_end_it_at_once(world):
    world.emulator.faults.on("poll").always().stall()
    async with world.queues(WEB) as [web]:
        async with running(world, "--drain", "60") as worker:
            await web.submit("ada")
            await until(lambda: is_polled(world), 20)
            worker.process.send_signal(signal.SIGTERM)
            await until(lambda: is_not_ready(worker), 20)
            code, *_ = await worker.end()
            assert code == 143
        async with running(world, "--drain", "0.1") as worker:
            code, _, err = await worker.end(signal.SIGINT)
            assert (code, err[-1]) == (130, "Stopped.")


@pytest.mark.asyncio
async def test_tls_with_a_certificate_of_the_client_and_an_nkey(world):
    """The server accepts only clients with a certificate, and with the key of a user."""
    folder = world.folder
    tls = make_tls(folder)
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    (folder / "user.nk").write_bytes(seed)
    (folder / "nats.conf").write_text(
        f"""
        tls {{ cert_file: "{tls.certificate}", key_file: "{tls.certificate}", ca_file: "{tls.ca}", verify: true }}
        authorization {{ users: [ {{ nkey: {nkeys.from_seed(seed).public_key.decode()} }} ] }}
        """
    )
    server = NatsServer(folder / "secure", "-c", str(folder / "nats.conf")).start()
    world.server, plain = server, world.server
    options = ("--nats-ca", tls.ca, "--nats-cert", tls.certificate, "--nats-nkey", folder / "user.nk")
    try:
        worker = Worker(world)
        await until(worker.status)
        assert not await worker.is_ready(), "it has no certificate"
        worker.process.kill()
        worker.process.communicate()
        async with running(world, *map(str, options)) as worker:
            assert (await worker.end())[0] == 0
    finally:
        world.server = plain
        server.stop()


@pytest.mark.parametrize(
    ("args", "environment", "text"),
    [
        (["--nats", "nats://me:secret@nats:4222"], {}, "--nats must have no user or password"),
        (["--nats", "me:secret@nats"], {}, "--nats must have no user or password"),
        (["--nats", "http://nats:4222"], {}, "begins with nats:// or tls://, not with http://"),
        (["--tokens", "redis"], {}, "needs the URL of the Redis server in REDIS_URL"),
        (["--concurrency", "0"], {}, "'--concurrency'"),
        (["--nats-creds", "missing.creds"], {}, "'missing.creds' does not exist"),
        (["--name", "a b"], {}, "name must have 1 to 64 characters"),
        ([], {"TWILIO_CLIENT_ID": ""}, "there is no client_id: set TWILIO_CLIENT_ID"),
        ([], {"TWILIO_OAUTH_ENCRYPTION_KEYS": "secret-key"}, "encryption"),
    ],
)
def test_wrong_usage(args, environment, text, monkeypatch, capsys, tmp_path):
    need_nats()
    allow_sleeps_of_client(monkeypatch)
    server = NatsServer(tmp_path / "nats").start()
    values = {
        "TWILIO_OAUTH_URL": "http://127.0.0.1:1",
        "TWILIO_CLIENT_ID": "OQ" + "0" * 32,
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "0" * 32,
        "NATS_URL": server.url,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
    }
    for name, value in (values | environment).items():
        monkeypatch.setenv(name, value)
    try:
        assert main(["worker", "--tokens", "file", *args]) == 2
    finally:
        server.stop()
    err = capsys.readouterr().err
    assert text in " ".join(err.split())
    assert "secret@" not in err
    assert "secret-key" not in err
