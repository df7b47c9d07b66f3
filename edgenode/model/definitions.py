"""One definition of a reference, as reStructuredText with a directive of ``docs/conf.py``."""

from __future__ import annotations


def described(directive: str, name: str, help: str, **facts: str) -> str:
    """A definition: what is defined, short facts about it, and what it means.

    :param facts: those that are empty are left out.
    """
    lines = [f":{fact}: {value}" for fact, value in facts.items() if value]
    return "\n".join([f".. {directive}:: {name}", "", *(f"   {line}" for line in lines), "", f"   {help}", ""])
