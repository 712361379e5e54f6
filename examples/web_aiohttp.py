"""A web backend, with aiohttp: its page at / needs a sign-in to Twilio, which takes place on the pages at /twilio.

PORT, STATE (a folder) and PUBLIC_URL (behind a proxy) configure it; see _service.py for the OAuth server.
Needs `pip install 'twilio-oauth-async[web,file,emulator]'`.
"""

import os
from contextlib import AsyncExitStack
from pathlib import Path

from _service import service
from aiohttp import web

from twilio_oauth_async import DeviceFlowPool, FileFlowStore, FileTokenStore
from twilio_oauth_async.web import SignInSite
from twilio_oauth_async.web.aiohttp import require_sign_in, sign_in_app

PORT, STATE = int(os.environ.get("PORT", "8080")), Path(os.environ.get("STATE", "web-state"))
URL = os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{PORT}") + "/twilio"
SCOPES = ["openid", "profile"]


async def build_app() -> web.Application:
    app, stack = web.Application(), AsyncExitStack()
    twilio = await stack.enter_async_context(service())
    code_flow, tokens = twilio.code_flow(SCOPES, f"{URL}/callback"), FileTokenStore(STATE / "tokens.db")
    pool = DeviceFlowPool(twilio.device_flow(SCOPES), tokens=tokens, flows=FileFlowStore(STATE / "flows.db"))
    site = SignInSite(pool, url=URL, app_name="Example", code_flow=code_flow)

    async def home(request: web.Request) -> web.Response:
        user = await (await require_sign_in(site)(request)).user_info()
        return web.Response(text=f"Hello, {user.friendly_name}. You can sign out at {URL}")

    app.router.add_get("/", home)
    app.add_subapp("/twilio", sign_in_app(site))
    app.on_cleanup.append(lambda _: stack.aclose())
    return app


web.run_app(build_app(), host="127.0.0.1", port=PORT, access_log=None)  # the URL of a callback contains a code
