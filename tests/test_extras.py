"""Optional packages are imported when they are used; if one is missing, the error says what to install."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from twilio_oauth_async.extras import from_extra

EXTRAS = "filelock platformdirs cryptography keyring redis"
FILE = "from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore, Keyring; "
FROM_STORES = "from twilio_oauth_async.stores import FileFlowStore, FileTokenStore, RedisFlowStore, RedisTokenStore; "
ADAPTERS = "from twilio_oauth_async.adapters import "
REDIS = "from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore; "

MISSING = [
    ("filelock", FILE + "FileTokenStore('x')", "file"),
    ("filelock", FILE + "FileFlowStore('x')", "file"),
    ("platformdirs", FILE + "FileTokenStore()", "file"),
    ("platformdirs", FILE + "FileFlowStore()", "file"),
    ("cryptography", FILE + "FileTokenStore('x', encryption='k')", "encryption"),
    ("cryptography", FILE + "FileTokenStore('x', encryption=Keyring())", "encryption"),
    ("keyring", FILE + "FileTokenStore('x', encryption=Keyring())", "encryption"),
    ("redis", REDIS + "RedisTokenStore(None)", "redis"),
    ("redis", REDIS + "RedisFlowStore(None)", "redis"),
    ("nats", "from twilio_oauth_async.stores import NatsTokenStore; NatsTokenStore(None)", "nats"),
    ("nats", "from twilio_oauth_async.stores.nats import NatsFlowStore; NatsFlowStore(None)", "nats"),
    ("nats", "from twilio_oauth_async.sign_in.nats import DeviceFlowQueue", "nats"),
    ("filelock", FROM_STORES + "FileTokenStore('x')", "file"),
    ("filelock", FROM_STORES + "FileFlowStore('x')", "file"),
    ("redis", FROM_STORES + "RedisTokenStore(None)", "redis"),
    ("redis", FROM_STORES + "RedisFlowStore(None)", "redis"),
]
NO_CLIENT = [
    ("httpx,httpx2", ADAPTERS + "httpx", "missing package httpx2: pip install 'twilio-oauth-async[httpx]'"),
    ("twilio", ADAPTERS + "twilio", "missing package twilio: pip install 'twilio>=9.13'"),
    ("twilio", ADAPTERS + "BearerCredentials", "missing package twilio: pip install 'twilio>=9.13'"),
]
LOADED = [
    (FROM_STORES, ""),
    (FROM_STORES + "FileTokenStore('x')", "filelock"),
    ("import twilio_oauth_async.stores.memory", ""),
    (REDIS, ""),
    (FILE + "Keyring()", ""),
    (FILE + "FileTokenStore('x')", "filelock"),
    (FILE + "FileTokenStore()", "filelock platformdirs"),
]
WITHOUT_PACKAGES = [
    ("filelock", FILE + "Keyring(); import pydoc, twilio_oauth_async; pydoc.render_doc(twilio_oauth_async)"),
    ("filelock", "from twilio_oauth_async import *; FileTokenStore, FileFlowStore, Keyring"),
    ("filelock", "import twilio_oauth_async, inspect; inspect.getmembers(twilio_oauth_async)"),
    ("platformdirs", FILE + "FileTokenStore('x')"),
    ("platformdirs", "from twilio_oauth_async import *; FileTokenStore('x')"),
    ("cryptography", FILE + "FileTokenStore('x')"),
    ("filelock", "from twilio_oauth_async.stores import *; FileTokenStore, RedisTokenStore, Keyring"),
    ("redis", "from twilio_oauth_async.stores import *; FileTokenStore, RedisTokenStore, Keyring"),
    ("twilio", ADAPTERS + "TokenSource, aiohttp, httpx; aiohttp.BearerAuth, httpx.BearerAuth"),
    ("twilio", "import pydoc, twilio_oauth_async.adapters as a; pydoc.render_doc(a)"),
    ("redis", "import pydoc, twilio_oauth_async.stores as s; pydoc.render_doc(s)"),
]
"""Code that works although a package is missing: the package is named when it is needed, not by an import."""

GUARD = "from twilio_oauth_async.extras import from_extra\nwith from_extra('file', 'filelock'): import nowhere"

RUN_EACH = """
import json, os, sys
for missing, code in json.loads(sys.argv[1]):
    if os.fork() == 0:
        sys.modules.update(dict.fromkeys(missing.split(",") if missing else ()))
        message = ""
        try:
            exec(code)
        except ModuleNotFoundError as error:
            message = f"{error.name}: {error}"
        print(json.dumps([message, [name for name in sys.argv[2].split() if sys.modules.get(name)]]), flush=True)
        os._exit(0)
    os.wait()
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def outcomes():
    """The error and the imports of each piece of code, each in a new process; forked, because that is fast."""
    cases = [*((missing, code) for missing, code, _ in MISSING), *(("", code) for code, _ in LOADED), ("", GUARD)]
    cases += [*WITHOUT_PACKAGES, *((missing, code) for missing, code, _ in NO_CLIENT)]
    run = subprocess.run(
        [sys.executable, "-c", RUN_EACH, json.dumps(cases), EXTRAS], capture_output=True, text=True, check=True
    )
    return dict(zip(cases, map(json.loads, run.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(("missing", "code", "extra"), MISSING)
def test_missing_package_error_names_the_extra(outcomes, missing, code, extra):
    message, _ = outcomes[missing, code]
    assert message.startswith(missing)
    assert message.endswith(f": missing package {missing}: pip install 'twilio-oauth-async[{extra}]'")


@pytest.mark.parametrize(("missing", "code", "end"), NO_CLIENT)
def test_adapter_without_its_http_client_says_what_to_install(outcomes, missing, code, end):
    assert outcomes[missing, code][0].endswith(end)


@pytest.mark.parametrize(("code", "needed"), LOADED)
def test_only_needed_packages_are_imported(outcomes, code, needed):
    assert outcomes["", code] == ["", needed.split()]


@pytest.mark.parametrize(("missing", "code"), WITHOUT_PACKAGES)
def test_imports_and_help_work_without_the_package(outcomes, missing, code):
    assert outcomes[missing, code][0] == ""


def test_other_missing_module_is_not_reported_as_missing_extra(outcomes):
    assert outcomes["", GUARD][0] == "nowhere: No module named 'nowhere'"


def test_missing_extra_error_has_name_and_cause():
    with pytest.raises(ModuleNotFoundError, match="missing package nowhere") as caught:
        with from_extra("file", "nowhere"):
            importlib.import_module("nowhere")
    assert caught.value.name == "nowhere"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        with from_extra("file", "filelock"):
            importlib.import_module("nowhere")
