"""The code in the README and in some pages works: Python runs against the emulator, .ci/run contains the commands."""

import ast
import asyncio
import re
import tomllib
from pathlib import Path

import pytest

from twilio_oauth_async import ConfigurationError, DeviceFlow, MemoryTokenStore, OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.extras import MissingExtraError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks_of(text):
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


BLOCKS = blocks_of(README)
# The first block of each of these pages is a whole program.
FIRST = [blocks_of((ROOT / "docs" / page).read_text())[0] for page in ("tokens.md", "testing.md", "when-it-fails.md")]
PYTHON = [code for language, code in BLOCKS + FIRST if language == "python"]
SHELL = [line.partition("#")[0].strip() for language, code in BLOCKS if language == "sh" for line in code.splitlines()]


def block(part):
    """Return the only Python block that contains `part`."""
    [code] = [code for code in PYTHON if part in code]
    return code


def run(code, **names):
    space = {"__name__": "readme", **names}
    exec(compile(code, "README.md", "exec"), space)  # the README is part of this project
    return space


def test_every_python_block_has_a_test():
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    parts = ("asyncio.run", "return await", "tokens_of", "async def test_")
    assert sorted(PYTHON) == sorted(block(part) for part in parts)


def test_readme_is_a_page_that_is_read_in_one_sitting():
    assert len(README.splitlines()) <= 120


def test_first_example_has_eight_lines():
    assert len([line for line in block("asyncio.run").splitlines() if line]) == 8


@pytest.mark.asyncio
async def test_first_example_signs_a_user_in(monkeypatch):
    programs, shown, approvals = [], [], []
    async with Emulator(clock=VirtualClock()) as emulator:

        def from_env():
            return OAuthSession(
                emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=emulator.clock
            )

        def show(*words):
            shown.append(" ".join(map(str, words)))
            if code := re.search(r"enter the code at|the code (\S+)", shown[-1]):
                approvals.append(asyncio.ensure_future(emulator.approve(code[1])))

        monkeypatch.setattr(OAuthSession, "from_env", from_env)
        monkeypatch.setattr(asyncio, "run", programs.append)
        monkeypatch.setenv("TWILIO_CLIENT_ID", emulator.client_sid)
        run(block("asyncio.run"), print=show)
        [program] = programs
        await program
    assert "\nTo sign in, open http://127.0.0.1" in shown[0]
    assert re.fullmatch(r"Signed in until 20\d\d-\S+ \S+\+00:00", shown[-1])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("act", "result"),
    [
        ("approve", "token"),
        ("deny", "The user denied the request."),
        ("expire", "The code has expired. Start again."),
        (None, "Sign-in failed: "),
    ],
)
async def test_readme_error_handling_example(act, result):
    async with (
        Emulator(clock=VirtualClock()) as e,
        OAuthSession(e.account_sid, e.auth_token if act else "no", base_url=e.base_url, clock=e.clock) as session,
    ):
        flow = DeviceFlow(
            session, client_sid=e.client_sid, scopes=["openid"], prompt=lambda a: getattr(e, act)(a.user_code)
        )
        returned = await run(block("return await"))["sign_in"](flow)
    if result == "token":
        assert returned.access_token
    else:
        assert returned.startswith(result)


@pytest.mark.asyncio
async def test_readme_pytest_example():
    """Without the fixtures, which tests/plugin checks."""
    async with (
        Emulator(clock=VirtualClock()) as e,
        OAuthSession(e.account_sid, e.auth_token, base_url=e.base_url, clock=e.clock) as session,
    ):
        await run(block("async def test_"))["test_sign_in"](e, session)


def test_base_classes_that_the_readme_names():
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(MissingExtraError, ModuleNotFoundError)


def test_ci_runs_the_commands_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text()
    nox = [command for command in SHELL if "nox" in command]
    assert nox == [f"python3 -m pip install nox && python3 -m nox -s {name}" for name in ("demo", "tests")]
    assert all(command in ci for command in nox)
    assert "python3 -m nox -s demo -- --approve-after 1" in README
    assert "python3 -m nox -s demo -- --approve-after 1" in ci
    # The environment for a system Python that refuses to install.
    [venv] = [command for command in SHELL if "venv" in command]
    assert all(command in ci for command in venv.split(" && "))


@pytest.mark.asyncio
async def test_readme_token_manager_example_refreshes_the_token():
    clock = VirtualClock(auto=False)
    async with (
        Emulator(clock=clock) as e,
        OAuthSession(e.account_sid, e.auth_token, base_url=e.base_url, clock=clock) as session,
    ):
        flow = DeviceFlow(session, client_sid=e.client_sid, scopes=["openid"])
        code = await flow.start()
        await e.approve(code.user_code)
        clock.advance(6)
        manager = run(block("tokens_of"))["tokens_of"]("ada", flow, MemoryTokenStore())
        await manager.adopt((await flow.poll(code)).token)
        first = await manager.token()
        clock.advance(3600)
        assert (await manager.token()).access_token != first.access_token


def test_sessions_and_extras_that_the_readme_names_exist():
    nodes = ast.parse((ROOT / "noxfile.py").read_text()).body
    sessions = {
        n.name for n in nodes if isinstance(n, ast.FunctionDef) and "nox.session" in map(decorator, n.decorator_list)
    }
    develop = CONTRIBUTING.partition("nox --list` lists the sessions:")[2].partition("Before a pull")[0]
    assert set(re.findall(r"`(\w+)`", develop)) == sessions
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [command for command in SHELL if command.startswith("pip")] == ["pip install .", "pip install '.[cli]'"]
    listed = README.partition("Extras:")[2].partition("The extra `all`")[0]
    assert {*re.findall(r"`(\w+)`", listed), "all"} == set(extras)


def decorator(node):
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_link_target_exists(target):
    assert (ROOT / target).exists()
