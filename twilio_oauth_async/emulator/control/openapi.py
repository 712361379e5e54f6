"""The description of the control API in OpenAPI 3.1, made from its commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from twilio_oauth_async.emulator.control.fault_from_json import fault_schemas
from twilio_oauth_async.emulator.control.http_commands import COMMANDS, ENDPOINTS, Command
from twilio_oauth_async.emulator.messages.forms import FORM_TYPE
from twilio_oauth_async.emulator.rules.model import Policy

Schema: TypeAlias = dict[str, Any]
"""A schema of JSON Schema 2020-12, which OpenAPI 3.1 uses."""

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": 1e300}
_DATE: Schema = {"type": "string", "format": "date-time"}
_POLICY_TYPES: Mapping[str, Schema] = {
    "int": {"type": "integer", "minimum": 1, "exclusiveMaximum": 1_000_000_000},
    "float": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000_000},
    "bool": _FLAG,
    "str": {"type": "string", "minLength": 1},
}


def _object(properties: Mapping[str, Schema], optional: tuple[str, ...] = (), *, closed: bool = True) -> Schema:
    required = [name for name in properties if name not in optional]
    more: Schema = {"additionalProperties": False} if closed else {}
    return {"type": "object", "properties": dict(properties), **({"required": required} if required else {}), **more}


def _policy() -> dict[str, Schema]:
    return {field.name: _POLICY_TYPES[str(field.type)] for field in attrs.fields(Policy)}


ARGUMENTS: Mapping[str, Schema] = {
    "user_code": _TEXT,
    "user": _TEXT,
    "scopes": _TEXTS,
    "audiences": _TEXTS,
    "redirect_uris": _TEXTS,
    "url": _TEXT,
    "approve": _FLAG,
    "token": _TEXT,
    "token_type_hint": _TEXT,
    "count": _COUNT,
    "error": {"type": "string", "minLength": 1},
    "seconds": _SECONDS,
    "keep": {"type": "integer", "minimum": 0},
    "first_name": _TEXT,
    "last_name": _TEXT,
    "email": _TEXT,
    "name": _TEXT,
    "sid": {"type": "string", "minLength": 1},
    "secret": {"type": "string", "minLength": 1},
    "public": _FLAG,
    "id": _INTEGER,
    "device_code": _TEXT,
    "interval": _SECONDS,
    "only": {"type": "array", "items": {"enum": ["requests", "faults"]}},
    "endpoint": {"enum": sorted(ENDPOINTS)},
}
"""The arguments of all commands but `set_policy` and `add_fault`; one name has the same meaning in each command."""

_USER = _object({"sid": _TEXT, "first_name": _TEXT, "last_name": _TEXT, "email": _TEXT})
_CLOCK = _object({"virtual": _FLAG, "monotonic": _NUMBER, "now": _DATE})
_FAULT: Mapping[str, Schema] = {"id": _INTEGER, "fault": _TEXT}
_PAIRS: Schema = {"type": "array", "items": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}}
_OR_NULL: Schema = {"type": ["string", "null"]}
_REQUEST = _object(
    {
        **dict.fromkeys(("method", "path", "endpoint", "kind"), _TEXT),
        **dict.fromkeys(("query", "form", "headers"), _PAIRS),
        "received_at": _NUMBER,
        "received_on": _DATE,
        "peer_port": {"type": ["integer", "null"]},
        "status": {"type": ["integer", "null"]},
        **dict.fromkeys(("error", "fault"), _OR_NULL),
        "unknown_parameters": _TEXTS,
    }
)
_DEVICE_CODE = _object(
    {
        **dict.fromkeys(("user_code", "app", "client_sid"), _TEXT),
        **dict.fromkeys(("scopes", "audiences"), _TEXTS),
        "requested_on": _DATE,
        "expires_in": _NUMBER,
    }
)
_INTROSPECTION: Mapping[str, Schema] = {  # RFC 7662 2.2
    "active": _FLAG,
    **dict.fromkeys(("scope", "client_id", "username", "token_type", "sub", "iss"), _TEXT),
    "aud": {"type": ["string", "array"], "items": _TEXT},
    **dict.fromkeys(("iat", "exp"), _INTEGER),
}

RESPONSES: Mapping[str, Schema] = {
    "": _object(
        {
            **dict.fromkeys(("base_url", "issuer", "account_sid", "auth_token", "client_sid"), _TEXT),
            "client_secret": _OR_NULL,
            "users": {"type": "array", "items": _USER},
            "policy": _object(_policy()),
            "clock": _CLOCK,
            "device_codes": _object({"pending": _INTEGER, "remembered": _INTEGER}),
        }
    ),
    "requests": _object({"requests": {"type": "array", "items": _REQUEST}, "forgotten": _INTEGER}),
    "device_codes": _object({"device_codes": {"type": "array", "items": _DEVICE_CODE}}),
    "faults": _object({"faults": {"type": "array", "items": _object({**_FAULT, "hits": _INTEGER, "unused": _FLAG})}}),
    "authorize": _object({"location": _TEXT}),
    "introspect": _object(_INTROSPECTION, tuple(_INTROSPECTION.keys() - {"active"})),
    "revoke_user": _object({"revoked": _INTEGER}),
    "expire_access_tokens": _object({"expired": _INTEGER}),
    "fail_refreshes": _object(_FAULT),
    "advance": _object({"clock": _CLOCK}),
    "add_user": _object({"sid": _TEXT}),
    "add_app": _object({"sid": _TEXT, "secret": _OR_NULL}),
    "add_api_key": _object({"sid": _TEXT, "secret": _TEXT}),
    "set_policy": _object({"policy": _object(_policy())}),
    "add_fault": _object(_FAULT),
    "poll_gaps": _object({"gaps": {"type": "array", "items": _NUMBER}, "interval": _NUMBER, "polled_faster": _FLAG}),
}
"""The responses with content; all other commands return an empty object."""

_ERRORS: Mapping[str, str] = {
    "400": "The request is not valid; the message says what is expected.",
    "401": "The control token is missing or wrong.",
    "404": "There is no such code, token, user or fault.",
    "409": "The state does not allow it, for example because the code was already approved.",
    "413": "The request is too large.",
}


def describe_api(base_url: str, control_path: str) -> dict[str, Any]:
    """Return the OpenAPI document of the control API.

    Args:
        base_url: URL of the emulator.
        control_path: path under which the commands are.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Control API of the OAuth emulator",
            "version": "1",
            "description": "Approves and denies sign-ins, adds faults, and reads requests, for tests in any language.",
        },
        "servers": [{"url": base_url}],
        "security": [{"control_token": []}],
        "paths": {
            f"{control_path}{name}": {command.method.lower(): _operation(name, command)}
            for name, command in COMMANDS.items()
        },
        "components": {
            "securitySchemes": {"control_token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _object({"error": _TEXT})},
        },
    }


