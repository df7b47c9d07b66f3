"""docs/security.md: each promise names its tests, and each of these tests is there."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

TESTS = pathlib.Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def promises() -> list[str]:
    """The promises, each with the names of its tests."""
    text = PAGE.partition("\n## Promises\n")[2].partition("\n## Limits of the promises\n")[0]
    return [" ".join(item.split()) for item in re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)]


def functions_of(file: str) -> set[str]:
    """The tests that a module has."""
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("promise", promises())
def test_a_promise_is_held_by_tests(promise: str) -> None:
    """It names at least one test, and all that it names exist."""
    named = NAMED.findall(promise)
    assert named, promise
    for file, test in named:
        assert (TESTS / file).is_file(), file
        assert test in functions_of(file), f"{file}::{test}"


def test_there_are_promises() -> None:
    """They are found, none is given twice, and every test that is named stands in one of them."""
    found = promises()
    assert len(found) > 30
    assert len(set(found)) == len(found)
    assert sum(len(NAMED.findall(promise)) for promise in found) == PAGE.count(".py::test_")
