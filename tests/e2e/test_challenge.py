"""Challenges through a node: solved by Chromium, refused to curl, and a solution is of no use to anybody else."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import pytest

from edgenode.policy.challenge_tokens import Tokens
from tests.support.challenges import NAME, solved
from tests.support.node import PATIENCE, PKI, Answer, Changes, Node, Origin, Served, in_thread, started, until
from tests.support.waiting import wait_for

AGENT = "Mozilla/5.0 (X11; Linux x86_64) test"
FORM = b"<!doctype html><title>form</title><form method=post action=/send><input name=a><button>go</button></form>"
PAGE = b"<!doctype html><title>reached</title><p>reached"
KEYS = ("k" * 40, "l" * 40, "m" * 40)
CHALLENGED: Changes = {
    "edge": {"trusted-proxies": "127.0.0.2", "event-headers": "cookie"},
    "challenge": {"difficulty": "8"},
    "global-filter asks": {"action": "challenge", "path": "^/"},
}


def site(served: Served) -> None:
    """An origin with a form, and a page behind it."""
    while (request := served.request()) is not None:
        page = FORM if request.startswith(b"GET /form") else PAGE
        served.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))


def keys(pki: PKI, *secrets: str) -> str:
    """A file of secrets."""
    path = pki.folder / "challenge.keys"
    path.write_text("".join(f"{secret}\n" for secret in secrets))
    path.chmod(0o600)
    return str(path)


def with_keys(pki: PKI, *secrets: str) -> Changes:
    """A node that is given its keys, and sees soon if they change."""
    return {
        **CHALLENGED,
        "edge": {**CHALLENGED["edge"], "watch-interval": "20ms"},
        "challenge": {**CHALLENGED["challenge"], "keys": keys(pki, *secrets)},
    }


async def ask(
    node: Node,
    cookie: str = "",
    *,
    agent: str = AGENT,
    host: str = "open.test",
    client: str = "",
    first: str = "GET / HTTP/1.1",
    accept: str = "text/html",
) -> Answer:
    """What a request on a connection of its own is answered.

    :param client: its address, as the trusted proxy reports it that it then comes from.
    """
    lines = [first, f"Host: {host}", f"User-Agent: {agent}", f"Accept: {accept}"]
    lines += [f"Cookie: {cookie}"] if cookie else []
    lines += [f"X-Forwarded-For: {client}"] if client else []

    def talk() -> Answer:
        with node.client(host, source="127.0.0.2" if client else "127.0.0.1") as speaking:
            return speaking.ask("\r\n".join([*lines, "", ""]).encode())

    answer: Answer = await in_thread(talk)
    return answer


async def pays(node: Node, **options: str) -> str:
    """The cookie of who does the work."""
    answer = await ask(node, **options)
    assert answer.status == 403
    return solved(answer.body)


async def test_who_does_the_work_is_let_through(pki: PKI, origin: Origin) -> None:
    """With its own agent, on its own host, from its own network; and the event says human."""
    async with started(pki, origin, CHALLENGED) as node:
        cookie = await pays(node)
        assert (await ask(node, f"a=b; {cookie}")).status == 200
        (bot, human) = await node.events.take(2)
    assert (bot["status"], bot["action"], bot["origin"]) == (403, "challenge", None)
    assert ("bot" in bot["tags"], "human" in bot["tags"]) == (True, False)
    assert (human["status"], human["action"]) == (200, "challenge")
    assert ("bot" in human["tags"], "human" in human["tags"]) == (False, True)
    assert [why["annotation"] for why in human["reasons"] if why["action"]] == [
        "passed, for the client has solved a challenge"
    ]
    assert len(origin.requests) == 1


async def test_a_solution_is_of_no_use_to_others(pki: PKI, origin: Origin) -> None:
    """Another agent, another host of the same node, another network behind the same proxy; and that says why."""
    async with started(pki, origin, CHALLENGED) as node:
        cookie = await pays(node, client="198.51.100.7")
        assert (await ask(node, cookie, client="198.51.100.99")).status == 200
        refused = [
            await ask(node, cookie, client="203.0.113.7"),
            await ask(node, cookie),
            await ask(node, cookie, client="198.51.100.7", agent="Mozilla/5.0"),
            await ask(node, cookie, client="198.51.100.7", host="other.test"),
        ]
        told = (await node.events.take(6))[2:]
    assert [answer.status for answer in refused] == [403] * 4
    assert len(origin.requests) == 1
    for event in told:
        assert "bot" in event["tags"]
        assert [why["entry"] for why in event["reasons"] if why["stage"] == "challenge"] == [
            "cookie: issued to another network, agent or host"
        ]


async def test_no_request_says_itself_that_it_is_human(pki: PKI, origin: Origin) -> None:
    """A tag is nothing that a client can send."""
    async with started(pki, origin, CHALLENGED) as node:
        for cookie in ("human", "human=1", f"{NAME}=human", f"{NAME}=1.1.1.1.human"):
            assert (await ask(node, cookie)).status == 403
    assert origin.requests == []


async def test_a_harder_challenge_is_asked_for_at_once(pki: PKI, origin: Origin) -> None:
    """What was solved before a reload is good after it, unless more is asked for now."""
    harder = {**CHALLENGED, "challenge": {"difficulty": "9"}}
    easier = {**CHALLENGED, "challenge": {"difficulty": "8", "lifetime": "2h"}}
    async with started(pki, origin, CHALLENGED) as node:
        cookie = await pays(node)
        await node.reload(origin, easier)
        assert (await ask(node, cookie)).status == 200
        await node.reload(origin, harder)
        assert (await ask(node, cookie)).status == 403
        assert (await ask(node, await pays(node))).status == 200


async def test_nodes_with_the_same_keys_accept_each_others(pki: PKI, origin: Origin) -> None:
    """And without the same keys they do not."""
    changes = with_keys(pki, KEYS[0])
    strange = {**CHALLENGED, "challenge": {**changes["challenge"], "keys": None}}
    async with started(pki, origin, changes) as one, started(pki, origin, changes) as two:
        assert (await ask(two, await pays(one))).status == 200
        async with started(pki, origin, strange) as three:
            assert (await ask(three, await pays(one))).status == 403
            assert (await ask(one, await pays(three))).status == 403


async def test_keys_change_while_a_node_runs(pki: PKI, origin: Origin) -> None:
    """An old key is accepted as long as it stands there, and a file that cannot be used leaves the old ones in use."""
    async with started(pki, origin, with_keys(pki, KEYS[0])) as node:
        running = node.service

        async def becomes(*secrets: str) -> None:
            before = running.configuration.rules
            keys(pki, *secrets)
            await until(lambda: running.configuration.rules is not before)

        old = await pays(node)
        await becomes(KEYS[1], KEYS[0])
        assert (await ask(node, old)).status == 200
        new = await pays(node)
        assert new.split(".")[1] != old.split(".")[1]
        await becomes(KEYS[1])
        assert (await ask(node, old)).status == 403
        assert (await ask(node, new)).status == 200
        keys(pki, "short")
        await until(lambda: "challenge" in running.configuration.changed())
        for _ in range(4):
            assert (await ask(node, new)).status == 200


async def test_what_would_be_challenged_passes_where_nothing_is_refused(pki: PKI, origin: Origin) -> None:
    """As any other action."""
    monitoring = {**CHALLENGED, "path-map all": {"mode": "monitoring"}}
    async with started(pki, origin, monitoring) as node:
        assert (await ask(node)).status == 200
        (event,) = await node.events.take()
    assert (event["action"], event["mode"]) == ("challenge", "monitoring")
    assert "bot" in event["tags"]


async def test_others_than_browsers_are_told_what_is_missing(pki: PKI, origin: Origin) -> None:
    """A preflight, a handshake of a WebSocket, a script: each gets a refusal that it understands."""
    upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    handshake = f"{upgrade}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    preflight = "OPTIONS / HTTP/1.1\r\nOrigin: https://x.test\r\nAccess-Control-Request-Method: PUT"
    async with started(pki, origin, CHALLENGED) as node:
        for first, accept in (("GET / HTTP/1.1", "*/*"), (handshake, "*/*"), (preflight, "*/*")):
            answer = await ask(node, first=first, accept=accept)
            assert answer.status == 403
            assert answer.fields("content-type") == [b"application/problem+json"]
            assert json.loads(answer.body)["cookie"] == NAME
        head = await ask(node, first="HEAD / HTTP/1.1", accept="*/*")
        assert (head.status, head.body) == (403, b"")
    assert origin.requests == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
async def test_curl_is_refused(pki: PKI, origin: Origin) -> None:
    """Also if it says that it is a browser, and keeps cookies."""
    async with started(pki, origin, CHALLENGED) as node:
        base = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", "--resolve"]
        base += [f"open.test:{node.port}:127.0.0.1", f"https://open.test:{node.port}/"]
        browser = ["-A", AGENT, "-H", "Accept: text/html", "-c", str(pki.folder / "jar"), "-b", str(pki.folder / "jar")]
        run = subprocess.run
        plain = await in_thread(run, base, capture_output=True, text=True, check=True)
        assert plain.stdout == "403 application/problem+json"
        for _ in range(2):
            claims = await in_thread(run, [*base, *browser], capture_output=True, text=True, check=True)
            assert claims.stdout == "403 text/html; charset=utf-8"
    assert origin.requests == []


@contextlib.asynccontextmanager
async def chromium(node: Node, folder: pathlib.Path, path: str = "/page?a=b") -> AsyncIterator[None]:
    """A Chromium that loads a page of a node, until something is seen of it there."""
    command = (
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
        f"--user-data-dir={folder}", f"--host-resolver-rules=MAP open.test 127.0.0.1:{node.port}",
        f"https://open.test{path}",
    )  # fmt: skip
    quiet = subprocess.DEVNULL
    browser = subprocess.Popen(command, process_group=0, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        await in_thread(browser.wait)


class Tab:
    """The page that a Chromium shows.

    :param socket: a WebSocket to its DevTools.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    @classmethod
    @contextlib.contextmanager
    def of(cls, folder: pathlib.Path) -> Iterator[Self]:
        """That of the browser with this folder, where it writes on which port it listens."""
        told = folder / "DevToolsActivePort"
        wait_for(lambda: told.exists() and "\n" in told.read_text(), "the browser has started", PATIENCE)
        pages: list[dict[str, Any]] = []
        while not pages:
            with urllib.request.urlopen(f"http://127.0.0.1:{told.read_text().splitlines()[0]}/json") as answer:
                pages = [each for each in json.load(answer) if each["type"] == "page"]
        with pytest.importorskip("websockets.sync.client").connect(pages[0]["webSocketDebuggerUrl"]) as socket:
            yield cls(socket)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        self._socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression}}))
        return json.loads(self._socket.recv(PATIENCE))["result"]["result"].get("value")

    def becomes(self, expression: str, value: object) -> None:
        """Wait until the value of an expression is that."""
        wait_for(lambda: self.ask(expression) == value, f"{expression} is {value}", PATIENCE)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
