"""A web backend of two processes, and two workers that poll its sign-ins, on NATS: `python examples/web_cluster.py`.

Both web processes listen on PORT, and the kernel gives each connection to one of them. A sign-in that is started in one
is known in the other, and goes on if a process is killed: end one with `kill -9`. NATS_URL names a NATS server; without
it, nats-server is started. PUBLIC_URL is the URL of a proxy; without one, this example needs Linux or macOS. Needs
`pip install 'twilio-oauth-async[web,nats,cli]'`; see _service.py for the OAuth server.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack

import nats
from _service import service
from aiohttp import web

from twilio_oauth_async.sign_in.nats import DeviceFlowQueue
from twilio_oauth_async.stores.nats import NatsTokenStore
from twilio_oauth_async.web import SignInSite
from twilio_oauth_async.web.aiohttp import require_sign_in, sign_in_app

PORT = int(os.environ.get("PORT", "8080"))
URL = os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{PORT}") + "/twilio"
NATS_URL = os.environ.get("NATS_URL", "nats://127.0.0.1:42220")
SCOPES = ["openid", "profile"]


async def build_app() -> web.Application:
    """Return the application of one web process. It starts sign-ins, and polls none."""
    app, stack = web.Application(), AsyncExitStack()
    twilio = await stack.enter_async_context(service())
    client = await nats.connect(NATS_URL, max_reconnect_attempts=-1)  # pyright: ignore[reportUnknownMemberType]
    stack.push_async_callback(client.close)
    js = client.jetstream()  # pyright: ignore[reportUnknownMemberType]
    queue = DeviceFlowQueue(js, twilio.device_flow(SCOPES), tokens=NatsTokenStore(js), concurrency=0)
    code_flow, secret = twilio.code_flow(SCOPES, f"{URL}/callback"), bytes.fromhex(os.environ["SITE_SECRET"])
    site = SignInSite(queue, url=URL, app_name="Example", code_flow=code_flow, secret=secret)

    async def home(request: web.Request) -> web.Response:
        user = await (await require_sign_in(site)(request)).user_info()
        return web.Response(text=f"Hello, {user.friendly_name}, from process {os.getpid()}. Sign out at {URL}")

    app.router.add_get("/", home)
    app.add_subapp("/twilio", sign_in_app(site))
    app.on_cleanup.append(lambda _: stack.aclose())
    return app


def start_all() -> None:
    """Start NATS, two web processes and two workers, and stop them with this process."""
    program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    worker = [sys.executable, "-m", "twilio_oauth_async", "worker", *(f"--scope={scope}" for scope in SCOPES)]
    commands = [[sys.executable, __file__, "web"]] * 2 + [worker] * 2
    with ExitStack() as stack:
        if "NATS_URL" not in os.environ:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            port = NATS_URL.rpartition(":")[2]
            server = [program or sys.exit("Install nats-server, or set NATS_URL."), "-a", "127.0.0.1", "-p", port]
            commands.insert(0, [*server, "-js", "-sd", folder, "--log", "/dev/null"])
        shared = {**os.environ, "SITE_SECRET": secrets.token_hex(32), "NATS_URL": NATS_URL}
        for command in commands:
            process = stack.enter_context(subprocess.Popen(command, env=shared))
            stack.callback(process.terminate)  # called before the process is waited for
        print(f"Open http://127.0.0.1:{PORT}/twilio/ to sign in. Ctrl-C stops everything.", flush=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if sys.argv[1:] == ["web"]:
    web.run_app(build_app(), host="127.0.0.1", port=PORT, access_log=None, print=None, reuse_port=True)
elif "TWILIO_CLIENT_ID" in os.environ:
    start_all()
else:
    print("TWILIO_CLIENT_ID is not set: using the emulator.", flush=True)
    emulator = [sys.executable, "-m", "twilio_oauth_async", "emulator", "--interval", "1", "--"]
    os.execv(sys.executable, [*emulator, sys.executable, __file__])
