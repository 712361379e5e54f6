"""Seed files: apps, users, texts of scopes, policy and faults that an emulator has from the start.

docs/emulator.md has an example.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from twilio_oauth_async.emulator.control.arguments import Arguments, ControlError, json_object, text
from twilio_oauth_async.emulator.control.fault_from_json import FAULT_MEMBERS, fault_from_json
from twilio_oauth_async.emulator.rules.model import App, User

if TYPE_CHECKING:
    from twilio_oauth_async.emulator.control.in_process import InProcessControl

T = TypeVar("T")

_PARTS = ("apps", "users", "scopes", "policy", "faults")


def read_seed(path: Path) -> dict[str, Any]:
    """Return the content of a seed file: JSON if its name ends with ``.json``, else TOML.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not valid TOML or JSON; the message has the line.
    """
    content = path.read_text(encoding="utf-8")
    try:
        seed: Any = json.loads(content) if path.suffix == ".json" else tomllib.loads(content)
    except ValueError as error:  # of both parsers
        raise ValueError(f"{path}: {error}") from None
    if isinstance(seed, dict):
        return cast("dict[str, Any]", seed)
    raise ValueError(f"{path}: it must be a JSON object")


def apply_seed(control: InProcessControl, seed: Mapping[str, Any]) -> tuple[App | None, User | None]:
    """Add what `seed` has to an emulator.

    Returns:
        The first app and the first user.

    Raises:
        ValueError: a part of it is not valid; the message names the part. Some parts may have been added.
    """
    unknown = seed.keys() - set(_PARTS)
    if unknown:
        raise ValueError(f"a seed has {', '.join(_PARTS)}, not {', '.join(sorted(unknown))}")
    try:
        control.scope_texts.update(
            {
                scope: text(f"scopes.{scope}", words)
                for scope, words in json_object("scopes", seed.get("scopes", {})).items()
            }
        )
        control.set_policy(**json_object("policy", seed.get("policy", {})))
        apps = [_app(control, arguments) for arguments in _items(seed, "apps", ("name",), _APP)]
        users = [_user(control, arguments) for arguments in _items(seed, "users", _USER, ("sid",))]
        for arguments in _items(seed, "faults", (), FAULT_MEMBERS):
            _named(arguments.command, partial(fault_from_json, control.faults, arguments.given))
    except ControlError as error:
        raise ValueError(str(error)) from None
    return next(iter(apps), None), next(iter(users), None)


_APP = ("sid", "secret", "public", "scopes", "audiences", "redirect_uris")
_USER = ("first_name", "last_name", "email")


def _app(control: InProcessControl, arguments: Arguments) -> App:
    return _named(
        arguments.command,
        lambda: control.add_app(
            arguments.text("name"),
            sid=arguments.optional_text("sid"),
            secret=arguments.optional_text("secret"),
            public=arguments.flag("public", default=False),
            scopes=arguments.optional_texts("scopes"),
            audiences=arguments.optional_texts("audiences"),
            redirect_uris=arguments.optional_texts("redirect_uris"),
        ),
    )


def _user(control: InProcessControl, arguments: Arguments) -> User:
    names = (arguments.text(name) for name in _USER)
    return _named(arguments.command, lambda: control.add_user(*names, sid=arguments.optional_text("sid")))


def _items(seed: Mapping[str, Any], part: str, required: tuple[str, ...], optional: tuple[str, ...]) -> list[Arguments]:
    items = cast("object", seed.get(part, []))
    if not isinstance(items, list):
        raise ControlError(f"{part} must be a list")
    return [
        Arguments(f"{part}[{number}]", json_object(f"{part}[{number}]", item), required, optional)
        for number, item in enumerate(cast("list[object]", items))
    ]


def _named(part: str, add: Callable[[], T]) -> T:
    """Call `add`; say which part of the seed is meant if it is not valid."""
    try:
        return add()
    except (ControlError, ValueError) as error:
        raise ControlError(f"{part}: {error}") from None
