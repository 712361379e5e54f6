"""Somebody else's project, in a fresh folder, with the plugin found by its entry point as there."""

from __future__ import annotations

import pytest

# Loaded before the nested runs: those forget what they import, and cryptography cannot be loaded twice in a process.
import twilio_oauth_async.emulator  # noqa: F401
from tests.helpers.plugin_project import Project
from twilio_oauth_async import DeviceFlow, OAuthSession  # noqa: F401


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture
def auto_project(pytester: pytest.Pytester) -> Project:
    return Project(pytester, "auto")
