"""Settings of Sphinx for the documentation: nox -s docs."""

from __future__ import annotations

import importlib.metadata

project = "twilio-oauth-async"
copyright = "the twilio-oauth-async developers"  # noqa: A001 - a name of Sphinx
release = version = importlib.metadata.version("twilio-oauth-async")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx.ext.graphviz"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

graphviz_output_format = "svg"

default_role = "py:obj"  # a name in single backticks of a docstring is a link if it is documented
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
nitpicky = False

html_theme = "furo"
html_title = "twilio-oauth-async"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path: list[str] = []
html_show_copyright = False
html_copy_source = False
