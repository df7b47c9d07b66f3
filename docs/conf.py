"""Sphinx: reStructuredText, Markdown for security.md; the reference is made from the schema as the pages are read."""

from __future__ import annotations

import configparser
import pathlib
import sys

from sphinx.application import Sphinx

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

_setup = configparser.ConfigParser(interpolation=None)
_setup.read(ROOT / "setup.cfg", encoding="utf-8")

extensions = ["myst_parser"]
project = "edgenode"
author = "the edgenode authors"
release = version = _setup["metadata"]["version"]
html_theme = "alabaster"
html_theme_options = {"description": _setup["metadata"]["description"], "fixed_sidebar": True}
html_show_copyright = False
exclude_patterns = ["_build"]
nitpicky = True


def _write_reference(app: Sphinx, page: str, source: list[str]) -> None:
    """Write the configuration reference from the schema, so that no copy of it can grow old."""
    if page == "configuration":
        from edgenode.config.reference import reference

        source[0] = reference()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _write_reference)
