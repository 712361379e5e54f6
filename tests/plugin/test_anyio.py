"""Tests that the plugin of anyio runs: they work with asyncio; in other cases one line says what is wrong."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points

import pytest

from tests.helpers.plugin_project import OTHERS, Project

pytest_plugins = ["pytester"]

TEST = """
@pytest.fixture
def anyio_backend(): return "asyncio"

@pytest.mark.anyio
async def test_sign_in(twilio_oauth_emulator, twilio_oauth_session):
    e = twilio_oauth_emulator
    flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                      prompt=lambda a: e.approve(a.user_code))
    assert (await flow.run()).access_token
"""
OTHER_FIXTURE = """
@pytest.fixture
async def token(anyio_backend, twilio_oauth_emulator, twilio_oauth_session):
    e = twilio_oauth_emulator
    flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                      prompt=lambda a: e.approve(a.user_code))
    return await flow.run()

@pytest.mark.anyio
async def test_token(token, twilio_oauth_session):
    assert (await twilio_oauth_session.fetch_user_info(access_token=token.access_token)).email

def test_synchronous(token):
    assert token.access_token
"""


def run_with_anyio(project: Project, tests: str, *options: str) -> pytest.RunResult:
    """Run `tests` with the plugin of anyio too."""
    [anyio] = [each.name for each in entry_points(group="pytest11") if each.value == "anyio.pytest_plugin"]
    return project.run(tests, options=(*options, "-p", "anyio"), without=[other for other in OTHERS if other != anyio])


def test_asynchronous_fixtures_run_in_the_event_loop_of_anyio(project: Project) -> None:
    run_with_anyio(project, TEST + OTHER_FIXTURE).assert_outcomes(passed=3)


def test_without_pytest_asyncio(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(pytester)
    pytester.makeini("[pytest]\nfilterwarnings = error")
    run_with_anyio(project, TEST, "-p", "no:asyncio").assert_outcomes(passed=1)
    monkeypatch.undo()


def test_auto_mode_of_pytest_asyncio_takes_the_test_too_and_one_line_says_so(auto_project: Project) -> None:
    result = run_with_anyio(auto_project, TEST)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*both pytest-asyncio (in auto mode) and anyio take this test*asyncio_mode = *strict*"]
    )


@pytest.mark.skipif(importlib.util.find_spec("trio") is None, reason="trio is not installed (dependency group test)")
def test_trio_is_refused_with_one_line(project: Project) -> None:
    result = run_with_anyio(project, TEST.replace('"asyncio"', '"trio"'))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*the emulator runs with asyncio only: let the fixture anyio_backend return 'asyncio'*"]
    )


def test_emulator_in_a_thread_works_without_any_plugin_for_asynchronous_tests(pytester: pytest.Pytester) -> None:
    project = Project(pytester)
    pytester.makeini("[pytest]\nfilterwarnings = error")
    tests = "def test_it(twilio_oauth_emulator_in_thread): assert twilio_oauth_emulator_in_thread.base_url"
    project.run(tests, options=("-p", "no:asyncio")).assert_outcomes(passed=1)


def test_asynchronous_test_that_nothing_runs_is_refused_with_one_line(pytester: pytest.Pytester) -> None:
    project = Project(pytester)
    pytester.makeini("[pytest]")
    result = project.run("async def test_it(twilio_oauth_emulator): pass", options=("-p", "no:asyncio"))
    result.stdout.fnmatch_lines(["*needs a test that pytest-asyncio or anyio runs*"])
