"""The words of SecLang for the page on content filters, in reStructuredText.

Law: what the page says of a word is what the parser does with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edgenode.policy.contentfilter import names
from edgenode.policy.contentfilter.exclusions import EXCLUDABLE


def reference() -> str:
    """Tables of directives, variables, operators, transformations, actions and controls."""
    done = [each for each in names.OPERATORS.values() if not each.unsupported]
    undone = {f"@{each.name}": each.unsupported for each in names.OPERATORS.values() if each.unsupported}
    undone |= {**names.UNSUPPORTED_ACTIONS, **names.UNREADABLE}
    lines = [
        *_paragraph("Directives", "", (*names.RULES, *names.CHANGES, *names.INCLUDES)),
        *_paragraph("Variables with members", "", names.WITH_MEMBERS - names.UNREADABLE.keys()),
        *_paragraph("Variables without", "", names.WITHOUT_MEMBERS - names.UNREADABLE.keys()),
        *_paragraph("Operators", "@", {each.name for each in done}),
        *_paragraph("Transformations", "t:", {*names.TRANSFORMATIONS.values()}),
        *_paragraph("Actions", "", {*names.ACTIONS.values()} - {*names.UNSUPPORTED_ACTIONS} - {*names.HARMLESS}),
        *_paragraph("Actions that may stand there and say nothing here", "", names.HARMLESS),
        *_paragraph("Controls", "ctl:", names.CONTROLS.values()),
        *_table("Directives that may stand there and say nothing here", names.WITHOUT_EFFECT),
        *_table("Directives that are refused", names.REFUSED),
        *_table("Operators, actions and variables that cannot be done", undone),
    ]
    return "\n".join(lines)


def excludable() -> str:
    """What exclusions can name."""
    words = ", ".join(f"``{word}``" for word in EXCLUDABLE)
    return f"What can stand behind the rules: {words}."


def _paragraph(title: str, before: str, words: Iterable[str]) -> Iterator[str]:
    listed = ", ".join(f"``{before}{word}``" for word in sorted(words, key=str.lower))
    yield from (f"**{title}**: {listed}.", "")


def _table(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield from (f".. list-table:: {title}", "   :header-rows: 1", "   :widths: 35 65", "")
    yield from ("   * - Word", "     - Instead, or why")
    for word, sentence in sorted(rows.items(), key=lambda row: row[0].lower()):
        yield from (f"   * - ``{word}``", f"     - {sentence[0].upper()}{sentence[1:]}.")
    yield ""
