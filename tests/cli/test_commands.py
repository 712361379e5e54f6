"""The commands against an emulator: what they print, what they store, and their exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.command_world import CommandWorld, world
from twilio_oauth_async.cli import opening
from twilio_oauth_async.cli.commands import COMMANDS
from twilio_oauth_async.cli.invocation import invocation_of
from twilio_oauth_async.cli.opening import open_profile

__all__ = ["world"]  # a fixture


def test_token_of_a_profile_that_is_not_signed_in(world: CommandWorld) -> None:
    assert world.run("token") == 1
    assert (world.out, world.err) == ("", "Error: This profile is not signed in. Run `twilio-oauth login`.\n")
    document = world.json("token")
    assert document == {"error": "This profile is not signed in. Run `twilio-oauth login`.", "exit_code": 1}
    for command in (("whoami",), ("exec", "--", "true")):
        assert world.run(*command) == 1


def test_token_is_refreshed_when_that_is_needed(world: CommandWorld) -> None:
    world.login()
    first = world.ok("token")
    world.later(3000)
    assert world.ok("token", "--min-valid", "500") == first
    second = world.ok("token", "--min-valid", "1000")
    assert second != first
    assert world.ok("token") == second
    world.later(8000)
    world.emulator.fail_refreshes()
    assert world.run("token") == 1
    assert "The server does not accept the stored token any more. Run `twilio-oauth login`." in world.err


def test_many_commands_at_once_refresh_once(world: CommandWorld) -> None:
    world.login()
    asyncio.run(world.expire())
    command = [sys.executable, "-m", "twilio_oauth_async", "token"]

    def token(_: int) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(4) as executor:
        assert len(set(executor.map(token, range(6)))) == 1
    assert len(world.emulator.requests.to("refresh")) == 1


def test_exec_runs_a_command_with_the_token(world: CommandWorld) -> None:
    world.login()
    token = world.ok("token")
    program = "import os, sys; print(os.environ['TWILIO_ACCESS_TOKEN'], sys.argv[1:]); sys.exit(3)"
    command = [sys.executable, "-m", "twilio_oauth_async", "exec", "--", sys.executable, "-c", program, "--json", "-x"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (3, f"{token} ['--json', '-x']\n", "")
    assert world.run("exec", "--", "no-such-command") == 127
    assert world.run("exec", "--", str(world.folder)) == 126
    assert world.run("exec") == 2


def test_status_shows_each_setting_with_its_source_and_no_secret(world: CommandWorld) -> None:
    world.configure('[profiles.default]\nscopes = ["openid", "email"]\nclient_secret = "canary"\n')
    assert world.run("status", "-v") == 1
    assert "signed in: no" in world.out
    assert "  client_id = OQ" in world.out
    assert "(from the variable TWILIO_CLIENT_ID)" in world.out
    assert f"scopes = openid email (from {world.config}, profile default)" in world.out
    assert "client_secret = (a secret) (from" in world.out
    assert "canary" not in world.out
    world.configure("")
    world.login()
    document = world.json("status")
    assert (document["signed_in"], document["can_be_refreshed"], document["flow"]) == (True, True, "device")
    assert document["store"] == str(world.folder / "state" / "twilio-oauth-async" / "tokens.db")
    assert document["settings"]["auth_token"] == {"value": "(a secret)", "source": "the variable TWILIO_AUTH_TOKEN"}
    assert document["access_token_expires_at"] > "2026"
    for secret in (world.emulator.auth_token, world.ok("token")):
        assert secret not in json.dumps(document)


def test_profiles_keep_their_tokens_apart_and_logout_revokes(world: CommandWorld) -> None:
    world.configure("[profiles.work]\n[profiles.home]\n")
    world.login("--profile", "work")
    world.login("--profile", "home")
    work, home = world.ok("token", "--profile", "work"), world.ok("token", "--profile", "home")
    assert work != home
    assert world.json("status")["signed_in"] is False
    assert world.ok("logout", "--profile", "work") == "Signed out (work)."
    assert world.emulator.introspect(work) == {"active": False}
    assert world.emulator.introspect(home)["active"]
    assert world.json("logout", "--all") == {"signed_out": ["default", "work", "home"]}
    assert world.emulator.introspect(home) == {"active": False}
    assert world.run("token", "--profile", "home") == 1
    assert "This profile is signed out. Run `twilio-oauth login`." in world.err


def test_profile_with_encryption_has_a_file_of_its_own(world: CommandWorld) -> None:
    world.configure('[profiles.safe]\nencrypt = true\n[profiles.elsewhere]\nstore = "/elsewhere/tokens"\n')
    names = {}
    for profile in ("default", "safe", "elsewhere"):
        settings = invocation_of(profile, None, {}, as_json=False).settings
        names[profile] = [str(store.path) for store in (opening.token_store(settings), opening.flow_store(settings))]
    folder = world.folder / "state" / "twilio-oauth-async"
    assert names == {
        "default": [f"{folder}/tokens.db", f"{folder}/login.db"],
        "safe": [f"{folder}/encrypted-tokens.db", f"{folder}/encrypted-login.db"],
        "elsewhere": ["/elsewhere/tokens", "/elsewhere/login.db"],
    }


def test_logout_that_the_server_does_not_confirm_keeps_the_token(world: CommandWorld) -> None:
    world.login()
    world.emulator.faults.on("revoke").always().respond(503)
    assert world.run("logout") == 4
    world.emulator.faults.clear()
    assert world.ok("token")


def test_discovery_and_certs(world: CommandWorld) -> None:
    assert json.loads(world.ok("discovery"))["issuer"] == "https://iam.twilio.com"
    assert world.ok("discovery").startswith('{\n  "')
    assert [key["alg"] for key in world.json("certs")["keys"]] == ["ES256", "RS256"]


def test_verify_reads_an_id_token_from_stdin_or_a_file(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.login()
    store = world.folder / "state" / "twilio-oauth-async" / "tokens.db"
    assert store.exists()

    async def id_token() -> str:
        async with open_profile(invocation_of(None, None, {}, as_json=False).settings) as opened:
            return str((await opened.manager.token()).id_token)

    token = asyncio.run(id_token())
    path = world.folder / "id_token"
    path.write_text(token + "\n")
    assert f"sub: {world.emulator.user.sid}" in world.ok("verify", str(path))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
    assert world.json("verify")["claims"]["sub"] == world.emulator.user.sid
    path.write_text(token[:-4] + "AAAA")
    assert world.run("verify", str(path)) == 1
    assert world.err.startswith("Error: ")
    assert token[:20] not in world.err
    assert world.run("verify", "missing") == 2


def test_network_and_store_have_exit_codes_of_their_own(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_OAUTH_URL", "http://127.0.0.1:9")
    assert world.run("discovery") == 3
    assert "Run `twilio-oauth doctor` to find out why." in world.err
    monkeypatch.setenv("TWILIO_OAUTH_URL", world.emulator.base_url)
    world.emulator.faults.on("discovery").always().respond(503)
    assert world.run("discovery") == 4
    state = world.folder / "state" / "twilio-oauth-async"
    state.mkdir(parents=True)
    state.chmod(0o755)
    assert world.run("token") == 5
    assert "Run `twilio-oauth doctor` for more." in world.err


@pytest.mark.parametrize(
    ("config", "args", "problem"),
    [
        ("", ("token", "--profile", "work"), "has no profile work; it has no profiles"),
        ("[profiles.default]\nflow = 1\n", ("token",), "flow must be a string"),
        ("", ("login", "--config", "missing.toml"), "missing.toml does not exist"),
        ("", ("status", "--base-url", "http://example.org"), "https"),
    ],
)
def test_wrong_configuration_exits_with_2(
    world: CommandWorld, config: str, args: tuple[str, ...], problem: str
) -> None:
    world.configure(config)
    assert world.run(*args) == 2
    assert problem in world.err
    assert world.out == ""


def test_debug_logs_requests_without_secrets(world: CommandWorld) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "twilio_oauth_async", "discovery", "--debug"], capture_output=True, text=True, check=True
    )
    assert "DEBUG twilio_oauth_async" in run.stderr
    assert world.emulator.auth_token not in run.stderr


def test_closed_pipe_ends_quietly(world: CommandWorld) -> None:
    command = f"{sys.executable} -m twilio_oauth_async discovery | head -c 1"
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("{", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_an_example(world: CommandWorld, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "canary-token")
    out = world.ok(name, "--help")
    assert re.search(rf"^  (.*\$\()?twilio-oauth {name}", out.partition("\n")[2], re.MULTILINE)
    assert "\\b" not in out, "the mark of an example must not be shown"
    assert "canary" not in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(world: CommandWorld, shell: str) -> None:
    assert "_TWILIO_OAUTH_COMPLETE" in world.ok("completion", shell)


def test_help_lists_all_commands_in_their_order(world: CommandWorld) -> None:
    out = world.ok("--help")
    found = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert found[: len(COMMANDS)] == list(COMMANDS)


IMPORTS: list[tuple[tuple[str, ...], set[str]]] = [
    (("--version",), {"aiohttp", "attrs", "cattrs", "rich", "segno", "joserfc"}),
    (
        ("token",),
        {"aiohttp", "rich", "segno", "joserfc", "jinja2", "twilio_oauth_async.emulator", "keyring", "cryptography"},
    ),
    (("--help",), {"aiohttp", "rich", "segno", "joserfc", "jinja2"}),
]


@pytest.mark.parametrize(("args", "unwanted"), IMPORTS, ids=["version", "token", "help"])
def test_command_imports_only_what_it_uses(world: CommandWorld, args: tuple[str, ...], unwanted: set[str]) -> None:
    world.login()
    code = (
        "import sys; from twilio_oauth_async.cli import main; code = main(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    assert unwanted & set(run.stderr.split()) == set()
