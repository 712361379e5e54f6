"""Optional packages are imported late, and where one is missing the error says what to install."""

import subprocess
import sys

import pytest

EXTRAS = "filelock platformdirs cryptography keyring redis"


def run(code, *missing):
    head = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in missing)
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("missing", "code", "extra"),
    [
        ("filelock", "", "file"),
        ("platformdirs", "FileTokenStore()", "file"),
        ("platformdirs", "FileFlowStore()", "file"),
        ("cryptography", "FileTokenStore('x', encryption='k')", "encryption"),
        ("cryptography", "FileTokenStore('x', encryption=Keyring())", "encryption"),
        ("keyring", "FileTokenStore('x', encryption=Keyring())", "encryption"),
        ("redis", "RedisTokenStore(None)", "redis"),
        ("redis", "RedisFlowStore(None)", "redis"),
    ],
)
def test_the_error_names_the_extra(missing, code, extra):
    module = "redis" if extra == "redis" else "file"
    told = run(f"from twilio_oauth_async.stores.{module} import *; {code}", missing).stderr.splitlines()[-1]
    assert told == f"ModuleNotFoundError: this needs {missing}: pip install 'twilio-oauth-async[{extra}]'"


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import twilio_oauth_async.stores.memory", ""),
        ("import twilio_oauth_async.stores.redis", ""),
        ("from twilio_oauth_async.stores.file import *; FileTokenStore('x')", "filelock"),
        ("from twilio_oauth_async.stores.file import *; FileTokenStore()", "filelock platformdirs"),
        ("from twilio_oauth_async.stores.file import *; Keyring()", "filelock"),
    ],
)
def test_nothing_is_imported_that_is_not_used(code, needed):
    loaded = run(f"{code}\nprint(*[name for name in {EXTRAS!r}.split() if name in sys.modules])")
    assert loaded.stdout.split() == needed.split(), loaded.stderr


def test_other_missing_modules_are_not_blamed_on_an_extra():
    told = run("import twilio_oauth_async.stores.file", "filelock._api").stderr.splitlines()[-1]
    assert "pip install" in told  # it is filelock's own
    told = run(
        "from twilio_oauth_async.stores.optional import from_extra\nwith from_extra('file', 'filelock'): import nowhere"
    ).stderr.splitlines()[-1]
    assert told == "ModuleNotFoundError: No module named 'nowhere'"
