"""Development tasks; `nox --list` lists them. Each session installs what it needs, in an environment of its own."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types", "wheel"]
# With CI set, nox would treat a missing interpreter as an error. `tests_all` uses the installed ones only.
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
ROOT = Path(__file__).parent
WITHOUT_COVERAGE = (
    "browser",
    "examples_bot",
    "fire",
    "interop",
    "protocol/fuzz",
    "test_examples.py",
    "web/test_browser.py",
    "web/test_processes.py",
)
"""Files and folders of tests that start other programs."""
CODE = (
    "twilio_oauth_async",
    "tests",
    "examples",
    "benchmarks",
    "docs/command_reference.py",
    "noxfile.py",
    ".ci/check_wording.py",
    ".ci/verify_types.py",
)
NOT_RUN = ("constant_server", "emulator_process", "soak", "waiting_client")
"""Scripts that `nox -s benchmarks` does not run: servers, a client, and the load test, which has the session `soak`."""
TYPED_CODE = ("twilio_oauth_async", "tests/typing", "examples")


def install(session: nox.Session, *groups: str, extra: str = "all") -> None:
    """Install the package in editable mode, with `extra` and the given dependency groups."""
    session.install("-e", f".[{extra}]", *nox.project.dependency_groups(PYPROJECT, *groups))


def run_tests(session: nox.Session) -> None:
    """Run pytest in parallel; arguments go to pytest."""
    install(session, "test", "browser")
    # worksteal balances long tests across workers.
    session.run("pytest", "-n", "auto", "--dist", "worksteal", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with the Python that runs nox; arguments go to pytest."""
    run_tests(session)


@nox.session(python=PYTHONS)
def tests_all(session: nox.Session) -> None:
    """Run the tests with every supported Python that is installed; nox names the missing ones."""
    run_tests(session)


@nox.session(python=["3.12", "3.13", "3.14"])
@nox.parametrize("loop", ["eager", "uvloop"])
def event_loops(session: nox.Session, loop: str) -> None:
    """Run the tests with tasks that start at once (Python 3.12) and with uvloop, without those that start programs."""
    install(session, "test", "event_loops")
    left_out = (f"--ignore=tests/{name}" for name in (*WITHOUT_COVERAGE, "cli", "schedules"))
    environment = {"TWILIO_OAUTH_EVENT_LOOP": loop}
    session.run("pytest", "-n", "auto", "--dist", "worksteal", *left_out, *session.posargs, env=environment)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure branch coverage, without the slow tests that start other programs and cover nothing more.

    This is not part of `tests`, because measuring takes as long as the tests themselves.
    """
    install(session, "test")
    left_out = (f"--ignore=tests/{name}" for name in WITHOUT_COVERAGE)
    # -qq hides the number of tests, which is smaller here than in `tests`.
    measured = ("--cov", "--cov-report=term-missing:skip-covered", "-qq", *left_out)
    session.run("pytest", "-n", "auto", "--dist", "worksteal", *measured, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, imports between folders, spelling and wording."""
    # import-linter imports the package, so it has to be installed.
    install(session, "lint")
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    session.run("lint-imports", "--no-logo")
    session.run("codespell")
    session.run("python", ".ci/check_wording.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict, and that every public symbol has a known type."""
    install(session, "types", extra="all,pytest")
    session.run("mypy", "--strict", *TYPED_CODE)
    session.run("pyright", *TYPED_CODE)
    session.run("python", ".ci/verify_types.py")


@nox.session
def demo(session: nox.Session) -> None:
    """Run a complete sign-in; arguments go to `twilio-oauth demo`."""
    install(session, extra="cli")
    session.run("twilio-oauth", "demo", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Kill processes during a refresh and after an approval, 200 times each, and at each step of what stores do."""
    install(session, "test")
    rounds = {"TWILIO_OAUTH_CRASH_ROUNDS": "200", "TWILIO_OAUTH_EXPIRIES": "60"}
    session.run("pytest", "tests/fire", "-s", *session.posargs, env=rounds)
    session.run("pytest", "tests/stores", "-n", "auto", "-k", "killed", *session.posargs, env=rounds)


@nox.session
def model(session: nox.Session) -> None:
    """Explore tokens and sign-ins in every order of events, and drive managers at random: nox -s model -- --minutes 10.

    The minutes are those of each exploration: of the life of a token, and of two pools on one store. The figures are
    printed: worlds visited, depth, and whether a scenario was explored completely.
    """
    install(session, "test")
    examples = {"TWILIO_OAUTH_MODEL_EXAMPLES": "5000"}
    session.run("pytest", "tests/tokens/test_manager_model.py", "tests/sign_in/test_pool_model.py", env=examples)
    session.run("python", "-m", "tests.model.explore", *session.posargs)
    session.run("python", "-m", "tests.model.sign_in_explore", *session.posargs)


@nox.session
def schedules(session: nox.Session) -> None:
    """Run clients, managers and pools in every order of their tasks: nox -s schedules -- --deviations 3 --minutes 20.

    Each run differs from the usual one by at most so many deviations. The minutes are those of one scenario. The
    figures are printed: runs, and whether they were all.
    """
    install(session, "test")
    session.run("python", "-m", "tests.schedules.explore", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Kill, suspend and cut off workers and NATS servers, at full size: nox -s cluster -- --flows 1000 --interval 5.

    Prints a line for each scenario, with the promises that did not hold.
    """
    install(session, "test")
    session.run("python", "-m", "tests.sign_in.nats.scenarios", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run many flows against a faulty server: nox -s soak -- --minutes 10 --flows 2000 --faults 0.05."""
    install(session, extra="emulator")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """Take a picture of each page in two sizes, light and dark: nox -s screenshots -- FOLDER."""
    install(session, "test", "browser")
    session.run("python", "-m", "tests.screenshots", *(session.posargs or ["docs/_build/screenshots"]))


@nox.session
def terminal_pictures(session: nox.Session) -> None:
    """Take a picture of the screens of the command: nox -s terminal_pictures -- FOLDER."""
    install(session, "test")
    session.run("python", "-m", "tests.terminal_pictures", *session.posargs)


@nox.session
def command_reference(session: nox.Session) -> None:
    """Write the reference page of the command from the commands themselves."""
    install(session, extra="cli")
    session.run("python", "docs/command_reference.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation in docs/_build; a warning, such as a link without a target, is an error."""
    if shutil.which("dot") is None:
        session.skip("there is no dot, which draws the diagrams (Debian: apt-get install graphviz)")
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "-b", "html", "docs", "docs/_build", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the parse functions: a million responses by hypothesis, then as many bodies guided by coverage.

    A number as argument replaces the million.
    """
    install(session, "test", "fuzz", extra="emulator")
    examples = session.posargs[0] if session.posargs else "1000000"
    with tempfile.TemporaryDirectory(prefix="twilio-oauth-fuzz-") as corpus:
        # A separate database, and a new seed for each run, which is printed.
        session.run(
            "pytest",
            "tests/protocol/fuzz",
            "-n",
            "auto",
            f"--hypothesis-seed={secrets.randbelow(2**32)}",
            env={"TWILIO_OAUTH_FUZZ_EXAMPLES": examples, "HYPOTHESIS_STORAGE_DIRECTORY": ".hypothesis/fuzz"},
        )
        session.run("python", "tests/protocol/fuzz/coverage_guided.py", f"-runs={examples}", "-max_len=4096", corpus)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run all benchmarks and write their results to benchmarks/results; one that exceeds its limit fails.

    Arguments are the names of the scripts to run: nox -s benchmarks -- stores.
    """
    install(session, "test", "peers", extra="all")
    scripts = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py"))}
    failed: list[str] = []
    for name in session.posargs or [name for name in scripts if name not in NOT_RUN]:
        try:
            session.run("python", str(scripts[name].relative_to(ROOT)))
        except nox.command.CommandFailed:
            failed.append(name)  # the others are measured all the same
    if failed:
        session.error(f"failed, or a limit is exceeded: {', '.join(failed)}")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, check its content, and use it in an empty environment from another folder."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "wheel"))
    with tempfile.TemporaryDirectory(prefix="twilio-oauth-wheel-") as temporary:
        dist, environment, elsewhere = (Path(temporary, name) for name in ("dist", "environment", "elsewhere"))
        elsewhere.mkdir()
        # The wheel is built from the sdist, so this also checks that the sdist is complete.
        session.run("python", "-m", "build", "--outdir", str(dist), ".", silent=True)
        [built] = dist.glob("*.whl")
        check_contents(session, built)
        session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())), silent=True)
        session.run("check-wheel-contents", str(built))
        check_reproducible(session, dist, Path(temporary, "again"))
        session.run("python", "-m", "virtualenv", "--quiet", str(environment))
        smoke, plugin = (shutil.copy(ROOT / "tests" / "wheel" / name, elsewhere) for name in ("smoke.py", "plugin.py"))
        with session.chdir(elsewhere):
            check_use(session, built, environment, smoke, plugin)