def _operation(name: str, command: Command) -> dict[str, Any]:
    schemas = arguments_of(name, command)
    operation: dict[str, Any] = {
        "operationId": name or "describe",
        "summary": command.summary,
        "responses": {
            "200": _response("Done.", RESPONSES.get(name, _object({}))),
            **{status: _response(text, {"$ref": "#/components/schemas/Error"}) for status, text in _ERRORS.items()},
        },
    }
    if command.method == "GET":
        operation["parameters"] = [
            {"name": argument, "in": "query", "required": argument in command.required, "schema": schema}
            for argument, schema in schemas.items()
        ]
    elif schemas:
        # A null counts as not given.
        body = {
            argument: schema if argument in command.required else _or_null(schema)
            for argument, schema in schemas.items()
        }
        content = {"schema": _object(body, command.optional)}
        # RFC 7662 2.1: a form. The other commands take a form too, for curl.
        types = (FORM_TYPE, "application/json") if name == "introspect" else ("application/json",)
        operation["requestBody"] = {"required": bool(command.required), "content": dict.fromkeys(types, content)}
    return operation


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def arguments_of(name: str, command: Command) -> dict[str, Schema]:
    """Return the schema of each argument of a command."""
    if name == "set_policy":
        return _policy()
    if name == "add_fault":
        return fault_schemas()
    return {argument: ARGUMENTS[argument] for argument in (*command.required, *command.optional)}


def _response(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
