"""The example of origins and of all kinds of listeners, made as its first lines say."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from edgenode.__main__ import main
from edgenode.config.load import Configuration

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "origins" / "edgenode.ini"
SHOWN = {
    "listener": "protocol tls redirect-to-https proxy-protocol application-protocols default-server-group",
    "path-map": "mirror mirror-share mirror-max-body maintenance maintenance-retry idle-timeout lifetime",
    "origin": "balance hash-key sticky-cookie sticky-keys slow-start eject-errors eject-share health-check resolver "
    "max-requests max-queued queue-timeout retry-budget proxy-protocol base-path host maintenance",
    "health-check": "type path status body service interval timeout rise fall",
}
"""The keys that it is to show, by kind of section."""


@pytest.fixture
def ini(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The example in a folder of its own, with what its first lines make."""
    file = tmp_path / EXAMPLE.relative_to(EXAMPLE.parents[2])
    file.parent.mkdir(parents=True)
    shutil.copy(EXAMPLE, file)
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^#   \$ python (.*)$", file.read_text(), re.MULTILINE):
        if command.startswith("-m edgenode "):
            assert main(shlex.split(command)[2:]) == 0
        else:
            subprocess.run(["sh", "-ec", f"python3 {command}"], check=True)
    capsys.readouterr()
    return str(file.relative_to(tmp_path))


def test_nothing_is_wrong_with_the_example(ini: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what its first lines make it has neither errors nor warnings."""
    assert main(["check", ini]) == 0
    counts = "6 listeners, 5 server groups, 7 path maps, 8 origins, 1 global filter, 0 warnings"
    assert capsys.readouterr() == (f"{ini}: ok, {counts}\n", "")


def test_the_example_has_each_kind_of_listener_and_server(ini: str) -> None:
    """HTTP and streams, with, without and behind TLS; every way to balance; servers of every kind."""
    made = Configuration.load(ini)
    listeners = {(each.protocol, each.tls) for each in made.listeners.values()}
    assert listeners == {
        ("http", "yes"),
        ("http", "no"),
        ("stream", "yes"),
        ("stream", "passthrough"),
        ("stream", "no"),
    }
    origins = made.origins.values()
    assert {each.balance for each in origins} == {"round-robin", "least-requests", "random-two", "hash"}
    assert {each.proxy_protocol for each in origins} == {"off", "v1", "v2"}
    assert {each.type for each in made.health_checks.values()} == {"http", "tcp", "grpc"}


@pytest.mark.parametrize("kind", SHOWN)
def test_the_example_shows_the_keys(kind: str) -> None:
    """Some section of the kind sets each key."""
    sections = re.findall(rf"^\[{kind} [^\n]*\n(.*?)(?=^\[|\Z)", EXAMPLE.read_text(), re.MULTILINE | re.DOTALL)
    keys = {key for each in sections for key in re.findall(r"^([a-z-]+) *=", each, re.MULTILINE)}
    assert set(SHOWN[kind].split()) <= keys
    if kind == "origin":
        assert all(
            re.search(word, EXAMPLE.read_text()) for word in (" weight=2", " backup", " resolve", " service=", "unix:")
        )


def test_explain_tells_all_that_is_set_of_an_origin(ini: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its servers with the words behind them, and every key."""
    assert main(["explain", ini, "--origin", "shop", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["servers"] == [
        "https://10.0.0.11:8443 weight=2", "https://10.0.0.12:8443", "https://10.0.9.1:8443 backup"
    ]  # fmt: skip
    assert {"slow-start": "30s", "retry-budget": "20%", "sticky-cookie": "__Host-shop-server"}.items() <= told[
        "set"
    ].items()
    assert main(["explain", ini, "--origin", "carts"]) == 0
    assert "https://carts.internal:8443 resolve, https://carts.internal service=" in capsys.readouterr().out
