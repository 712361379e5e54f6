"""`twilio-oauth doctor`: each kind of problem is found, with a cure, and no secret is shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.helpers.command_world import CommandWorld, world
from tests.helpers.tls import make
from twilio_oauth_async.cli import doctor_checks
from twilio_oauth_async.cli.doctor_server import Probe, describe_dialect, describe_endpoints
from twilio_oauth_async.emulator import Emulator

__all__ = ["world"]  # a fixture


def findings(world: CommandWorld, *args: str) -> dict[str, dict[str, str]]:
    """Return the findings by name; the settings are left out."""
    document = world.json("doctor", *args)
    return {each["name"]: each for each in document["checks"] if each["name"] != "setting"}


def states(world: CommandWorld, *args: str) -> dict[str, str]:
    return {name: finding["state"] for name, finding in findings(world, *args).items()}


def test_set_up_without_problems(world: CommandWorld) -> None:
    assert world.run("doctor") == 0
    found = states(world)
    assert {name for name, state in found.items() if state == "skipped"} == {"TLS", "device flow"}
    assert set(found.values()) == {"ok", "skipped"}
    assert list(found) == [
        *("versions", "configuration file", "store", "name", "connection", "TLS", "clock", "credentials"),
        *("endpoints", "errors", "discovery", "keys", "device flow"),
    ]
    assert world.emulator.requests.to("device_code")[-1].status == 400, "nothing was created"
    assert len(world.emulator.call(lambda: world.emulator.device_codes)) == 0


def test_report_has_each_setting_with_its_source_and_no_secret(world: CommandWorld) -> None:
    world.configure('[profiles.default]\nclient_secret = "canary"\nscopes = ["openid", "email"]\n')
    world.run("doctor")
    text = " ".join(world.out.split())
    assert "setting: auth_token (a secret) from the variable TWILIO_AUTH_TOKEN" in text
    assert f"setting: scopes openid email from {world.config}, profile default" in text
    for secret in ("canary", world.emulator.auth_token):
        assert secret not in world.out
        assert secret not in json.dumps(world.json("doctor"))


def test_code_is_requested_only_if_the_user_allows_it(world: CommandWorld) -> None:
    assert findings(world, "--create-code")["device flow"]["text"].startswith(
        "the server issues codes; users approve at"
    )
    assert len(world.emulator.call(lambda: world.emulator.device_codes)) == 1
    world.emulator.faults.on("device_code").after(1).error("unauthorized_client")
    found = findings(world, "--create-code")["device flow"]
    assert (found["state"], "login --web" in found["cure"]) == ("failed", True)


def test_nothing_is_configured(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_CLIENT_ID"):
        monkeypatch.delenv(name)
    assert world.run("doctor") == 1
    found = findings(world)
    assert found["client id"]["cure"].startswith("Set TWILIO_CLIENT_ID")
    assert found["credentials"]["cure"].startswith("Set TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN")


def test_credentials_that_the_server_refuses(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "canary-wrong")
    assert world.run("doctor") == 1
    found = findings(world)["credentials"]
    assert (found["state"], found["text"]) == ("failed", "the server refuses them")
    assert "canary" not in world.out


def test_name_and_port_that_do_not_lead_anywhere(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(world, "--base-url", "https://127.0.0.1:9")
    assert found["connection"]["text"] == "127.0.0.1 port 9: Connection refused"
    assert "TLS" not in found
    found = findings(world, "--base-url", "https://nowhere.invalid")
    assert found["name"]["state"] == "failed"
    assert "cannot be resolved" in found["name"]["text"]


def test_tls_shows_the_issuer_of_the_certificate(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = make(world.folder)
    with Emulator.in_thread(ssl_context=tls.server) as emulator:
        found = findings(world, "--base-url", emulator.base_url)["TLS"]
        assert found["state"] == "failed"
        assert "the certificate was issued by CN=Test CA" in found["text"]
        assert "SSL_CERT_FILE" in found["cure"]
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
        found = findings(world, "--base-url", emulator.base_url)["TLS"]
        assert (found["state"], "certificate issued by Test CA" in found["text"]) == ("ok", True)


@pytest.mark.parametrize(("skew", "state"), [(10, "ok"), (-40, "warning"), (400, "failed")])
def test_clock_is_compared_with_that_of_the_server(world: CommandWorld, skew: float, state: str) -> None:
    world.later(skew)
    found = findings(world)["clock"]
    assert found["state"] == state
    if state != "ok":
        assert f"{'ahead' if skew < 0 else 'behind'}" in found["text"]


def test_store_that_other_users_can_open(world: CommandWorld) -> None:
    folder = world.folder / "state" / "twilio-oauth-async"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    found = findings(world)
    assert (found["store"]["state"], "chmod 700" in found["store"]["text"]) == ("failed", True)
    assert found["connection"]["state"] == "ok", "the other checks go on"


def test_signed_in_profile(world: CommandWorld) -> None:
    world.login()
    assert "a token is stored, which expires at 2" in findings(world)["store"]["text"]


def test_server_that_lacks_most_of_v1(world: CommandWorld) -> None:
    for endpoint in ("device_code", "userinfo", "discovery", "certs"):
        world.emulator.faults.on(endpoint).always().respond(404)  # type: ignore[arg-type]
    found = findings(world)
    assert found["endpoints"]["state"] == "warning"
    assert "it lacks discovery (404), certs (404), userinfo (404), device code (404)" in found["endpoints"]["text"]
    assert 'flow = "client_credentials"' in found["endpoints"]["cure"]
    assert found["discovery"]["state"] == "warning"


@contextmanager
def other_server(content: bytes, received: list[str]) -> Iterator[str]:
    """Serve `content` for each path, and keep the names of the headers that are received."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.extend(self.headers.keys())
            self.send_response(404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("content", [b"<html>\x1b[31mSign in to the network", b"[]", b'{"detail": "no"}', b"\xff"])
def test_another_server_at_this_address_gets_no_credentials(world: CommandWorld, content: bytes) -> None:
    received: list[str] = []
    with other_server(content, received) as url:
        found = findings(world, "--base-url", url)
    assert found["server"]["state"] == "failed"
    assert "responds each path alike, also one that does not exist, with status 404" in found["server"]["text"]
    assert "Check base_url" in found["server"]["cure"]
    assert "endpoints" not in found, "no other check is possible"
    assert received, "requests were sent"
    assert not [header for header in received if header.lower() == "authorization"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[profiles.default\n", "config.toml: "),
        ('[profiles.default]\nscope = "openid"\n', "there is no setting scope; did you mean scopes?"),
        ("", "has no profile work"),
    ],
)
def test_invalid_configuration_is_a_failed_check_and_the_others_go_on(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    world.configure(text)
    if not text:
        monkeypatch.setenv("TWILIO_OAUTH_PROFILE", "work")
    assert world.run("doctor") == 1
    found = findings(world)
    assert found["configuration file"]["state"] == "failed"
    assert problem in found["configuration file"]["text"]
    assert "Correct the file" in found["configuration file"]["cure"]
    assert found["credentials"]["state"] == "ok"
    assert world.run("status") == 2, "the other commands end"


def test_password_in_the_base_url_is_not_shown(world: CommandWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_OAUTH_URL", "https://me:canary@example.test/path")
    assert world.run("doctor") == 1
    assert "base_url https://(a secret)@example.test/path from" in " ".join(world.out.split())
    found = findings(world)
    assert "must not contain a user" in found["server"]["text"]
    assert "Correct base_url" in found["server"]["cure"]
    for command in (["doctor", "--json"], ["status", "-v"], ["token"]):
        world.run(*command)
        assert "canary" not in world.out + world.err


def test_twilios_format_of_errors_is_recognized() -> None:
    probes = {
        "a": Probe(401, body=b'{"code": 20003, "message": "m"}'),
        "b": Probe(400, body=b'{"error": "invalid_request"}'),
        "c": Probe(400, body=b"[]"),
        "d": Probe(200, body=b"no"),
        "e": Probe(problem="down"),
    }
    assert describe_dialect(probes) == "the server reports errors as OAuth (RFC 6749), Twilio"
    assert describe_dialect({}) == "the server reports errors as unknown: none was seen"
    assert describe_endpoints({"a": Probe(problem="down")})[0] == "failed"


@pytest.mark.parametrize("columns", [20, 40, 100])
def test_lines_fit_into_the_terminal(world: CommandWorld, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong")
    world.run("doctor")
    long = [line for line in world.out.splitlines() if len(line) > max(columns, 30)]
    assert [line for line in long if len(line.split()) > 2] == [], "only a word that is too long itself"
    assert "\x1b" not in world.out, "no colours where there is no terminal"


def test_text_of_the_server_is_not_trusted() -> None:
    finding = doctor_checks.Finding("a", "ok", "b\x1b[31m\nc" + "x" * 1_000)
    assert "\x1b" not in finding.text
    assert len(finding.text) < 400
