"""Uses of the mountable parts, which the type checkers read and nothing runs."""

from pathlib import Path
from typing import Annotated, assert_type

from aiohttp import web
from fastapi import Depends, FastAPI
from starlette.requests import Request

from twilio_oauth_async import AuthorizationCodeFlow, DeviceFlowPool, DeviceFlowRunner, TokenManager
from twilio_oauth_async.chat import CHAT_TEXTS, ChatSignIn
from twilio_oauth_async.web import PAGE_TEXTS, SignInSite
from twilio_oauth_async.web.aiohttp import require_sign_in as aiohttp_require_sign_in
from twilio_oauth_async.web.aiohttp import sign_in_app
from twilio_oauth_async.web.asgi import SignInApp, require_sign_in


async def identify(request: Request) -> str | None:
    return request.headers.get("X-User")


def client_address(request: web.Request) -> str:
    return request.remote or ""


async def mount_in_fastapi(pool: DeviceFlowPool) -> None:
    async with SignInSite(pool, url="https://app.example/twilio", app_name="Example", identify=identify) as site:
        app = FastAPI()
        app.mount("/twilio", SignInApp(site))

        @app.get("/")
        async def home(manager: Annotated[TokenManager, Depends(require_sign_in(site))], request: Request) -> str:
            assert_type(await site.user(request), str | None)
            assert_type(site.manager(request), TokenManager)
            return (await manager.user_info()).friendly_name or ""

        assert_type(await home(pool.manager("ada"), Request({"type": "http"})), str)


def mount_in_aiohttp(runner: DeviceFlowRunner, flow: AuthorizationCodeFlow) -> web.Application:
    site = SignInSite(
        runner,
        url="https://app.example/twilio",
        app_name="Example",
        login_url="/login",
        code_flow=flow,
        secret=bytes(32),
        client_address=client_address,
        templates=Path("templates"),
        stylesheet=Path("own.css"),
        texts={"start.title": PAGE_TEXTS["start.title"]},
    )
    signed_in = aiohttp_require_sign_in(site)

    async def home(request: web.Request) -> web.Response:
        return web.Response(text=await (await signed_in(request)).access_token())

    app = web.Application()
    app.router.add_get("/", home)
    app.add_subapp("/twilio", sign_in_app(site))
    return app


async def bot(pool: DeviceFlowPool) -> None:
    async def send(chat: str, text: str) -> None:
        print(chat, text)

    async with ChatSignIn(pool, send=send, app_name="Bot", texts={"expired": CHAT_TEXTS["expired"]}) as commands:
        assert_type(await commands.command("ada", "/login", chat="dm"), bool)
        assert_type(await commands.login("ada"), str)
        assert_type(await commands.whoami("ada", chat="dm"), str)
