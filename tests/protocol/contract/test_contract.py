"""Every path, parameter and field of the contract is used by the client, the models and the emulator."""

import json
from pathlib import Path

import aiohttp
import attrs
import pytest
from multidict import CIMultiDict

from twilio_oauth_async import DEVICE_CODE_GRANT, OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.protocol import codec, device_authorization, discovery, models, token_endpoint, user_info
from twilio_oauth_async.protocol.messages import Context, Response

HERE = Path(__file__).parent
CONTRACT = json.loads((HERE / "oauth_v1.json").read_text())
PUBLISHED = HERE.parents[3] / "shared" / "spec" / "twilio_oauth_v1.json"
SCHEMAS = {
    name.removeprefix("oauth.v1."): schema["properties"] for name, schema in CONTRACT["components"]["schemas"].items()
}
PARSE = {
    "openid_discovery": (models.OpenidDiscovery, discovery.parse_openid_discovery),
    "certs": (models.Certs, discovery.parse_certs),
    "device_code": (models.DeviceCode, device_authorization.parse_device_code),
    "token": (models.Token, token_endpoint.parse_token),
    "user_info": (models.UserInfo, user_info.parse_user_info),
}
FIELDS = [(schema, field) for schema, fields in SCHEMAS.items() for field in fields]
OPERATIONS = [
    (path, method, operation) for path, item in CONTRACT["paths"].items() for method, operation in item.items()
]
PARAMETERS = [
    (path, name)
    for path, _, operation in OPERATIONS
    if "requestBody" in operation
    for name in operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"]
]


def without_descriptions(value):
    """Return the contract without titles, descriptions and extensions."""
    if isinstance(value, dict):
        return {
            name: without_descriptions(member)
            for name, member in value.items()
            if not name.startswith("x-") and not (name in {"description", "title"} and isinstance(member, str))
        }
    return [without_descriptions(member) for member in value] if isinstance(value, list) else value


def test_project_copy_of_contract_equals_published_contract():
    if not PUBLISHED.exists():
        pytest.skip("the published contract is not available beside this checkout")
    published = json.loads(PUBLISHED.read_text())
    assert without_descriptions(CONTRACT["components"]) == without_descriptions(published["components"])
    assert set(CONTRACT["paths"]) == set(published["paths"])
    for path, method, operation in OPERATIONS:
        assert without_descriptions(operation) == without_descriptions(published["paths"][path][method])
    assert CONTRACT["info"]["version"] == published["info"]["version"]


def sample(schema):
    """Return a value that the contract allows for a field."""
    if "type" not in schema:
        return [{"kty": "EC", "kid": "IC1"}]
    if schema["type"] == "array":
        return [sample(schema["items"])]
    if schema["type"] == "integer":
        return 7
    if "pattern" in schema:
        return "US" + "0aF9" * 8
    return {"uri": "https://example.com/x", "date-time": "2026-01-01T00:00:00Z"}.get(
        schema.get("format"), "https://text"
    )


def expected(schema):
    """Return the value that the model must have for `sample`."""
    value = sample(schema)
    if schema.get("format") == "date-time":
        return codec.parse_date(value)
    return tuple(value) if isinstance(value, list) else value


def parse(schema, body):
    response = Response(
        status=201, headers=CIMultiDict({"Content-Type": "application/json"}), body=json.dumps(body).encode()
    )
    return PARSE[schema][1](
        response, Context(now=codec.parse_date("2026-01-01T00:00:00Z"), base_url="https://example.com")
    )


@pytest.mark.parametrize(("schema", "field"), FIELDS)
def test_model_has_every_field_with_its_type(schema, field):
    body = {name: sample(member) for name, member in SCHEMAS[schema].items()}
    model = parse(schema, body)
    assert type(model) is PARSE[schema][0]
    value, wanted = getattr(model, field), expected(SCHEMAS[schema][field])
    assert value == wanted
    assert isinstance(value, (int, float) if isinstance(wanted, int) else type(wanted))


