"""Schemathesis sends valid and invalid requests to the emulator, which it generates from the API contract."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from twilio_oauth_async import DEVICE_CODE_GRANT, OAuthSession

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "tests" / "protocol" / "contract" / "oauth_v1.json"
PATHS = json.loads(CONTRACT.read_text())["paths"]
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance,response_headers_conformance"
"""Without the check of status codes, because the contract lists only those of successful responses."""
FIXED = (
    "--phases=coverage,fuzzing",
    "--seed=8628",
    "--generation-database=none",
    "--no-shrink",
    "--warnings=off",
)
TIMEOUT = 180.0
"""Seconds. It takes about 10 on an idle machine."""


async def run_schemathesis(emulator, folder, *options, **known):
    """Run schemathesis in a separate process and return its exit code and its report."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "SCHEMATHESIS"))}
    environment |= {f"INTEROP_{name.upper()}": value for name, value in known.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(CONTRACT), "--url", emulator.base_url),
        *("--auth", f"{emulator.account_sid}:{emulator.auth_token}", "--checks", CHECKS),
        *FIXED,
        *options,
        cwd=folder,
        env=environment | {"SCHEMATHESIS_HOOKS": "tests.helpers.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


OPTIONS = {
    "seed": 1,
    "rotate_refresh_tokens": False,  # it sends the same refresh token many times
    # The contract describes its dates as RFC 2822, but declares the format of RFC 3339, which the checker uses.
    "dates": "iso8601",
}


@pytest.mark.parametrize("emulator_options", [OPTIONS], ids=["seeded"])
async def test_emulator_has_no_server_errors_and_no_schema_violations(emulator, tmp_path):
    e = emulator
    async with OAuthSession(e.account_sid, e.auth_token, base_url=e.base_url, clock=e.clock) as session:
        code = await session.create_device_code(client_sid=e.client_sid, scopes=["openid"])
        await e.approve(code.user_code)
        token = await session.create_token(
            grant_type=DEVICE_CODE_GRANT, client_sid=e.client_sid, device_code=code.device_code
        )
        waiting = await session.create_device_code(client_sid=e.client_sid, scopes=["openid"])
    e.requests.clear()

    exit_code, output = await run_schemathesis(
        emulator,
        tmp_path,
        *("--max-examples", "20"),
        client_sid=e.client_sid,
        refresh_token=token.refresh_token,
        device_code=waiting.device_code,
    )
    assert exit_code == 0, output
    statuses = {path: {request.status for request in e.requests if request.path == path} for path in PATHS}
    assert {status for seen in statuses.values() for status in seen} <= {200, 201, 400, 401, 405}
    for path, operations in PATHS.items():
        for method, operation in operations.items():
            sent = [request for request in e.requests if (request.path, request.method.lower()) == (path, method)]
            # There were successful responses, not only errors.
            assert {int(status) for status in operation["responses"]} & {request.status for request in sent}, path
            assert method == "get" or {request.status for request in sent} >= {201, 400}, path
    assert {"authorization_pending", "slow_down"} & {request.error for request in e.requests.to("poll")}


async def test_schemathesis_reports_server_errors_and_schema_violations(emulator, tmp_path):
    emulator.faults.on("certs").always().respond(500)
    emulator.faults.on("userinfo").always().change(user_sid="US1")
    only = [f"--include-path={path}" for path in ("/v1/certs", "/v1/userinfo")]
    exit_code, output = await run_schemathesis(emulator, tmp_path, "--max-examples", "1", *only)
    assert exit_code == 1, output
    assert "Server error" in output
    assert "Response violates schema" in output
