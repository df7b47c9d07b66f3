"""``edgenode completion``: what makes bash, zsh or fish complete commands, options and files, made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

from edgenode.commands.reference import names
from edgenode.commands.tree import tree

_VALUES = {"FILE": shtab.FILE, "EVENTS": shtab.FILE, "OTHER": shtab.FILE, "RULES": shtab.FILE, "DIR": shtab.DIRECTORY}
"""How a value is completed, by what it is called."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = """\
Print a script with which a shell completes commands, options and files.

in ~/.bashrc:                    eval "$(edgenode completion bash)"

in ~/.zshrc, behind compinit:    eval "$(edgenode completion zsh)"

in ~/.config/fish/config.fish:   edgenode completion fish | source"""


def main(options: argparse.Namespace) -> int:
    """Print the script of a shell: 0."""
    whole = tree()
    for action in _actions(whole):
        if action.metavar in _VALUES:
            action.complete = _VALUES[action.metavar]  # type: ignore[attr-defined]
        elif action.metavar == "KEY":
            action.choices = sorted(set(names()))
    print(shtab.complete(whole, options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _actions(command)
