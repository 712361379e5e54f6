"""Settings and the configuration file: which value wins, where it came from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.cli.config_file import read_config_file
from twilio_oauth_async.cli.settings import NAMES, Settings, resolve


def settings(
    flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: dict[str, Any] | None = None
) -> Settings:
    return resolve(profile="work", flags=flags or {}, environ=environ or {}, file=file or {}, path="config.toml")


def test_option_wins_against_the_environment_and_that_against_the_file() -> None:
    everywhere: dict[str, Any] = {
        "flags": {"client_id": "of the option"},
        "environ": {"TWILIO_CLIENT_ID": "of the environment"},
        "file": {"client_id": "of the file"},
    }
    for place, source in (
        ("flags", "an option"),
        ("environ", "the variable TWILIO_CLIENT_ID"),
        ("file", "config.toml, profile work"),
    ):
        found = settings(**everywhere).values["client_id"]
        assert (found.value, found.source) == (everywhere[place].popitem()[1], source)
    assert settings().get("client_id") is None
    assert settings().values["flow"].source == "the default"


@pytest.mark.parametrize("missing", [None, ()])
def test_option_that_is_not_given_and_empty_variable_do_not_count(missing: object) -> None:
    found = settings({"scopes": missing, "client_id": None}, {"TWILIO_CLIENT_ID": ""}, {"scopes": ["a"]})
    assert (found.get("scopes"), found.get("client_id")) == (("a",), None)


@pytest.mark.parametrize(
    ("environ", "file", "expected"),
    [
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "a"}, {}, ("AC1", "a")),
        (
            {
                "TWILIO_ACCOUNT_SID": "AC1",
                "TWILIO_AUTH_TOKEN": "a",
                "TWILIO_API_KEY": "SK1",
                "TWILIO_API_SECRET": "b",
            },
            {},
            ("SK1", "b"),
        ),
        (
            {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "a"},
            {"api_key": "SK1", "api_secret": "b"},
            ("AC1", "a"),
        ),
        ({"TWILIO_API_KEY": "SK1"}, {"account_sid": "AC1", "auth_token": "a"}, ("AC1", "a")),
        ({"TWILIO_API_KEY": "SK1"}, {"api_secret": "b"}, None),  # no pair is made from two places
        ({}, {}, None),
    ],
)
def test_credentials_are_a_pair_of_one_place(
    environ: dict[str, str], file: dict[str, str], expected: tuple[str, str] | None
) -> None:
    assert settings(environ=environ, file=file).credentials() == expected


@pytest.mark.parametrize(
    ("flags", "environ", "file", "expected"),
    [
        ({}, {}, {}, (None, None, None)),
        ({}, {"TWILIO_OAUTH_URL": "u"}, {}, ("u", None, None)),
        ({"region": "ie1"}, {"TWILIO_OAUTH_URL": "u"}, {}, (None, "ie1", None)),
        ({}, {"TWILIO_OAUTH_URL": "u", "TWILIO_REGION": "ie1"}, {}, ("u", None, None)),
        ({}, {"TWILIO_REGION": "ie1"}, {"base_url": "u", "edge": "dublin"}, (None, "ie1", "dublin")),
        ({"base_url": "u"}, {"TWILIO_REGION": "ie1"}, {}, ("u", None, None)),
    ],
)
def test_base_url_wins_only_if_no_stronger_place_names_a_region(
    flags: dict[str, str], environ: dict[str, str], file: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    assert settings(flags, environ, file).server() == expected


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ({"clientid": "x"}, "there is no setting clientid; did you mean client_id?"),
        ({"xyzzy": "x"}, "there is no setting xyzzy; it has account_sid"),
        ({"encrypt": "yes"}, "encrypt must be true or false"),
        ({"client_id": 5}, "client_id must be a string"),
        ({"scopes": "openid"}, "scopes must be a list of strings"),
        ({"scopes": [1]}, "scopes must be a list of strings"),
        ({"flow": "browser"}, "flow must be one of device, web, client_credentials"),
    ],
)
def test_mistake_in_a_profile_is_reported(file: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem.replace("?", r"\?")):
        settings(file=file)


def test_missing_setting_says_where_it_can_be_set() -> None:
    with pytest.raises(ConfigurationError, match="there is no client_id: set TWILIO_CLIENT_ID, or add client_id to"):
        settings().need("client_id")
    with pytest.raises(ConfigurationError, match="there is no redirect_uri: add redirect_uri to the profile"):
        settings().need("redirect_uri")


def test_secrets_are_not_shown() -> None:
    secrets = {name: f"canary-{name}" for name, about in NAMES.items() if about.is_secret}
    assert len(secrets) == 3
    assert "canary" not in repr(settings(file=secrets))


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_configuration_file_has_profiles_and_a_default(tmp_path: Path) -> None:
    path = write(tmp_path, 'default_profile = "work"\n[profiles.work]\nclient_id = "OQ1"\n[profiles.home]\n')
    config = read_config_file(path, {})
    assert (config.default_profile, list(config.profiles)) == ("work", ["work", "home"])
    assert config.profile("work", is_chosen=True) == {"client_id": "OQ1"}
    with pytest.raises(ConfigurationError, match="has no profile other; it has work, home"):
        config.profile("other", is_chosen=True)
    assert read_config_file(None, {"TWILIO_OAUTH_CONFIG": str(path)}).path == path
    assert "OQ1" not in repr(config)


def test_missing_configuration_file_is_an_error_only_if_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config = read_config_file(None, {})
    assert (config.path, config.profiles) == (tmp_path / "twilio-oauth-async" / "config.toml", {})
    assert config.profile("default", is_chosen=True) == {}
    with pytest.raises(ConfigurationError, match="has no profile work; it has no profiles"):
        config.profile("work", is_chosen=True)
    for path, environ in ((tmp_path / "missing", {}), (None, {"TWILIO_OAUTH_CONFIG": str(tmp_path / "missing")})):
        with pytest.raises(ConfigurationError, match="missing does not exist"):
            read_config_file(path, environ)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_config_file(tmp_path, {})


@pytest.mark.parametrize("name", [name for name, about in NAMES.items() if about.is_secret])
def test_file_with_secrets_that_other_users_can_read_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, f'[profiles.work]\n{name} = "canary"\n', 0o640)
    with pytest.raises(ConfigurationError, match="has secrets, and other users can read it: chmod 600 it") as caught:
        read_config_file(path, {})
    assert "canary" not in str(caught.value)
    path.chmod(0o600)
    read_config_file(path, {})
    read_config_file(write(tmp_path, '[profiles.work]\nclient_id = "OQ1"\n', 0o644), {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = x", "line 1"),
        ("\xff", "line 1"),
        ("other = 1", "it has default_profile and .profiles.NAME., not other"),
        ("default_profile = 1", "default_profile must be a string"),
        ("profiles = 1", "profiles a table"),
        ("[profiles]\nwork = 1", "profiles.work must be a table"),
        ("[profiles.work]\nscope = []", "profile work: there is no setting scope; did you mean scopes"),
    ],
)
def test_mistake_in_the_file_is_reported(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_config_file(write(tmp_path, text), {})
