"""The public names: in the package itself, in its public modules, and as entry points."""

import ast
import importlib
import importlib.metadata
import inspect
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import twilio_oauth_async
import twilio_oauth_async.adapters
import twilio_oauth_async.chat
import twilio_oauth_async.stores
import twilio_oauth_async.web

PUBLIC_MODULES = {
    "adapters.aiohttp": ["BearerAuth"],
    "adapters.httpx": ["BearerAuth"],
    "adapters.twilio": ["BearerCredentials"],
    "emulator": ["Emulator"],
    "otel": ["instrument", "uninstrument"],
    "stores.base": ["FlowStore", "StoredFlow", "StoredToken", "TokenKey", "TokenStore", "Tombstone", "epoch_of"],
    "stores.file": ["FileFlowStore", "FileTokenStore", "Keyring"],
    "stores.memory": ["MemoryFlowStore", "MemoryTokenStore"],
    "sign_in.nats": ["DeviceFlowQueue"],
    "stores.nats": ["NatsFlowStore", "NatsTokenStore"],
    "stores.redis": ["RedisClient", "RedisFlowStore", "RedisTokenStore"],
    "chat": ["CHAT_TEXTS", "ChatGone", "ChatSignIn"],
    "web": ["PAGE_TEXTS", "SignInSite"],
    "web.aiohttp": ["require_sign_in", "sign_in_app"],
    "web.asgi": ["SignInApp", "require_sign_in"],
    "stores.testing": [
        "FlowStoreContract",
        "SharedFlowStoreContract",
        "SharedTokenStoreContract",
        "StoreContract",
        "TokenStoreContract",
    ],
}
"""Modules that programs import by their path, and the names that must stay there."""

LAZY = [
    twilio_oauth_async,
    twilio_oauth_async.adapters,
    twilio_oauth_async.stores,
    twilio_oauth_async.web,
    twilio_oauth_async.chat,
]
"""Packages that import their public names when they are first used."""


def typed_imports(package):
    """Each name that type checkers see in `package`, and its module."""
    return {
        alias.name: node.module.removeprefix(f"{package.__name__}.")
        for node in ast.walk(ast.parse(Path(package.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("twilio_oauth_async")
        for alias in node.names
    }


@pytest.mark.parametrize("package", LAZY)
def test_type_checking_imports_all_and_module_of_agree(package):
    """For type checkers (imports), for ``import *`` (`__all__`), and at run time (`_MODULE_OF`)."""
    modules = dict.fromkeys(getattr(package, "_MODULES", ()), package.__name__)
    typed = typed_imports(package)
    assert typed == package._MODULE_OF | modules
    assert sorted(package.__all__) == sorted(typed)


@pytest.mark.parametrize("package", LAZY[1:])
def test_lazy_package_has_the_names_of_its_modules(package):
    for name, module in package._MODULE_OF.items():
        assert getattr(package, name) is getattr(importlib.import_module(f"{package.__name__}.{module}"), name)
    for name in getattr(package, "_MODULES", ()):
        assert getattr(package, name) is importlib.import_module(f"{package.__name__}.{name}")
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


def test_stores_package_has_every_public_name_of_its_backends():
    public = {
        name
        for module, names in PUBLIC_MODULES.items()
        if module.startswith("stores.") and module != "stores.testing"
        for name in names
    }
    assert set(twilio_oauth_async.stores.__all__) == public


def test_bearer_auth_without_a_client_names_both_modules():
    with pytest.raises(ImportError, match=r"adapters\.aiohttp or from twilio_oauth_async\.adapters\.httpx"):
        from twilio_oauth_async.adapters import BearerAuth  # noqa: F401


def test_version_is_that_of_the_distribution():
    assert twilio_oauth_async.__version__ == importlib.metadata.version("twilio-oauth-async")
    assert "__version__" in dir(twilio_oauth_async)


def test_version_without_metadata_is_unknown(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    assert twilio_oauth_async.__version__  # now it is stored, and is restored after the test
    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.delitem(vars(twilio_oauth_async), "__version__")
    assert twilio_oauth_async.__version__ == "0+unknown"


@pytest.mark.parametrize("name", twilio_oauth_async.__all__)
def test_public_name_resolves(name):
    value = getattr(twilio_oauth_async, name)
    module = importlib.import_module(f"twilio_oauth_async.{twilio_oauth_async._MODULE_OF[name]}")
    assert value is getattr(module, name)
    assert name in dir(twilio_oauth_async)
    if inspect.isclass(value):
        assert value.__doc__


def test_every_error_is_in_all():
    from twilio_oauth_async import errors

    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert kinds <= set(twilio_oauth_async.__all__)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PUBLIC_MODULES.items() for name in names]
)
def test_public_module_has_its_public_names(module, name):
    value = getattr(importlib.import_module(f"twilio_oauth_async.{module}"), name)
    assert value.__doc__


@pytest.mark.parametrize("name", [name for name, module in twilio_oauth_async._MODULE_OF.items() if module == "errors"])
def test_errors_module_has_every_public_error(name):
    errors = importlib.import_module("twilio_oauth_async.errors")
    assert issubclass(getattr(errors, name), errors.TwilioOAuthError)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("pytest11", "twilio_oauth", "twilio_oauth_async.pytest_plugin"),
        ("console_scripts", "twilio-oauth", "twilio_oauth_async.cli:main"),
    ],
)
def test_entry_point_is_registered_and_can_be_loaded(group, name, value):
    entry_point = next(iter(importlib.metadata.entry_points(group=group, name=name)))
    assert entry_point.value == value
    loaded = entry_point.load()
    assert loaded.__name__ == (value.partition(":")[2] or value)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = twilio_oauth_async.Nothing


def test_import_does_not_import_optional_packages():
    code = (
        "import sys; import twilio_oauth_async as t; t.DeviceFlow; t.__version__; "
        "from twilio_oauth_async import adapters, stores; stores.MemoryTokenStore; adapters.TokenSource; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1].split())))"
    )
    extras = "joserfc jinja2 click rich segno platformdirs filelock cryptography redis nats opentelemetry cattrs "
    extras += "httpx httpx2 twilio"
    run = subprocess.run([sys.executable, "-c", code, extras], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
    bare = "import sys; import twilio_oauth_async; print('aiohttp' in sys.modules, 'attrs' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_package_logger_has_only_a_null_handler():
    assert [type(handler) for handler in logging.getLogger("twilio_oauth_async").handlers] == [logging.NullHandler]
