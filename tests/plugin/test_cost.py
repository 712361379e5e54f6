"""pytest loads the plugin at every start: it must import little, and not disturb coverage."""

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
"""Without these, the coverage of the outer run would also start in the inner run, before any plugin."""

PROBE = """
import json, sys
import pytest

code = pytest.main(sys.argv[1:])
print()
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    return tmp_path


def modules(project, *args, autoload="1"):
    """Return the modules that a run of pytest has imported at its end."""
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


@pytest.mark.parametrize("argument", ["test_it.py", "--version", "--fixtures", "--collect-only"])
def test_run_without_fixtures_imports_only_the_plugin(project, argument):
    asyncio = ("-p", "pytest_asyncio.plugin")
    more = modules(project, argument, *asyncio, "-p", "twilio_oauth") - modules(project, argument, *asyncio)
    own = {"twilio_oauth_async"} | {
        f"twilio_oauth_async.{name}" for name in ("extras", "pytest_async_fixtures", "pytest_plugin")
    }
    # Some releases of pytest load no plugin for --version.
    assert more == own or (argument == "--version" and more <= own)


def test_used_fixture_imports_the_emulator(project):
    # Shows that the test above can detect an import.
    (project / "test_it.py").write_text(
        "import pytest\n@pytest.mark.asyncio\nasync def test_it(twilio_oauth_emulator): pass\n"
    )
    loaded = modules(project, "test_it.py", "-p", "pytest_asyncio.plugin", "-p", "twilio_oauth")
    assert {"aiohttp", "joserfc", "jinja2", "twilio_oauth_async.emulator.server"} <= loaded


@pytest.mark.parametrize("disabled", [False, True])
def test_plugin_is_loaded_by_entry_point_and_can_be_disabled(project, disabled):
    others = [f"-pno:{name}" for name in OTHERS]
    loaded = modules(project, *others, *(["-pno:twilio_oauth"] if disabled else []), autoload="")
    assert bool({name for name in loaded if name.startswith("twilio_oauth")}) is not disabled


def test_coverage_of_this_suite_starts_before_the_package_is_imported(tmp_path):
    """Without ``-p no:twilio_oauth`` in the configuration, these lines would run before coverage starts."""
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
