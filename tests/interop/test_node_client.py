"""Where there is no Node.js, its tests skip with a reason; where it is demanded, they fail."""

from __future__ import annotations

import pytest

from tests.helpers import node_client


@pytest.mark.parametrize(("required", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
@pytest.mark.parametrize("missing", ["node", "npm"])
def test_without_node(monkeypatch, tmp_path, required, outcome, missing):
    monkeypatch.setattr(node_client, "REQUIRED", required)
    monkeypatch.setattr(node_client.shutil, "which", lambda name: None if name == missing else f"/usr/bin/{name}")
    with pytest.raises(outcome, match=r"no Node\.js with npm here"):
        node_client.install(tmp_path / "folder")
