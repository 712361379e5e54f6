"""Every rule and fault has a test that exists, or says openly that its part is not built."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"([\w/]+\.py)::(\w+)")
RULES, FAULTS = (ROW.findall(section) for section in (TESTS / "faults" / "README.md").read_text().split("## ")[1:])


def functions(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_no_row_is_missing():
    assert [int(number) for number, _, _ in RULES] == list(range(1, 37))
    assert [int(number) for number, _, _ in FAULTS] == list(range(1, 33))


@pytest.mark.parametrize(("number", "what", "shown_by"), [*RULES, *FAULTS])
def test_each_row_names_tests_that_exist(number, what, shown_by):
    named = TEST.findall(shown_by)
    assert named or shown_by.startswith("not yet: "), what
    for file, function in named:
        assert function in functions(TESTS / file), f"{file}::{function}"
