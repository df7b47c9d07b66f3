"""Sphinx: reStructuredText, Markdown for security.md; references are made from the schemas as the pages are read."""

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
    """Write the references of the configuration and of events from their schemas, so that no copy can grow old."""
    if page == "configuration":
        from edgenode.config.reference import reference

        source[0] = reference()
    if page == "events":
        from edgenode.node.event_fields import reference as fields_of_events

        source[0] += fields_of_events()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _write_reference)
