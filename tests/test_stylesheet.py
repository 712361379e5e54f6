"""The stylesheets of the sign-in site and the emulator: they have what their pages use, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "twilio_oauth_async"
STYLESHEETS = [PACKAGE / "stylesheets" / "pages.css", PACKAGE / "emulator" / "pages" / "overview.css"]
STYLESHEET = re.sub(r"/\*.*?\*/", "", "".join(path.read_text("utf-8") for path in STYLESHEETS), flags=re.DOTALL)
TEMPLATES = [*(PACKAGE / "web" / "templates").glob("*.html"), *(PACKAGE / "emulator" / "pages").glob("*.html")]
STATES = {"approved", "denied", "cancelled", "expired", "failed", "unavailable"}
"""Classes of icons: the states of a sign-in. Some have the colour of `icon`."""


def used_classes() -> set[str]:
    """Return the classes in the templates, as attributes and as arguments of the macro `form`."""
    text = "".join(template.read_text("utf-8") for template in TEMPLATES)
    attributes = re.findall(r'class="([^"{]*)', text)
    return {*" ".join(attributes).split(), *re.findall(r'"(primary|decision)"', text), *STATES}


def test_each_class_has_a_rule_and_each_rule_has_a_class() -> None:
    selectors = re.sub(r"\{[^{}]*\}", " ", STYLESHEET)
    styled = set(re.findall(r"\.([a-z][a-z-]*)", selectors))
    assert used_classes() - STATES == styled - STATES
    assert styled & STATES <= used_classes()


def test_each_variable_is_set_and_used() -> None:
    assert set(re.findall(r"(--[a-z-]+):", STYLESHEET)) == set(re.findall(r"var\((--[a-z-]+)\)", STYLESHEET))


def test_templates_have_no_inline_styles_and_no_inline_scripts() -> None:
    for template in TEMPLATES:
        text = template.read_text("utf-8")
        assert "style=" not in text, template.name
        assert "<style" not in text, template.name
        assert not re.search(r"<script>|<script[^>]*>[^<]| on[a-z]+=", text), template.name
