"""The files that a project has beside its code name what exists: sessions, scripts, folders, Pythons."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def sessions():
    nodes = ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.decorator_list}


def commands(workflow):
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_sessions_that_exist(workflow):
    found = [name for command in commands(workflow) for name in re.findall(r"nox -s (\w+)", command)]
    assert found or ".ci/run" in commands(workflow)
    assert set(found) <= sessions()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_may_read_only_unless_a_job_says_why(workflow):
    document = yaml.safe_load(workflow.read_text("utf-8"))
    assert document["permissions"] == {"contents": "read"}
    granted = {name: job.get("permissions", {}) for name, job in document["jobs"].items()}
    assert {name for name, rights in granted.items() if rights} <= {"publish"}


def test_tests_run_on_each_system_and_each_python():
    matrix = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))["jobs"]["tests"]["strategy"]
    prefix = "Programming Language :: Python :: 3."
    pythons = [text.removeprefix(prefix) for text in PROJECT["project"]["classifiers"] if text.startswith(prefix)]
    assert matrix["matrix"]["python"] == [f"3.{minor}" for minor in pythons]
    assert {name.partition("-")[0] for name in matrix["matrix"]["os"]} == {"ubuntu", "windows", "macos"}


def test_contributing_names_folders_and_files_that_exist():
    table = CONTRIBUTING.partition("| layer |")[2].partition("\n\n")[0]
    for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", cell):
            assert list((ROOT / "twilio_oauth_async").glob(f"{name}*")), name
    for path in re.findall(r"`((?:protocol|client|emulator)/(?!sessions)[\w./]+)`", CONTRIBUTING):
        assert (ROOT / "twilio_oauth_async" / path).exists(), path
    assert set(re.findall(r"nox -s ([\w ]+)`", CONTRIBUTING).pop().split()) <= sessions()


def test_hooks_run_programs_of_the_lint_session():
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert local["repo"] == "local", "no hook needs the network"
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert programs <= {"ruff", "lint-imports", "codespell", "python"}
    assert {hook["language"] for hook in local["hooks"]} == {"system"}


def test_page_about_dependencies_lists_each_package_with_its_extras():
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    listed = set()
    for packages, extras in re.findall(r"^\| ([\w, -]+) \| ([^|]+) \|", page, re.MULTILINE):
        for extra in re.findall(r"`(\w+)`", extras) or [""]:
            listed |= {(package, extra) for package in packages.split(", ")}
    declared = {(re.match(r"[\w-]+", text)[0], "") for text in PROJECT["project"]["dependencies"]}
    for extra, requirements in PROJECT["project"]["optional-dependencies"].items():
        names = {re.match(r"[\w-]+", text)[0] for text in requirements} - {"twilio-oauth-async"}
        declared |= {(name, extra) for name in names}
    assert listed - {("package", "")} == declared


def test_page_about_tests_names_sessions_that_exist():
    page = (ROOT / "docs/how-this-is-tested.md").read_text("utf-8")
    assert set(re.findall(r"nox -s (\w+)", page)) <= sessions()