async def test_a_form_is_sent_again_by_whoever_filled_it_in(pki: PKI, tmp_path: pathlib.Path) -> None:
    """The page says that it has not been passed on, and leads back to it, where it stands as it was filled in."""

    def fill_in(folder: pathlib.Path) -> str:
        with Tab.of(folder) as tab:
            tab.becomes("document.title", "form")
            tab.becomes("document.readyState", "complete")  # of a page that is left before nothing is put back
            tab.ask("document.querySelector('input').value = 'typed'; document.querySelector('button').click()")
            tab.becomes("document.querySelector('button').textContent", "Go back")
            said = tab.ask("document.getElementById('status').textContent")
            tab.ask("document.querySelector('button').click()")
            tab.becomes("document.title", "form")
            tab.becomes("document.querySelector('input').value", "typed")  # put back once the page has been read
            tab.ask("document.querySelector('button').click()")
            tab.becomes("document.title", "reached")
        return str(said)

    asks = {**CHALLENGED, "global-filter asks": {"action": "challenge", "path": "^/send"}}
    with Origin(pki, site) as origin:
        async with started(pki, origin, asks) as node, chromium(node, tmp_path, "/form"):
            said = await in_thread(fill_in, tmp_path)
    assert "has not been passed on yet" in said
    (sent,) = [request for request in origin.requests if request.startswith(b"POST")]
    assert sent.endswith(b"\r\n\r\na=typed")


