"""Sphinx: reStructuredText, Markdown for security.md; references are made from the schemas as the pages are read."""

from __future__ import annotations

import configparser
import pathlib
import re
import sys

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import GenericObject

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

_setup = configparser.ConfigParser(interpolation=None)
_setup.read(ROOT / "setup.cfg", encoding="utf-8")

extensions = ["myst_parser"]
project = "edgenode"
author = "the edgenode authors"
release = version = _setup["metadata"]["version"]
html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["edgenode.css"]
html_copy_source = False
_muted = {"color-api-pre-name": "var(--color-foreground-muted)"}
html_theme_options = {"light_css_variables": _muted, "dark_css_variables": _muted}
html_show_copyright = False
exclude_patterns = ["_build"]
nitpicky = True
primary_domain = None  # "function" is ours, and none of Python's

OBJECTS = {
    "key": "key",
    "category": "category of rules",
    "field": "field of expressions",
    "function": "function of expressions",
    "event-field": "field of events",
    "recorded-field": "field of expressions on events",
}
"""What is defined one by one: the names of the directives, and what the index and the search call each."""

_SIGNATURE = re.compile(r"(\[[^]]+\] )?([^ (]+)( ?\(.*)?")


def _write_reference(app: Sphinx, page: str, source: list[str]) -> None:
    """Write the references that are made of schemas, so that no copy can grow old."""
    if page == "configuration":
        from edgenode.config.reference import reference

        source[0] = reference()
    if page == "content-filter":
        from edgenode.config.seclang_reference import excludable
        from edgenode.config.seclang_reference import reference as words_of_rules

        source[0] = source[0].replace("|excludable|", excludable()) + words_of_rules()
    if page == "builtin-rules":
        from edgenode.config.builtin_reference import reference as builtin_rules

        source[0] += builtin_rules()
    if page == "exporters":
        from edgenode.config.reference import table_of_words
        from edgenode.observe.exporters.exporter import Exporter

        source[0] += f"\n{table_of_words(Exporter)}"
    if page == "events":
        from edgenode.observe.event_fields import reference as fields_of_events
        from edgenode.observe.state_events import reference as fields_of_state_events

        exchanges, of_state, rest = source[0].partition("Events of the state\n")
        source[0] = f"{exchanges}{fields_of_events()}\n{of_state}{rest}\n{fields_of_state_events()}"
    if page == "observing":
        from edgenode.observe.metrics.families import reference as metrics

        source[0] += metrics()
    if page == "status":
        from edgenode.observe.status_reference import reference as fields_of_status

        source[0] += fields_of_status()
    if page == "journal":
        from edgenode.observe.journal.columns import reference as columns

        before, mark, rest = source[0].partition("Other engines\n")
        source[0] = f"{before}{columns()}\n\n{mark}{rest}"


class Named(GenericObject):
    """The definition of a key, a field or a function: an anchor, an entry of the index, and one of the search."""

    def handle_signature(self, sig: str, signode: addnodes.desc_signature) -> str:
        """``[edge] events``, ``http.host``, ``lower(Bytes)``: the name is what the definition is found by."""
        before, name, behind = _SIGNATURE.fullmatch(sig).groups("")
        signode += addnodes.desc_addname(before, before)
        signode += addnodes.desc_name(name, name)
        if behind:
            signode += addnodes.desc_addname(behind, behind)
        return before + name + (behind if behind.startswith(" ") else "")  # of a key, the words that have it

    def add_target_and_index(self, name: str, sig: str, signode: addnodes.desc_signature) -> None:
        """In the index a key stands under its own name, and not under its section's."""
        super().add_target_and_index(name, sig, signode)
        before, word, _ = _SIGNATURE.fullmatch(name).groups("")
        entry = f"{word} ({before}{OBJECTS[self.objtype]})"
        self.indexnode["entries"].append(("single", entry, signode["ids"][0], "", None))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _write_reference)
    # The files of these do not tell of a change.
    generated = ["configuration", "content-filter", "events", "exporters", "observing", "status"]
    app.connect("env-get-outdated", lambda *_: generated)
    for name, described in OBJECTS.items():
        app.add_object_type(name, name, objname=described)
        app.add_directive_to_domain("std", name, Named, override=True)
        app.registry.domain_object_types["std"][name].attrs["searchprio"] = 0  # found before pages that mention it
