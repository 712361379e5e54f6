"""Checks the pytest plugin of the installed wheel, in a new folder. Run by `nox -s wheel`.

Run it twice: with pytest and the wheel without extras, and with the extra `pytest`.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import twilio_oauth_async

TESTS = """
import pytest
from twilio_oauth_async import AccessDeniedError, DeviceFlow

MARK

async def test_sign_in(twilio_oauth_emulator, twilio_oauth_session):
    e = twilio_oauth_emulator
    flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                      prompt=lambda a: e.approve(a.user_code))
    token = await flow.run()
    user = await twilio_oauth_session.fetch_user_info(access_token=token.access_token)
    assert user.email == e.user.email

async def test_denial(twilio_oauth_emulator, twilio_oauth_session):
    e = twilio_oauth_emulator
    assert len(e.requests) == 0
    flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                      prompt=lambda a: e.deny(a.user_code))
    with pytest.raises(AccessDeniedError):
        await flow.run()
"""
WITHOUT_EXTRA = """
def test_with_fixture(twilio_oauth_session): pass
def test_without_fixture(): pass
"""


def run_pytest(tests: str, mode: str | None = None) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="twilio-oauth-project-") as folder:
        Path(folder, "test_project.py").write_text(tests)
        config = ["filterwarnings = error"]
        if mode is not None:
            config += [f"asyncio_mode = {mode}", "asyncio_default_fixture_loop_scope = function"]
        Path(folder, "pytest.ini").write_text("\n".join(["[pytest]", *config, ""]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.run(
            [sys.executable, "-m", "pytest"], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )


def check_with_the_extra() -> None:
    for mode, mark in (("strict", "pytestmark = pytest.mark.asyncio"), ("auto", "")):
        run = run_pytest(TESTS.replace("MARK", mark), mode)
        assert run.returncode == 0, run.stdout + run.stderr
        assert " 2 passed" in run.stdout, run.stdout


def check_without_the_extra() -> None:
    run = run_pytest(WITHOUT_EXTRA)
    assert run.returncode == 1, run.stdout + run.stderr
    assert " 1 passed, 1 error" in run.stdout, run.stdout
    assert "pip install 'twilio-oauth-async[pytest]'" in run.stdout, run.stdout


assert Path(sys.prefix) in Path(twilio_oauth_async.__file__).parents, "the imported package is not the installed one"
if importlib.util.find_spec("pytest_asyncio") is None:
    check_without_the_extra()
    print("without the extra, the installed plugin names the extra to install")
else:
    check_with_the_extra()
    print("the installed plugin works in a new project")
