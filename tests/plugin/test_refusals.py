"""Wrong uses fail at once with one line, instead of after a time-out of half a minute."""

import sys

import pytest

pytest_plugins = ["pytester"]

INSTALL = "pip install 'twilio-oauth-async[[]pytest[]]'"
"""Escaped for `fnmatch_lines`."""


@pytest.mark.parametrize("fixture", ["twilio_oauth_emulator", "twilio_oauth_session"])
def test_synchronous_test_is_an_error(auto_project, fixture):
    result = auto_project.run(f"def test_it({fixture}): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*make the test `async def`, and in strict mode mark it with @pytest.mark.asyncio*"])


def test_event_loop_of_another_scope_is_an_error(project):
    result = project.run(
        """
@pytest.mark.asyncio(loop_scope="module")
async def test_it(twilio_oauth_session): pass

@pytest.mark.asyncio(loop_scope="function")
async def test_same_scope(twilio_oauth_session): pass
"""
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ['*event loop of scope module,*in one of scope function: set asyncio_default_fixture_loop_scope = "module"*']
    )


def test_fixture_scope_as_loop_scope(project):
    project.configure("asyncio_default_fixture_loop_scope = fixture-scope")
    project.run("@pytest.mark.asyncio\nasync def test_it(twilio_oauth_session): pass").assert_outcomes(passed=1)


HIDE = """
import sys
sys.modules[{package!r}] = None
"""
TESTS = """
import pytest

@pytest.mark.parametrize("name", ["twilio_oauth_emulator", "twilio_oauth_session"])
def test_fixture(name, request):
    request.getfixturevalue(name)

def test_without_fixture(): pass
"""


@pytest.mark.parametrize("package", ["pytest_asyncio", "joserfc", "jinja2"])
def test_missing_package_fails_with_the_extra_to_install(pytester, monkeypatch, package):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(hide=HIDE.format(package=package), test_it=TESTS)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function")
    asyncio = () if package == "pytest_asyncio" else ("-p", "pytest_asyncio.plugin")
    command = [sys.executable, "-m", "pytest", "-p", "hide", *asyncio, "-p", "twilio_oauth"]
    if not asyncio:
        command += ["-o", "asyncio_default_fixture_loop_scope=", "-W", "ignore::pytest.PytestConfigWarning"]
    result = pytester.run(*command)
    result.assert_outcomes(passed=1, errors=0, failed=2)
    result.stdout.fnmatch_lines([f"missing package {package}: {INSTALL}"] * 2)
    result.stdout.no_fnmatch_line("*Traceback*")


def test_missing_module_of_the_package_itself_is_not_reported_as_missing_extra(pytester, monkeypatch):
    # A bug of the package must not look like a missing extra.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(hide=HIDE.format(package="twilio_oauth_async.emulator.server"), test_it=TESTS)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    result = pytester.run(
        sys.executable, "-m", "pytest", "-p", "hide", "-p", "pytest_asyncio.plugin", "-p", "twilio_oauth"
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*ModuleNotFoundError*twilio_oauth_async.emulator.server*"])
    result.stdout.no_fnmatch_line("*pip install*")
