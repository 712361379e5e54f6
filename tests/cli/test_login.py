"""`twilio-oauth login` against an emulator: each flow, its ends, and sign-ins that are resumed."""

from __future__ import annotations

import io
import json
import sys
import urllib.request

import pytest

from tests.helpers.command_world import CommandWorld, world
from twilio_oauth_async.cli.pending_login import PendingLogin
from twilio_oauth_async.errors import StoreError

__all__ = ["world"]  # a fixture


def test_login_stores_the_token_and_says_who_is_signed_in(world: CommandWorld) -> None:
    assert world.login("--scope", "openid", "--scope", "email") == ""
    user = f"Ada Example <ada@example.com> {world.emulator.user.sid}"
    assert world.err.endswith(f"Signed in as {user} (profile default).\n")
    assert "Continue only if you started this sign-in yourself" in world.err
    token = world.ok("token")
    assert token.count(".") == 2
    assert token not in world.err
    assert world.ok("token", "--header") == f"Authorization: Bearer {token}"
    assert world.json("token")["access_token"] == token
    assert len(world.emulator.requests.to("refresh")) == 0
    assert world.ok("whoami") == f"Ada Example <ada@example.com> {world.emulator.user.sid}"
    assert world.json("whoami")["email"] == "ada@example.com"


def test_login_for_programs_prints_two_events(world: CommandWorld) -> None:
    lines = [json.loads(line) for line in world.login("--json").splitlines()]
    assert len(lines) == 2
    assert set(lines[0]) == {"user_code", "verification_uri", "verification_uri_complete", "expires_at"}
    assert (lines[1]["state"], lines[1]["profile"], lines[1]["scopes"]) == ("approved", "default", ["openid"])
    assert lines[1]["user"]["email"] == "ada@example.com"
    assert world.err == ""


@pytest.mark.parametrize(
    ("decision", "state", "sentence"),
    [
        ("deny", "denied", "The sign-in was denied on the page. Nothing was stored."),
        ("expire", "expired", "The code expired before it was approved. Run `twilio-oauth login` for a new one."),
    ],
)
def test_login_that_is_not_approved(world: CommandWorld, decision: str, state: str, sentence: str) -> None:
    for options in ((), ("--json",)):
        world.approve_next(decision)
        assert world.run("login", *options) == 1
        assert world.err.endswith(f"Error: {sentence}\n")
    assert [json.loads(line).get("state") for line in world.out.splitlines()] == [None, state]
    assert world.json("status")["signed_in"] is False
    assert world.run("login", "--resume") == 2
    assert "there is no sign-in of profile default that could be resumed" in world.err


def test_login_with_the_credentials_of_the_app(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = str(world.emulator.client_secret)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{secret}\n".encode())))
    assert world.run("login", "--client-credentials", "--client-secret-file", "-") == 0
    assert world.err.endswith("Signed in (profile default).\n")
    path = world.folder / "secret"
    path.write_text(secret)
    assert world.run("login", "--client-credentials", "--client-secret-file", str(path)) == 0
    assert world.run("login", "--client-credentials", "--client-secret-file", "missing") == 2
    assert "--client-secret-file cannot be read." in world.err
    assert world.run("login", "--client-credentials") == 2
    assert "there is no client_secret: set TWILIO_CLIENT_SECRET" in world.err


@pytest.mark.parametrize("approve", [True, False])
def test_login_in_the_browser(world: CommandWorld, monkeypatch: pytest.MonkeyPatch, approve: bool) -> None:
    def browse(url: str) -> bool:
        callback = world.emulator.authorize(url, approve=approve)
        with urllib.request.urlopen(callback) as response:
            assert response.status == 200
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setenv("TWILIO_CLIENT_SECRET", str(world.emulator.client_secret))
    assert world.run("login", "--web", "--open", "--json") == (0 if approve else 1), world.err
    first, last = [json.loads(line) for line in world.out.splitlines()]
    assert first["authorization_url"].startswith(f"{world.emulator.base_url}/oauth2/authorize?")
    assert last["state"] == ("approved" if approve else "denied")
    world.run("login", "--web", "--open")
    assert f"Open this page in the browser of this machine:\n{world.emulator.base_url}/oauth2/authorize?" in world.err
    assert ("Signed in as Ada Example" if approve else "The sign-in was denied on the page.") in world.err


def test_login_without_credentials_says_what_to_set(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN")
    assert world.run("login") == 2
    assert "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN" in " ".join(world.err.split())
    assert len(world.emulator.requests) == 0


def test_server_that_does_not_offer_the_device_flow(world: CommandWorld) -> None:
    world.emulator.faults.on("device_code").error("unauthorized_client")
    assert world.run("login") == 1
    assert 'Try `twilio-oauth login --web`, or set flow = "web" in the profile.' in world.err


def test_sign_in_that_was_killed_after_its_token_was_saved_is_not_polled_again(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(_: PendingLogin) -> None:
        """As if the command was killed just before."""

    with monkeypatch.context() as patch:
        patch.setattr(PendingLogin, "delete", forget)
        world.login()
    token = world.ok("token")
    assert world.run("login", "--resume") == 0
    assert "Signed in as Ada Example" in world.err
    assert world.ok("token") == token
    assert world.emulator.introspect(token)["active"]
    assert len(world.emulator.requests.to("poll")) == 1
    assert world.run("login", "--resume") == 2


def test_store_that_fails_while_a_sign_in_waits_leaves_it_to_be_resumed(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(PendingLogin, "save", fail)
        assert world.run("login") == 5
    assert "the disk is full. Run `twilio-oauth doctor` for more." in world.err
    [code] = world.emulator.call(lambda: world.emulator.device_codes)
    code.last_poll = None  # the time of the emulator is real, and less than its interval has passed
    world.login("--resume")
    assert len(world.emulator.requests.to("device_code")) == 1


def test_only_a_sign_in_with_a_code_can_be_resumed(world: CommandWorld) -> None:
    assert world.run("login", "--web", "--resume") == 2
    assert "--resume continues a sign-in with a code" in world.err
