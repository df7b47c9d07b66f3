"""The examples of exporters: each is right as it stands, and the receiver believes only who knows its secret."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import shlex
import shutil
import time
from types import ModuleType

import pytest

from edgenode.__main__ import main
from edgenode.observe.exporters.types import TYPES
from edgenode.observe.exporters.webhook import signature
from tests.examples.test_examples import ROOT

FOLDER = ROOT / "examples" / "observe"
MADE = re.compile(r"^#   \$ (.*)$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A clone with nothing but the examples, in which one stands."""
    shutil.copytree(
        FOLDER, tmp_path / "examples" / "observe", ignore=shutil.ignore_patterns("pki", "journal", "*.jsonl")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["exporters.ini", "webhook.ini"])
def test_an_example_is_right(
    folder: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what its first lines make, and the variables that they name, it has neither errors nor warnings."""
    text = (FOLDER / name).read_text()
    for line in MADE.findall(text):
        words = shlex.split(line)
        if words[0] == "mkdir":
            pathlib.Path(words[-1]).mkdir()
        else:
            assert words[:3] == ["python", "-m", "edgenode"]
            assert main(words[3:]) == 0
    head = text.partition("\n[")[0]
    for variable in re.findall(r"\$\{(\w+)\}", text.partition("\n[")[2]):
        if variable not in ("NAME",):
            assert variable in head
            monkeypatch.setenv(variable, "x")
    capsys.readouterr()
    assert main(["check", f"examples/observe/{name}"]) == 0
    assert ", 0 warnings" in capsys.readouterr().out


def test_every_type_has_an_example() -> None:
    """One exporter each."""
    found = re.findall(r"^type +[=] (\S+)$", (FOLDER / "exporters.ini").read_text(), re.MULTILINE)
    assert sorted(found) == sorted(TYPES)


@pytest.fixture
def receiver() -> ModuleType:
    """The receiver of webhooks as a module."""
    spec = importlib.util.spec_from_file_location("webhook_site", FOLDER / "webhook_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_receiver_believes_who_knows_the_secret(receiver: ModuleType) -> None:
    """And nobody who does not, has changed something, or has heard it some time ago."""
    now, secret, body = time.time(), receiver.SECRET, b'{"a":1}\n'
    assert receiver.genuine(signature(secret, body, now), body)
    assert not receiver.genuine(signature(b"guessed", body, now), body)
    assert not receiver.genuine(signature(secret, body, now), body + b"x")
    assert not receiver.genuine(signature(secret, body, now - 2 * receiver.PATIENCE), body)
    for odd in ("", "t=", "v1=", "t=1,v1=", "t=x,v1=y", f"t={int(now)}", "=,=,="):
        assert not receiver.genuine(odd, body)
