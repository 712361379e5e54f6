"""A project that uses the plugin, in a new folder; pytest finds the plugin by its entry point."""

from __future__ import annotations

import pytest

from tests.helpers.plugin_project import Project


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture
def auto_project(pytester: pytest.Pytester) -> Project:
    return Project(pytester, "auto")
