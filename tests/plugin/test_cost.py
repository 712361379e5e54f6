"""pytest loads the plugin at every start: what that costs, and what it must not disturb."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.helpers.plugin_project import OTHERS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "twilio_oauth_async"
WITHOUT_COVERAGE = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
"""Coverage of the run around this one would start in the inner one as well, before any plugin."""

PROBE = """
import json, sys
import pytest

code = pytest.main(sys.argv[1:])
print()
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""

OWN = ("extras", "pytest_fixtures", "pytest_plugin")


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    return tmp_path


def modules(project, *args, autoload="1"):
    """What a run of pytest has imported at its end, by this process's Python."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE, "-p", "no:cacheprovider", *args],
        cwd=project,
        env=WITHOUT_COVERAGE | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": autoload},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("what", ["test_it.py", "--version", "--fixtures", "--collect-only"])
def test_a_run_that_uses_no_fixture_loads_nothing_else(project, what):
    asyncio = ("-p", "pytest_asyncio.plugin")
    more = modules(project, what, *asyncio, "-p", "twilio_oauth") - modules(project, what, *asyncio)
    own = {"twilio_oauth_async"} | {
        f"twilio_oauth_async.{name}" for name in ("extras", "pytest_fixtures", "pytest_plugin")
    }
    # pytest is quick about --version and, in some releases, loads no plugin for it.
    assert more == own or (what == "--version" and more <= own)


def test_a_used_fixture_loads_the_emulator(project):
    # Shows that the test above can tell.
    (project / "test_it.py").write_text(
        "import pytest\n@pytest.mark.asyncio\nasync def test_it(twilio_oauth_emulator): pass\n"
    )
    loaded = modules(project, "test_it.py", "-p", "pytest_asyncio.plugin", "-p", "twilio_oauth")
    assert {"aiohttp", "joserfc", "jinja2", "twilio_oauth_async.emulator.server"} <= loaded


@pytest.mark.parametrize("off", [False, True])
def test_it_is_found_by_itself_and_can_be_turned_off(project, off):
    others = [f"-pno:{name}" for name in OTHERS]
    loaded = modules(project, *others, *(["-pno:twilio_oauth"] if off else []), autoload="")
    assert bool({name for name in loaded if name.startswith("twilio_oauth")}) is not off


def test_the_coverage_of_our_own_suite_begins_before_the_package(tmp_path):
    """Without ``-p no:twilio_oauth`` in the configuration these lines would have run before anybody counted."""
    data = tmp_path / "data"
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--cov", "--cov-report=", "--cov-fail-under=0"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/protocol/test_pkce.py"],
        cwd=ROOT,
        env=WITHOUT_COVERAGE | {"COVERAGE_FILE": str(data)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    measured = CoverageData(data)
    measured.read()
    lines = (PACKAGE / "__init__.py").read_text().splitlines()
    assert lines.index("_MODULE_OF = {") + 1 in (measured.lines(str(PACKAGE / "__init__.py")) or ())
