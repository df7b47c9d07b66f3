"""What strangers write never steers a terminal or forges a line: events and logs are printable ASCII, line by line."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.support.certificates import make_authority
from tests.support.node import PKI, Behaviour, Client, Origin, Refused, answering, connect, get, ini
from tests.support.twistd import twistd

EVIL = '\n{"status":200}\r\n\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\u2028\x00\x7f"\\é'
"""A line of its own, escape sequences that clear a screen and name a window, text from right to left, NUL, quotes."""

SAFE = re.compile(r"(?:[ -~]|\n\t?)*")
"""Printable ASCII; in a log a line that goes on begins with a tab, as Twisted writes it."""


def raw(text: str) -> bytes:
    """A text on the wire."""
    return text.encode("utf-8")


ONE_LINE = EVIL.replace("\n", "").replace("\r", "").replace("\x00", "")

REQUESTS = {
    "target": raw(f"GET /{EVIL} HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    "8-bit target": raw(f"GET /{ONE_LINE.replace(' ', '')} HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    "encoded target": b"GET /%0a%1b[2J%00%e2%80%ae?%0d%0a HTTP/1.1\r\nHost: open.test\r\n\r\n",
    "method": raw(f"G{ONE_LINE} / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    "host": raw(f"GET / HTTP/1.1\r\nHost: {ONE_LINE}\r\n\r\n"),
    "field name": raw(f"GET / HTTP/1.1\r\nHost: open.test\r\nX{ONE_LINE}: 1\r\n\r\n"),
    "field value": raw(f"GET / HTTP/1.1\r\nHost: open.test\r\nX: {EVIL}\r\n\r\n"),
    "user agent": raw(f"GET / HTTP/1.1\r\nHost: open.test\r\nUser-Agent: {ONE_LINE}\r\n\r\n"),
    "version": raw(f"GET / HTTP/{ONE_LINE}\r\nHost: open.test\r\n\r\n"),
    "length": raw(f"GET / HTTP/1.1\r\nHost: open.test\r\nContent-Length: {ONE_LINE}\r\n\r\n"),
    "chunk": raw(f"POST / HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n{ONE_LINE}\r\n"),
    "forwarded": raw(f'GET / HTTP/1.1\r\nHost: open.test\r\nForwarded: for="{ONE_LINE}"\r\n\r\n'),
    "allowed in a target": b"GET /%1b%5b2J?a=%e2%80%ae%c2%9b&b=\\\"' HTTP/1.1\r\nHost: open.test\r\n\r\n",
    "allowed in a value": raw("GET / HTTP/1.1\r\nHost: open.test\r\nUser-Agent: \x9b31m\u202e\"\\é\r\n\r\n"),
}  # fmt: skip
"""Requests that say it in each place."""

ANSWERS: dict[str, Behaviour] = {
    "status": answering(raw(f"HTTP/1.1 {ONE_LINE}\r\nContent-Length: 0\r\n\r\n")),
    "reason": answering(raw(f"HTTP/1.1 200 {ONE_LINE}\r\nContent-Length: 0\r\n\r\n")),
    "field name": answering(raw(f"HTTP/1.1 200 OK\r\nX{ONE_LINE}: 1\r\nContent-Length: 0\r\n\r\n")),
    "field value": answering(raw(f"HTTP/1.1 200 OK\r\nX: {ONE_LINE}\r\nContent-Length: 0\r\n\r\n")),
    "length": answering(raw(f"HTTP/1.1 200 OK\r\nContent-Length: {ONE_LINE}\r\n\r\n")),
    "no HTTP": answering(raw(EVIL)),
}
"""Origins that do."""


Visit = Callable[[int, Origin], None]


def told(pki: PKI, folder: pathlib.Path, visit: Visit) -> list[dict[str, Any]]:
    """Run a node for a visit. All that it writes must be safe, and each line of its events an event.

    :param visit: gets the node's port, and its origin.
    :return: the events.
    """
    with Origin(pki) as origin:
        file = pki.folder / f"{folder.name}.ini"
        file.write_text(ini(origin.port, {"edge": {"events": str(folder / "events")}}))
        with twistd(file) as node:
            visit(node.port, origin)
    events = (folder / "events").read_bytes().decode("latin-1")
    assert SAFE.fullmatch(node.log), ascii(node.log)
    assert SAFE.fullmatch(events), ascii(events)
    return [json.loads(line) for line in events.splitlines()]


def test_a_request_forges_no_line(pki: PKI, tmp_path: pathlib.Path) -> None:
    """Wherever in a request it is said, there is one event for it, and all is escaped."""

    def visit(port: int, origin: Origin) -> None:
        for request in REQUESTS.values():
            with Client(port) as client:
                client.ask(request)

    events = told(pki, tmp_path, visit)
    assert len(events) == len(REQUESTS)
    assert {event["status"] for event in events} == {200, 400}


def test_an_origin_forges_no_line(pki: PKI, tmp_path: pathlib.Path) -> None:
    """The same for whatever an origin answers."""

    def visit(port: int, origin: Origin) -> None:
        for behaviour in ANSWERS.values():
            origin.behaviour = behaviour
            with Client(port) as client:
                client.ask(get())

    assert len(told(pki, tmp_path, visit)) == len(ANSWERS)


@pytest.mark.parametrize("good", [True, False], ids=["trusted", "stranger"])
def test_a_certificate_forges_no_line(pki: PKI, tmp_path: pathlib.Path, good: bool) -> None:
    """The same for the names in a client's certificate, be it good or refused."""
    ascii_evil = EVIL.encode("ascii", "ignore").decode()
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"https://x/{ascii_evil}")])
    issuer = pki.clients if good else make_authority(EVIL)
    chain = [issuer.issue(EVIL, extensions=[names])]

    def visit(port: int, origin: Origin) -> None:
        for name in ("strict.test", "lenient.test"):
            with Client(port, name, chain=chain) as client:
                client.ask(get(host=name))

    strict, lenient = told(pki, tmp_path, visit)
    assert (strict["status"], lenient["status"]) == (200 if good else 400, 200)
    for event in (strict, lenient):
        assert '\\0A{\\"status\\":200}\\0D\\0A\\1B[2J' in event["certificate"]["subject"]


