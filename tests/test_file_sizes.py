"""Modules are short enough to read at once, and long enough to be worth a file."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted(ROOT.glob("twilio_oauth_async/**/*.py"))
TESTS = sorted(ROOT.glob("tests/**/*.py"))


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*PACKAGE, *TESTS], ids=name)
def test_no_file_is_longer_than_350_lines(path):
    assert len(path.read_text().splitlines()) <= 350


@pytest.mark.parametrize("path", [path for path in PACKAGE if not path.stem.startswith("__")], ids=name)
def test_no_module_is_shorter_than_30_lines(path):
    assert len(path.read_text().splitlines()) >= 30


@pytest.mark.parametrize("path", [path for path in PACKAGE if path.name == "__init__.py"], ids=name)
def test_each_folder_says_what_it_may_import(path):
    text = path.read_text()
    assert text.startswith('"""')
    assert path.parent.name == "twilio_oauth_async" or "May import:" in text.split('"""')[1]
