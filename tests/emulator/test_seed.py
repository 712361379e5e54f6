"""Seed files: what an emulator has from the start."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from twilio_oauth_async.emulator import Emulator

TOML = """
[policy]
interval = 1

[scopes]
"messages.read" = "read your messages"

[[apps]]
sid = "OQ00000000000000000000000000000001"
secret = "of the first app"
name = "First"
scopes = ["openid", "messages.read"]

[[apps]]
name = "Second"
public = true
redirect_uris = ["https://app.example/callback"]

[[users]]
first_name = "Grace"
last_name = "Example"
email = "grace@example.com"
sid = "US00000000000000000000000000000001"

[[faults]]
on = "poll"
times = 2
respond = { status = 503 }
"""


def check(emulator: Emulator) -> None:
    assert (emulator.client_sid, emulator.client_secret) == ("OQ00000000000000000000000000000001", "of the first app")
    apps = emulator._backend.server.apps.values()  # pyright: ignore[reportPrivateUsage]
    assert [(app.name, app.secret is None) for app in apps] == [("First", False), ("Second", True)]
    assert emulator.users == (emulator.user,)
    assert (emulator.user.sid, emulator.user.first_name) == ("US00000000000000000000000000000001", "Grace")
    assert emulator.policy.interval == 1
    assert [fault.description for fault in emulator.faults] == ["on('poll').times(2).respond(503)"]


@pytest.mark.parametrize("kind", ["toml", "json", "content"])
def test_seed_replaces_the_first_app_and_user_and_adds_the_others(tmp_path: Path, kind: str) -> None:
    emulator, content = Emulator(), tomllib.loads(TOML)
    path = tmp_path / f"seed.{kind}"
    path.write_text(json.dumps(content) if kind == "json" else TOML)
    emulator.load_seed(content if kind == "content" else str(path))
    check(emulator)


def test_empty_seed_changes_nothing() -> None:
    emulator = Emulator()
    app, user = emulator.client_sid, emulator.user
    emulator.load_seed({})
    assert (emulator.client_sid, emulator.users) == (app, (user,))


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ({"app": []}, "a seed has apps, users, scopes, policy, faults, not app"),
        ({"apps": {}}, "apps must be a list"),
        ({"apps": ["x"]}, r"apps\[0\] must be an object"),
        ({"apps": [{}]}, r"apps\[0\] needs name"),
        ({"apps": [{"name": "a", "id": 1}]}, r"apps\[0\] takes name, sid, secret.*another argument"),
        ({"apps": [{"name": "a"}, {"name": 1}]}, r"apps\[1\]: name must be a string"),
        ({"apps": [{"name": "a", "sid": ""}]}, r"apps\[0\]: sid must not be empty"),
        ({"apps": [{"name": "a", "sid": "A"}, {"name": "b", "sid": "A"}]}, r"apps\[1\]: sid must not be.*another app"),
        ({"apps": [{"name": "a", "public": True, "secret": "b"}]}, r"apps\[0\]: a public app has no secret"),
        ({"apps": [{"name": "a", "redirect_uris": ["x"]}]}, r"apps\[0\]: "),
        ({"users": [{"first_name": "a"}]}, r"users\[0\] needs last_name, email"),
        ({"users": [{"first_name": "a", "last_name": "b", "email": 1}]}, r"users\[0\]: email must be a string"),
        ({"scopes": []}, "scopes must be an object"),
        ({"scopes": {"a": 1}}, "scopes.a must be a string"),
        ({"policy": {"interval": 0}}, "interval must be a positive integer"),
        ({"policy": {"speed": 0}}, "the policy has no speed"),
        ({"faults": [{"on": "polls", "delay": 1}]}, r"faults\[0\]: on must be a list"),
        ({"faults": [{}]}, r"faults\[0\]: the fault has no effect"),
        ({"faults": [{"delays": 1}]}, r"faults\[0\] takes on, times"),
    ],
)
def test_mistake_in_a_seed_is_reported_with_its_place(seed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Emulator().load_seed(seed)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.toml", "apps = x", "a.toml: .*line 1"),
        ("a.json", "{", "a.json: .*line 1"),
        ("a.json", "[]", "a.json: it must be a JSON object"),
    ],
)
def test_file_that_cannot_be_parsed_is_reported_with_its_line(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=problem):
        Emulator().load_seed(path)


def test_missing_file_raises() -> None:
    with pytest.raises(FileNotFoundError):
        Emulator().load_seed("missing.toml")


def test_example_in_the_documentation_is_valid() -> None:
    documentation = Path(__file__).parents[2] / "docs" / "emulator.md"
    example = documentation.read_text().partition("```toml\n")[2].partition("```")[0]
    emulator = Emulator()
    emulator.load_seed(tomllib.loads(example))
    assert emulator.user.first_name == "Grace"
    assert emulator.policy.interval == 1


def test_emulator_in_a_thread_loads_a_seed() -> None:
    with Emulator.in_thread() as emulator:
        emulator.load_seed(tomllib.loads(TOML))
        assert emulator.client_sid == "OQ00000000000000000000000000000001"
        assert emulator.set_policy(interval=2).interval == 2
        assert emulator.introspect("x") == {"active": False}
        assert (emulator.expire_access_tokens(), emulator.revoke_user()) == (0, 0)
        assert emulator.fail_refreshes(3).description == "on('refresh').times(3).error('invalid_grant')"
        assert emulator.add_user("a", "b", "c", sid="US1").sid == "US1"
        assert emulator.add_app("a", sid="OQ1", secret="b").secret == "b"