def check_use(session: nox.Session, built: Path, environment: Path, smoke: str, plugin: str) -> None:
    """Use the wheel without extras, then with the extras of the pytest plugin and of the command."""
    scripts = environment / ("bin" if (environment / "bin").exists() else "Scripts")

    def run(program: str, *args: str) -> None:
        session.run(str(scripts / program), *args, external=True)

    run("python", "-m", "pip", "install", "--quiet", str(built))
    run("python", "-X", "dev", "-W", "error", smoke)
    run("python", "-m", "pip", "install", "--quiet", "pytest")
    run("python", plugin)  # the plugin without its extra
    run("python", "-m", "pip", "install", "--quiet", f"{built}[pytest]")
    run("python", plugin)
    run("python", "-m", "pip", "install", "--quiet", f"{built}[cli]")
    run("twilio-oauth", "--version")
    run("twilio-oauth", "demo", "--approve-after", "0")


def check_reproducible(session: nox.Session, first: Path, second: Path) -> None:
    """Build once more, and compare: the same sources give the same bytes, so that users can check a release."""
    session.run("python", "-m", "build", "--outdir", str(second), ".", silent=True)
    for built in sorted(first.iterdir()):
        if built.read_bytes() != (second / built.name).read_bytes():
            session.error(f"{built.name} has other bytes when it is built again")
        session.log(f"{built.name} has the same bytes when it is built again")


def check_contents(session: nox.Session, built: Path) -> None:
    """Check that the wheel holds the whole package and nothing else."""
    names = zipfile.ZipFile(built).namelist()
    top = {name.partition("/")[0] for name in names}
    name, version = PYPROJECT["project"]["name"].replace("-", "_"), PYPROJECT["project"]["version"]
    if top != {name, f"{name}-{version}.dist-info"}:
        session.error(f"{built.name} holds other top-level names than the package: {sorted(top)}")
    in_checkout = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if lost := in_checkout - set(names):
        session.error(f"{built.name} lacks {sorted(lost)}")
    session.log(f"{built.name} holds {len(names)} files of the package and nothing else")
