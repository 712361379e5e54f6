"""Nothing that describes the package contains a value of the environment: signatures, docstrings, reprs, `help`."""

import json
import os
import subprocess
import sys

import pytest

CANARIES = {
    "TWILIO_ACCOUNT_SID": "AC" + "1f" * 16,
    "TWILIO_AUTH_TOKEN": "canary-auth-token",
    "TWILIO_API_KEY": "SK" + "2e" * 16,
    "TWILIO_API_SECRET": "canary-api-secret",
    "TWILIO_OAUTH_URL": "https://canary.example",
    "UNRELATED_PASSWORD": "canary-unrelated",
}

DESCRIBE = """
import importlib, inspect, json, pkgutil, pydoc, sys
import twilio_oauth_async

def members(kind):
    for name, raw in vars(kind).items():
        yield name, raw.__func__ if isinstance(raw, (classmethod, staticmethod)) else getattr(raw, "fget", None) or raw

def texts(name, value):
    yield name, repr(value)
    yield name, inspect.getdoc(value) or ""
    if inspect.isclass(value) or inspect.isroutine(value):
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            return
        yield name, str(signature)
        for parameter in signature.parameters.values():
            yield name, repr(parameter.default)
    if inspect.isclass(value):
        for member, of in members(value):
            if member not in {"__dict__", "__weakref__"} and not inspect.isclass(of):
                yield from texts(f"{name}.{member}", of)

found, names = [], 0
modules = [twilio_oauth_async]
for info in pkgutil.walk_packages(twilio_oauth_async.__path__, "twilio_oauth_async."):
    modules.append(importlib.import_module(info.name))
for module in modules:
    values = {name: getattr(module, name) for name in {*vars(module), *getattr(module, "__all__", ())}}
    described = [(module.__name__, pydoc.render_doc(module))]
    for name, value in values.items():
        if not name.startswith("__") and not inspect.ismodule(value):
            names += 1
            described += texts(f"{module.__name__}.{name}", value)
    found += [name for name, text in described if any(canary in text for canary in sys.argv[1:])]
session = twilio_oauth_async.OAuthSession.from_env()
flow = twilio_oauth_async.DeviceFlow(session, client_sid="OQ1", scopes=["openid"])
manager = twilio_oauth_async.TokenManager(flow)
for value in (session, flow, flow.identity, manager, session.create_token, type(session).from_env):
    if any(canary in repr(value) for canary in sys.argv[1:]):
        found.append(repr(type(value)))
print(json.dumps([names, sorted(set(found))]))
"""


@pytest.fixture(scope="module")
def described():
    """The number of names, and those whose description contains a canary; in a process that has the canaries."""
    secrets = [value for name, value in CANARIES.items() if name != "TWILIO_OAUTH_URL"]
    run = subprocess.run(
        [sys.executable, "-c", DESCRIBE, *secrets],
        env={**os.environ, **CANARIES},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def test_no_description_of_a_name_contains_a_value_of_the_environment(described):
    names, with_canary = described
    assert names > 500
    assert with_canary == []


def test_from_env_without_argument_reads_the_environment_when_it_is_called(monkeypatch):
    from twilio_oauth_async import OAuthSession

    for name in CANARIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    for url in ("https://one.example", "https://two.example"):
        monkeypatch.setenv("TWILIO_OAUTH_URL", url)
        assert OAuthSession.from_env().base_url == url
        assert OAuthSession.from_env(None).base_url == url