@pytest.mark.parametrize(("schema", "field"), FIELDS)
def test_field_may_be_null_or_absent_unless_it_is_essential(schema, field):
    body = {name: sample(member) for name, member in SCHEMAS[schema].items()}
    assert SCHEMAS[schema][field]["nullable"] is True
    essential = field in {"access_token", "device_code", "user_code", "verification_uri"}
    for changed in ({**body, field: None}, {name: value for name, value in body.items() if name != field}):
        model = parse(schema, changed)
        assert isinstance(model, PARSE[schema][0]) is not essential
        assert essential or getattr(model, field) is None


BEYOND = {
    "token": {"token_type", "scope"},  # RFC 6749 5.1
    "openid_discovery": {"authorization_response_iss_parameter_supported"},  # RFC 9207 3
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_model_has_no_field_beyond_the_contract(schema):
    assert {field.name for field in attrs.fields(PARSE[schema][0])} - BEYOND.get(schema, set()) == set(SCHEMAS[schema])


async def call_everything(emulator):
    """Call each method with each argument; the emulator's journal records what was sent."""
    async with OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url) as session:
        await session.fetch_openid_discovery()
        await session.fetch_certs()
        code = await session.create_device_code(
            client_sid=emulator.client_sid, scopes=["openid", "email"], audiences=["a", "b"]
        )
        await emulator.approve(code.user_code)
        token = await session.create_token(
            grant_type=DEVICE_CODE_GRANT,
            client_sid=emulator.client_sid,
            client_secret=emulator.client_secret,
            device_code=code.device_code,
            device_id="tv",
        )
        await session.create_token(
            grant_type="refresh_token",
            client_sid=emulator.client_sid,
            client_secret=emulator.client_secret,
            refresh_token=token.refresh_token,
        )
        await session.fetch_user_info(access_token=token.access_token)
        request = token_endpoint.build_token(
            grant_type="authorization_code", client_sid=emulator.client_sid, code="c", code_verifier="v"
        )
        await session.exchange(request, token_endpoint.parse_token)
        return token


@pytest.mark.asyncio
async def test_client_uses_every_path_and_sends_every_parameter():
    async with Emulator(clock=VirtualClock()) as emulator:
        await call_everything(emulator)
        sent = [(entry.path, entry.method.lower()) for entry in emulator.requests]
        names = {(entry.path, name) for entry in emulator.requests for name in entry.form}
    for path, method, _ in OPERATIONS:
        assert (path, method) in sent
    assert names == set(PARAMETERS)


def check(schema, value, where):
    """Check the emulator's response against the contract, without using the client's parser."""
    if "type" not in schema:
        assert isinstance(value, list), where
        return
    kinds = {"string": str, "integer": int, "array": list}
    assert type(value) is kinds[schema["type"]], where
    if schema["type"] == "array":
        for item in value:
            check(schema["items"], item, where)
    if "pattern" in schema:
        import re

        assert re.fullmatch(schema["pattern"], value), where
    if schema.get("format") == "uri":
        assert value.startswith(("http://", "https://")), where


@pytest.mark.asyncio
async def test_emulator_responses_contain_every_field():
    async with Emulator(clock=VirtualClock()) as emulator:
        basic = {"Authorization": aiohttp.encode_basic_auth(emulator.account_sid, emulator.auth_token)}
        app = {"ClientSid": emulator.client_sid, "ClientSecret": emulator.client_secret}

        async with aiohttp.ClientSession(emulator.base_url, headers=basic) as http:

            async def call(path, headers=None, **form):
                method = "post" if form else "get"
                operation = CONTRACT["paths"][path][method]
                async with http.request(method, path, data=form or None, headers=headers) as response:
                    body = await response.json()
                [(status, described)] = operation["responses"].items()
                assert response.status == int(status)
                name = described["content"]["application/json"]["schema"]["$ref"].removeprefix(
                    "#/components/schemas/oauth.v1."
                )
                for field, schema in SCHEMAS[name].items():
                    assert field in body, (path, field)
                    check(schema, body[field], (path, field))
                return body

            await call("/v1/.well-known/openid-configuration")
            await call("/v1/certs")
            code = await call("/v1/device/code", ClientSid=emulator.client_sid, Scopes="openid")
            await emulator.approve(code["user_code"])
            token = await call("/v1/token", **app, GrantType=DEVICE_CODE_GRANT, DeviceCode=code["device_code"])
            await call("/v1/userinfo", headers={"Authorization": "Bearer " + token["access_token"]})
