"""The description of the control API: it lists each command, and requests and responses are as it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from tests.helpers.emulator_caller import CONTROL_TOKEN, Remote
from twilio_oauth_async.emulator.control.fault_from_json import FAULT_MEMBERS
from twilio_oauth_async.emulator.control.http_commands import COMMANDS
from twilio_oauth_async.emulator.control.openapi import RESPONSES, arguments_of

pytestmark = pytest.mark.asyncio

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "emulator.md"
TIMEOUT = 120.0
"""Seconds. It takes about 6 on an idle machine."""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,ignored_auth,unsupported_method"
)


async def description(remote: Remote) -> dict[str, Any]:
    authorization = f"Bearer {CONTROL_TOKEN}"
    status, body, _ = await remote.call("GET", "/_control/openapi.json", authorization=authorization)
    assert status == 200
    return dict(body)


async def test_description_lists_each_command_and_argument(remote: Remote) -> None:
    described = await description(remote)
    assert described["openapi"] == "3.1.0"
    assert described["servers"] == [{"url": remote.emulator.base_url}]
    assert list(described["paths"]) == [f"/_control/{name}" for name in COMMANDS]
    for name, command in COMMANDS.items():
        [(method, operation)] = described["paths"][f"/_control/{name}"].items()
        assert method == command.method.lower()
        assert operation["summary"].endswith(".")
        if method == "get":
            assert {each["name"] for each in operation["parameters"]} == {*command.required, *command.optional}
        elif command.required or command.optional:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert set(schema["properties"]) == {*command.required, *command.optional}
            assert schema.get("required", []) == list(command.required)
        else:
            assert "requestBody" not in operation
        meta.validate(operation["responses"]["200"]["content"]["application/json"]["schema"])


async def test_description_needs_the_control_token(remote: Remote) -> None:
    assert (await remote.call("GET", "/_control/openapi.json", authorization=None))[0] == 401
    authorization = f"Bearer {CONTROL_TOKEN}"
    assert (await remote.call("POST", "/_control/openapi.json", authorization=authorization))[0] == 404


async def test_documentation_lists_each_command_and_argument() -> None:
    rows = re.findall(r"^\| `(GET|POST) /_control/(\w*)` \| (.*?) \|", DOCUMENTATION.read_text(), re.MULTILINE)
    assert [(method, name) for method, name, _ in rows] == [(each.method, name) for name, each in COMMANDS.items()]
    for _, name, cell in rows:
        command = COMMANDS[name]
        arguments = re.findall(r"`(\w+)`(\?)?", cell)
        if name not in {"add_fault", "set_policy"}:  # these have tables of their own
            documented = [argument for argument, optional in arguments if not optional]
            assert documented == list(command.required), name
            assert [argument for argument, optional in arguments if optional] == list(command.optional), name


async def test_documentation_lists_each_setting_and_each_member_of_a_fault() -> None:
    text = DOCUMENTATION.read_text()
    for name in ("set_policy", "add_fault"):
        section = text.partition(f"### `{name}`")[2].partition("\n### ")[0]
        documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        assert documented == set(arguments_of(name, COMMANDS[name]))


async def test_each_member_of_a_fault_has_a_schema() -> None:
    assert set(arguments_of("add_fault", COMMANDS["add_fault"])) == set(FAULT_MEMBERS)


async def test_schemas_accept_what_the_emulator_accepts(remote: Remote) -> None:
    schemas = arguments_of("add_fault", COMMANDS["add_fault"])
    faults: list[dict[str, Any]] = [
        {"on": "poll", "times": 2, "respond": 503},
        {"on": ["poll", "refresh"], "respond": {"status": 503, "retry_after": "soon"}},
        {"always": True, "error": {"code": "slow_down"}},
        {"change": {"scope": None}, "after": 1, "chance": 0.5},
        {"omit": ["id_token"], "on_success": True},
        {"header": {"Date": None}},
        {"throttle": "2026-01-01T00:00:00+00:00"},
        {"gzip_bomb": True, "drip": {"seconds": 0, "chunk": 5}},
        {"id_token": {"claims": {"iss": "x"}, "signed_by": "none"}},
    ]
    for fault in faults:
        for name, value in fault.items():
            Draft202012Validator(schemas[name]).validate(value)
        await remote.command("add_fault", **fault)


async def test_each_response_with_content_is_described(remote: Remote) -> None:
    token = await remote.sign_in()
    arguments: dict[str, dict[str, Any]] = {
        "add_app": {"name": "Other"},
        "add_fault": {"delay": 1},
        "add_user": {"first_name": "a", "last_name": "b", "email": "c"},
        "advance": {"seconds": 1},
        "authorize": {"url": f"{remote.emulator.base_url}/oauth2/authorize?client_id={remote.emulator.client_sid}"},
        "introspect": {"token": token["access_token"]},
    }
    for name, command in COMMANDS.items():
        if name in {"approve", "deny", "expire", "revoke", "remove_fault", "clear", "rotate_keys"}:
            assert name not in RESPONSES
        else:
            status, body = await remote.try_command(name, **arguments.get(name, {}))
            assert status == 200 or name == "authorize", (name, body)
            if status == 200:
                Draft202012Validator(RESPONSES[name]).validate(body)
                assert command.summary


async def test_schemathesis_finds_no_difference_between_description_and_server(remote: Remote, tmp_path: Path) -> None:
    described = await description(remote)
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(described))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "SCHEMATHESIS"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", remote.emulator.base_url),
        *("--header", f"Authorization: Bearer {CONTROL_TOKEN}", "--checks", CHECKS, "--max-examples", "10"),
        *("--phases=coverage,fuzzing", "--seed=7662", "--generation-database=none", "--no-shrink", "--warnings=off"),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
