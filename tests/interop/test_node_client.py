"""Without Node.js its tests are skipped with a reason; if it is required, they fail."""

from __future__ import annotations

import pytest

from tests.helpers import node_client


@pytest.mark.parametrize(("required", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
@pytest.mark.parametrize("missing", ["node", "npm"])
def test_missing_node_skips_or_fails(monkeypatch, tmp_path, required, outcome, missing):
    monkeypatch.setattr(node_client, "REQUIRED", required)
    monkeypatch.setattr(node_client.shutil, "which", lambda name: None if name == missing else f"/usr/bin/{name}")
    with pytest.raises(outcome, match=r"Node\.js with npm is not installed"):
        node_client.install(tmp_path / "folder")
