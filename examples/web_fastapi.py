"""A web backend, with FastAPI: its page at / needs a sign-in to Twilio, which takes place on the pages at /twilio.

PORT, STATE (a folder) and PUBLIC_URL configure it. Needs twilio-oauth-async[asgi,file,emulator], fastapi and uvicorn.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from _service import service
from fastapi import Depends, FastAPI

from twilio_oauth_async import DeviceFlowPool, FileFlowStore, FileTokenStore, TokenManager
from twilio_oauth_async.web import SignInSite
from twilio_oauth_async.web.asgi import SignInApp, require_sign_in

PORT, STATE = int(os.environ.get("PORT", "8080")), Path(os.environ.get("STATE", "web-state"))
URL = os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{PORT}") + "/twilio"
SCOPES = ["openid", "profile"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with service() as twilio:
        code_flow, tokens = twilio.code_flow(SCOPES, f"{URL}/callback"), FileTokenStore(STATE / "tokens.db")
        pool = DeviceFlowPool(twilio.device_flow(SCOPES), tokens=tokens, flows=FileFlowStore(STATE / "flows.db"))
        async with SignInSite(pool, url=URL, app_name="Example", code_flow=code_flow) as site:
            app.mount("/twilio", SignInApp(site))

            @app.get("/")
            async def home(manager: Annotated[TokenManager, Depends(require_sign_in(site))]) -> str:
                return f"Hello, {(await manager.user_info()).friendly_name}. You can sign out at {URL}"

            yield


uvicorn.run(FastAPI(lifespan=lifespan), port=PORT, access_log=False)  # the URL of a callback contains a code
