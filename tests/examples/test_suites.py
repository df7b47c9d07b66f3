"""The examples of tests, run by the test frameworks that they are for; and what examples may import."""

from __future__ import annotations

import ast
import importlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.examples.test_examples import ROOT

EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PUBLIC = ("edgenode", "edgenode.testing")


def test_trial_runs_its_example(tmp_path: pathlib.Path) -> None:
    """``python -m twisted.trial``, as its text says; trial fails what leaves anything in the reactor."""
    command = [sys.executable, "-m", "twisted.trial", str(EXAMPLES / "test_with_trial.py")]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "PASSED (successes=4)" in done.stdout


def test_pytest_runs_its_example(tmp_path: pathlib.Path) -> None:
    """``python -m pytest``, as its text says."""
    options = ["-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-W", "error"]
    command = [sys.executable, "-m", "pytest", *options, str(EXAMPLES / "test_with_pytest.py")]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def imported(source: str) -> Iterator[tuple[str, str]]:
    """The names that a program imports from the package, each with its module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edgenode":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "edgenode")


@pytest.mark.parametrize(
    "path", sorted([*EXAMPLES.rglob("*.py"), *EXAMPLES.rglob("*.tac")]), ids=lambda path: path.name
)
def test_examples_import_public_names_alone(path: pathlib.Path) -> None:
    """What is shown to others can be relied on by them."""
    for module, name in imported(path.read_text(encoding="utf-8")):
        assert module in PUBLIC, module
        assert name in (*importlib.import_module(module).__all__, "testing"), name


def test_the_test_sees_other_imports() -> None:
    """However they are written."""
    source = "import edgenode.node.service\ndef f():\n    from edgenode.net import poller"
    assert [*imported(source)] == [("edgenode.node.service", ""), ("edgenode.net", "poller")]
