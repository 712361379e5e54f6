"""README.md of this folder and docs/reliability.md list the same rules and faults, and name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"([\w/]+\.py)::(\w+)")


def tables(path):
    """The rows of the sections "Rules" and "Faults": number, what, tests or source or expected result."""
    sections = dict(section.split("\n", 1) for section in path.read_text().split("\n## ")[1:])
    return ROW.findall(sections["Rules"]), ROW.findall(sections["Faults"])


RULES, FAULTS = tables(TESTS / "faults" / "README.md")
DOCUMENTED_RULES, DOCUMENTED_FAULTS = tables(TESTS.parent / "docs" / "reliability.md")


def functions_in(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


@pytest.mark.parametrize(("rows", "last"), [(RULES, 36), (DOCUMENTED_RULES, 36), (FAULTS, 60), (DOCUMENTED_FAULTS, 60)])
def test_both_files_have_every_rule_and_fault(rows, last):
    assert [int(number) for number, _, _ in rows] == list(range(1, last + 1))


@pytest.mark.parametrize(("number", "what", "shown_by"), [*RULES, *FAULTS])
def test_row_names_tests_that_exist(number, what, shown_by):
    named = TEST.findall(shown_by)
    assert named or shown_by.startswith("not yet: "), what
    for file, function in named:
        assert function in functions_in(TESTS / file), f"{file}::{function}"


def test_rows_without_a_test_are_documented_as_not_built():
    without_test = [number for number, _, shown_by in FAULTS if shown_by.startswith("not yet: ")]
    not_built = [number for number, _, result in DOCUMENTED_FAULTS if result.startswith("Not built yet")]
    assert without_test == not_built