def loads(node: Node) -> list[dict[str, Any]]:
    """The events of a page that a browser has loaded, and not of its icon."""
    return [event for event in node.events.told if (event["request"] or {}).get("target") == "/page?a=b"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
@pytest.mark.parametrize("protocols", ["h2, http/1.1", "http/1.1"])
async def test_chromium_solves_it_and_reaches_the_origin(pki: PKI, protocols: str, tmp_path: pathlib.Path) -> None:
    """At the default difficulty, by itself: the page is asked for once again, with a cookie.

    How long that takes is a question of how much it computes: 2 to the power of 18 hashes on average, of which a core
    of a computer does a million a second.
    """
    changes = {**CHALLENGED, "challenge": {}, "listener public": {"protocols": protocols}}
    with Origin(pki, site) as origin:
        async with started(pki, origin, changes) as node:
            async with chromium(node, tmp_path):
                await until(lambda: any(event["status"] == 200 for event in loads(node)))
            challenged, reached = loads(node)
    assert (challenged["status"], "bot" in challenged["tags"]) == (403, True)
    assert (reached["status"], "human" in reached["tags"]) == (200, True)
    assert challenged["bytes"]["sent"] < 20_000
    (cookie,) = reached["request"]["headers"]["cookie"]
    assert cookie.startswith(f"{NAME}=1.")
    assert cookie.split(".")[3] == "18"
    assert origin.requests[0].startswith(b"GET /page?a=b HTTP/1.1\r\n")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
async def test_chromium_does_not_go_on_for_ever(
    pki: PKI, origin: Origin, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no solution is accepted, as when its address changes each time, it stops after a few."""
    monkeypatch.setattr(Tokens, "fault", lambda *_: "refused")
    async with started(pki, origin, CHALLENGED) as node:
        async with chromium(node, tmp_path):
            await until(lambda: len(loads(node)) == 4)
            await in_thread(time.sleep, 1.0)  # that nothing comes can be seen in no other way
        assert len(loads(node)) == 4
