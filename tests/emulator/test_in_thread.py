"""The emulator in a thread: synchronous control, with synchronous clients and test clients of web frameworks."""

from __future__ import annotations

import json
import threading
import types
import unittest
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from twilio_oauth_async import DeviceFlow, OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.control.in_thread import EmulatorThread


def post(emulator: EmulatorThread, path: str, **fields: str) -> tuple[int, Any]:
    """Send a form with the standard library."""
    manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
    manager.add_password(None, emulator.base_url, emulator.account_sid, emulator.auth_token, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    try:
        with opener.open(f"{emulator.base_url}/{path}", data=urlencode(fields).encode()) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def device_code(emulator: EmulatorThread) -> Any:
    return post(emulator, "v1/device/code", ClientSid=emulator.client_sid, Scopes="openid")[1]


def poll(emulator: EmulatorThread, code: Any) -> tuple[int, Any]:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    return post(emulator, "v1/token", GrantType=grant, ClientSid=emulator.client_sid, DeviceCode=code["device_code"])


def test_synchronous_client_signs_in() -> None:
    with Emulator.in_thread() as emulator:
        code = device_code(emulator)
        assert poll(emulator, code)[1]["error"] == "authorization_pending"
        emulator.approve(code["user_code"])
        emulator.faults.on("poll").respond(503)
        assert poll(emulator, code)[0] == 503
        status, token = poll(emulator, code)
        assert status in {201, 400}
        assert len(emulator.requests.to("poll")) == 3
        if status == 201:
            emulator.revoke(token["access_token"])
    assert threading.active_count() == 1 or "twilio-oauth-emulator" not in {t.name for t in threading.enumerate()}


def test_every_method_of_control() -> None:
    clock = VirtualClock(auto=False)
    with Emulator.in_thread(clock=clock, control_token="secret") as emulator:
        grace = emulator.add_user("Grace", "Other", "grace@example.com")
        app = emulator.add_app("Second", public=True, scopes=["openid"])
        assert emulator.users[-1] == grace
        assert app.secret is None
        assert len(emulator.add_api_key()) == 2
        for end, error in ((emulator.deny, "access_denied"), (emulator.expire, "expired_token")):
            code = device_code(emulator)
            end(code["user_code"])
            assert poll(emulator, code)[1]["error"] == error
        code = device_code(emulator)
        emulator.approve(code["user_code"], grace, scopes=["openid"])
        emulator.call(clock.advance, 5.0)
        status, token = poll(emulator, code)
        assert status == 201
        emulator.revoke(token["access_token"])
        query = {"response_type": "code", "client_id": emulator.client_sid, "redirect_uri": "http://127.0.0.1/cb"}
        query |= {"code_challenge": "a" * 43, "code_challenge_method": "S256", "state": "s"}
        assert "code=" in emulator.authorize(f"{emulator.base_url}/oauth2/authorize?{urlencode(query)}")
        emulator.rotate_keys()
        emulator.clear()
        assert len(emulator.requests) == 0
        with pytest.raises(LookupError):
            emulator.approve("AAAA-AAAA")
        with pytest.raises(ValueError, match="keep"):
            emulator.rotate_keys(-1)


def test_emulator_that_is_not_running_says_so() -> None:
    emulator = Emulator.in_thread()
    for act in (emulator.clear, lambda: emulator.deny("X"), lambda: emulator.base_url):
        with pytest.raises(RuntimeError, match="the emulator is not running"):
            act()
    assert repr(emulator) == "<EmulatorThread not running>"
    with emulator, pytest.raises(RuntimeError, match="already running"):
        emulator.start()
    with emulator:  # again
        assert repr(emulator) == f"<EmulatorThread {emulator.base_url}>"
        with pytest.raises(RuntimeError, match="cannot wait for itself"):
            emulator.call(emulator.clear)
    emulator.stop()


def test_port_that_is_taken_is_an_error() -> None:
    with Emulator.in_thread() as first:
        port = int(first.base_url.rpartition(":")[2])
        second = Emulator.in_thread(port=port)
        with pytest.raises(OSError, match="address already in use"):
            second.start()
        second.stop()


@pytest.mark.asyncio
async def test_client_in_another_event_loop_signs_in() -> None:
    with Emulator.in_thread(interval=1) as emulator:
        session = OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url)
        async with session:
            flow = DeviceFlow(
                session,
                client_sid=emulator.client_sid,
                client_secret=emulator.client_secret,
                scopes=["openid"],
                prompt=lambda authorization: emulator.approve(authorization.user_code),
            )
            authorization = await flow.start()
            emulator.approve(authorization.user_code)
            with pytest.raises(ValueError, match="already"):
                emulator.approve(authorization.user_code)


class TestWithUnittest(unittest.TestCase):
    """The emulator in ``setUp`` and ``tearDown``."""

    def setUp(self) -> None:
        self.emulator = Emulator.in_thread().start()
        self.addCleanup(self.emulator.stop)

    def test_device_code(self) -> None:
        self.assertIn("user_code", device_code(self.emulator))  # noqa: PT009 - this is unittest


def test_test_client_of_fastapi() -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    with Emulator.in_thread() as emulator:
        app = FastAPI()

        @app.get("/start")
        async def start() -> dict[str, str]:
            async with OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url) as session:
                flow = DeviceFlow(session, client_sid=emulator.client_sid, scopes=["openid"])
                return {"code": (await flow.start()).user_code}

        with TestClient(app) as client:
            emulator.approve(client.get("/start").json()["code"])


def test_test_client_of_flask() -> None:
    from flask import Flask

    with Emulator.in_thread() as emulator:
        app = Flask("host")

        @app.get("/start")
        def start() -> Any:
            return device_code(emulator)

        emulator.approve(app.test_client().get("/start").json["user_code"])


def test_test_client_of_django() -> None:
    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.test import Client
    from django.urls import path

    with Emulator.in_thread() as emulator:

        def start(_: HttpRequest) -> JsonResponse:
            return JsonResponse(device_code(emulator))

        urls = types.ModuleType("urls")
        urls.urlpatterns = [path("start", start)]  # type: ignore[attr-defined]
        if not settings.configured:
            settings.configure(ALLOWED_HOSTS=["testserver"], SECRET_KEY="a key for tests", USE_TZ=True)
            django.setup()
        settings.ROOT_URLCONF = urls
        emulator.approve(Client().get("/start").json()["user_code"])
