"""What ``explain`` says of streams, on the configuration of the page on them."""

from __future__ import annotations

import argparse
import json
import pathlib

import pytest

from edgenode.commands import explain
from tests.support.certificates import SERVER, make_authority, write_pem

INI = pathlib.Path(__file__).parents[2] / "examples" / "streams" / "streams.ini"

PLAIN = """
[listener plain]
endpoint      = tcp:8885:interface=127.0.0.1
protocol      = stream
tls           = no
server-groups = plain

[server-group plain]
security-policy = redis
"""
"""A listener without TLS, besides."""


@pytest.fixture(scope="module")
def ini(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The example, with certificates."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / INI.name).write_text(INI.read_text() + PLAIN)
    (folder / "pki").mkdir()
    authority = make_authority("Example CA")
    write_pem(folder / "pki" / "ca.pem", [authority])
    authority.issue("edge", eku=[SERVER], sans=["DNS:mqtt.example.com"]).write(folder / "pki", "edge")
    for name in ("edge-client", "sensor"):
        authority.issue(name).write(folder / "pki", name)
    return folder / INI.name


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("https://mqtt.example.com --cert pki/sensor.pem --expect forward", 0, ("mqtt", None)),
        ("https://mqtt.example.com --expect forward", 4, (None, 496)),
        ("https://mqtt.example.com --cert pki/sensor.pem --from 203.0.113.5 --expect block", 0, ("mqtt", None)),
        ("https://db.example.com --listener passthrough --alpn postgresql --expect forward", 0, ("postgresql", None)),
        ("https://db.example.com --listener passthrough --alpn h2", 0, (None, 404)),
        ("https://other.example.com --listener passthrough --no-sni", 0, ("ssh", None)),
        ("http://anything.example.com --listener plain --expect forward", 0, ("redis", None)),
        ("https://mqtt.example.com --cert pki/sensor.pem --repeat 21 --expect block", 0, ("mqtt", None)),
    ],
)
def test_a_stream_is_judged_by_its_connection(
    ini: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    status: int,
    said: tuple[str | None, int | None],
) -> None:
    """Certificate, address, name and ALPN choose and judge; a limit counts a stream as a request."""
    monkeypatch.chdir(ini.parent)
    parser = argparse.ArgumentParser()
    explain.declare(parser)
    assert explain.main(parser.parse_args([ini.name, *arguments.split(), "--json"])) == status
    told = json.loads(capsys.readouterr().out)
    assert "request" not in told
    assert (told["route"]["path_map"], told.get("refusal", {}).get("status")) == said
    assert told["outcome"]["kind"] == ("close" if said[1] or "block" in arguments else "forward")
