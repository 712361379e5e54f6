"""Imports of the adapters: each imports its own HTTP client, and the shared rules import none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import twilio_oauth_async

ADAPTERS = Path(twilio_oauth_async.__file__).parent / "adapters"


@pytest.mark.parametrize("module", ["bearer_policy", "origins", "unauthorized"])
def test_shared_rules_import_only_pure_modules(module):
    imports = {
        name.split(".")[0]
        for node in ast.walk(ast.parse((ADAPTERS / f"{module}.py").read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imports <= {
        "__future__", "attrs", "collections", "datetime", "ipaddress", "re", "twilio_oauth_async", "typing"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("origins", []),
        ("unauthorized", []),
        ("bearer_policy", []),
        ("aiohttp", ["aiohttp"]),
        ("httpx", ["httpx", "httpx2"]),
        ("twilio", ["twilio"]),
    ],
)
def test_adapter_imports_its_own_client_and_no_other(module, loaded):
    code = (
        f"import sys, twilio_oauth_async.adapters.{module}; "
        "print(*sorted({'aiohttp', 'httpx', 'httpx2', 'twilio', 'requests'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == loaded
