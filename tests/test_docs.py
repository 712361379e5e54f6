"""The documentation names what exists: exceptions, public classes, and code that can be compiled."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import twilio_oauth_async
from twilio_oauth_async import errors

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
API = "".join(page.read_text("utf-8") for page in (DOCS / "api").glob("*.md"))
# The values of steps and events, which are described with the functions that return them.
NOT_CLASSES_OF_THEIR_OWN = {"CodeIssued", "DeviceFlowEvent", "DEVICE_CODE_GRANT"}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_page_about_failures_lists_each_exception_once():
    page = (DOCS / "when-it-fails.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    classes = [name for name, value in vars(errors).items() if inspect.isclass(value)]
    expected = [name for name in classes if issubclass(getattr(errors, name), Exception) and name != "TwilioOAuthError"]
    assert sorted(listed) == sorted(expected)


def test_each_public_class_is_in_the_api_pages():
    documented = set(re.findall(r"autoclass:: [\w.]+\.(\w+)$", API, re.MULTILINE))
    documented |= {name for name in vars(errors) if "automodule:: twilio_oauth_async.errors" in API}
    public = set(twilio_oauth_async.__all__) - NOT_CLASSES_OF_THEIR_OWN
    assert public - documented == {"__version__"} & public


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_python_blocks_can_be_compiled(page):
    for block in blocks(page, "python"):
        compile(textwrap.dedent(block), str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_files_that_a_page_includes_or_links_to_exist(page):
    text = page.read_text("utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r"\{(?:literalinclude|image)\} (\S+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_metrics_commands_and_variables_that_a_page_names_exist(page):
    text = page.read_text("utf-8")
    sources = "".join(path.read_text("utf-8") for path in Path(twilio_oauth_async.__file__).parent.rglob("*.py"))
    for name in set(re.findall(r"`(twilio_oauth\.[\w.]+)`", text)):
        assert name in sources, name
    for name in set(re.findall(r"twilio-oauth ([a-z]+)\b", text)):
        assert f'"{name}": (' in sources or name == "asks", name
