import ast
import importlib
import inspect
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import twilio_oauth_async

SOURCE = Path(twilio_oauth_async.__file__).read_text()


def test_the_three_lists_of_names_agree():
    """For type checkers (imports), for ``import *`` (`__all__`), and at run time (`_MODULE_OF`)."""
    typed = {
        alias.name: node.module.removeprefix("twilio_oauth_async.")
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("twilio_oauth_async.")
        for alias in node.names
    }
    assert typed == twilio_oauth_async._MODULE_OF
    assert sorted(twilio_oauth_async.__all__) == sorted(typed)


@pytest.mark.parametrize("name", twilio_oauth_async.__all__)
def test_every_name_resolves(name):
    value = getattr(twilio_oauth_async, name)
    module = importlib.import_module(f"twilio_oauth_async.{twilio_oauth_async._MODULE_OF[name]}")
    assert value is getattr(module, name)
    assert name in dir(twilio_oauth_async)
    if inspect.isclass(value):
        assert value.__doc__


def test_every_error_is_public():
    from twilio_oauth_async import errors

    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert kinds <= set(twilio_oauth_async.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = twilio_oauth_async.Nothing


def test_importing_loads_nothing_that_is_not_used():
    code = (
        "import sys; import twilio_oauth_async as t; t.DeviceFlow; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1].split())))"
    )
    extras = "joserfc jinja2 click rich segno platformdirs filelock cryptography redis nats httpx opentelemetry cattrs"
    run = subprocess.run([sys.executable, "-c", code, extras], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
    bare = "import sys; import twilio_oauth_async; print('aiohttp' in sys.modules, 'attrs' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_the_library_says_nothing_unasked():
    assert [type(handler) for handler in logging.getLogger("twilio_oauth_async").handlers] == [logging.NullHandler]
