"""Imports go down only. Each module is on a floor; it may import from its own floor and from those below."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "twilio_oauth_async"
FLOORS = [
    {"errors", "secretive"},
    {
        "base64url",
        "codec",
        "endpoints",
        "form",
        "instructions",
        "jwa",
        "messages",
        "observation",
        "pkce",
        "storable",
        "untrusted_text",
    },
    {"models", "device_authorization", "id_token_claims", "jwk", "jws", "public_keys"},
    {"error_answers", "id_token", "pending_authorization", "polling", "server_metadata", "sign_in"},
    {"protocol", "protocol_v2"},
    # transport
    {"clock"},
    {"transport", "retry", "credentials"},
    {"exchange"},
    {"session"},
    {"key_set"},
    {"id_token_verifier"},
    # tokens and flows
    {"grant", "stores"},
    {"device_poller"},
    {"client_credentials", "device_flow", "loopback_listener", "token_life"},
    {"authorization_code", "background_refresh", "running_sign_in", "token_renewal"},
    {"token_manager"},
    {"sign_in_driver", "token_managers"},
    {"flow_pool"},
    # edges
    {"otel", "adapters", "emulator", "cli", "pytest_fixtures", "pytest_plugin"},
]
GROUND = set().union(*FLOORS[:5])
IMPURE = {"aiohttp", "asyncio", "time", "socket", "os", "random", "threading", "backoff", "ssl"}
EMULATOR_MAY_USE = {"clock"}
PURE_IN_EMULATOR = {"state", "device_codes", "grants", "model"}


def module_name(path):
    return path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def part(module):
    """The first name below the package: a module of its own, or a subpackage."""
    return module.split(".")[1] if "." in module else ""


def imported(path, *, for_types=False):
    """Every module that the file imports, wherever the import stands."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
            skipped.update(id(inner) for inner in ast.walk(node))
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.update(
                full if (full := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            )
    return found


def floor_of(name):
    [floor] = [index for index, names in enumerate(FLOORS) if name in names]
    return floor


def test_every_module_is_on_exactly_one_floor():
    assert {part(module) for module in MODULES} - {""} == set().union(*FLOORS)
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS))


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"twilio_oauth_async"}))
def test_imports_go_down_only(module):
    own = part(module)
    for other in imported(MODULES[module]):
        if other.split(".")[0] == "twilio_oauth_async" and part(other) not in {"", own}:
            assert floor_of(part(other)) < floor_of(own) or (
                floor_of(own) == floor_of(part(other)) and own != "emulator"
            ), other


@pytest.mark.parametrize("module", sorted(m for m in MODULES if part(m) in GROUND))
def test_the_ground_is_pure(module):
    assert not {name.split(".")[0] for name in imported(MODULES[module], for_types=True)} & IMPURE
    # A clock read through datetime would be one all the same.
    assert not [
        node
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"now", "utcnow", "today"}
        and ast.unparse(node.value) == "datetime"
    ]


def test_only_the_transport_sends():
    edges = {"otel", "adapters", "emulator", "cli"}
    senders = {m for m in MODULES if "aiohttp" in imported(MODULES[m]) and part(m) not in edges}
    assert senders == {
        f"twilio_oauth_async.{name}" for name in ("transport", "session", "credentials", "loopback_listener")
    }
    source = MODULES["twilio_oauth_async.session"].read_text()
    assert "ClientSession(" not in source.replace("OAuthSession(", "")


def test_only_retry_uses_backoff():
    assert [m for m in MODULES if "backoff" in imported(MODULES[m])] == ["twilio_oauth_async.retry"]


@pytest.mark.parametrize("module", sorted(m for m in MODULES if part(m) == "emulator"))
def test_the_emulator_shares_no_parser_with_the_client(module):
    shared = {part(name) for name in imported(MODULES[module]) if name.split(".")[0] == "twilio_oauth_async"}
    assert shared <= EMULATOR_MAY_USE | {"emulator", ""}


@pytest.mark.parametrize("name", sorted(PURE_IN_EMULATOR))
def test_the_emulator_s_rules_are_pure(name):
    assert not imported(MODULES[f"twilio_oauth_async.emulator.{name}"]) & IMPURE


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.parent.glob("twilio_oauth_async/**/*.py")) + sorted(Path(__file__).parent.rglob("*.py")),
    ids=str,
)
def test_files_are_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 350