def test_a_hello_forges_no_line(pki: PKI, tmp_path: pathlib.Path) -> None:
    """The same for a server name, and for what is no TLS at all."""

    def visit(port: int, origin: Origin) -> None:
        for name in ("x\x1b[2J", "x\n{}", 'x"', "é"):
            with pytest.raises(Refused):
                Client(port, name)
        for data in (raw(EVIL), raw(f"GET /{EVIL}\r\n\r\n"), b"\x16\x03\x01\x00\x20" + raw(EVIL)):
            with connect(port) as sock:
                sock.sendall(data)
                while sock.recv(65536):
                    pass

    told(pki, tmp_path, visit)


def test_a_configuration_forges_no_line(pki: PKI) -> None:
    """A problem quotes no control character, wherever in the file it stands."""
    for line in (f"x = {ONE_LINE}", f"{ONE_LINE} = x", f"[{ONE_LINE}]", f"[origin {ONE_LINE}]"):
        with pytest.raises(ConfigurationError) as raised:
            Configuration.from_text(f"{ini(1)}\n{line}\n", pki.folder, {})
        assert all(character.isprintable() or character in "\n" for character in str(raised.value)), raised.value


def test_a_certificate_of_ours_forges_no_line(pki: PKI) -> None:
    """A problem that names a certificate says its names in printable characters."""
    pki.servers.issue(EVIL).write(pki.folder, "evil")
    text = ini(1, {"certificate edge": {"chain": "evil.pem"}})
    with pytest.raises(ConfigurationError) as raised:
        Configuration.from_text(text, pki.folder, {})
    (line,) = str(raised.value).splitlines()
    assert line.isprintable()
    assert "\\x9b31m\\u202e\\u2028" in line
