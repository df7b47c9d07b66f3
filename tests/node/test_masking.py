"""Secrets in every place of a request, and everything that comes out of a node."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from edgenode.__main__ import main
from edgenode.config.load import Configuration
from edgenode.model.interfaces import Record
from edgenode.node.quarantine_orders import obey
from edgenode.observe.access_log import FORMATS
from edgenode.observe.event_text import in_full, text_line
from edgenode.observe.traces.spans import SpanWriter
from edgenode.simulation.explain_event import present_verdict
from edgenode.simulation.replay import Replayer, Tally, replay
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox

SECRETS = ("hunter2-secret", "c00kie-secret", "h3ader-secret", "4111111111111111", "bearer-t0ken-secret", "b0dy-secret")
ARGUMENT, COOKIE, HEADER, CARD, TOKEN, BODY = SECRETS

RULES = """
[edge]
access-log    = off
events        = off
event-headers = authorization cookie referer user-agent x-api-key x-original-url

[masking]
mask = argument.password, argument.pin, cookie.session, header.x-api-key, cards, credentials

[origin collector]
servers = http://192.0.2.81:80

[traces]
origin = collector
query  = yes
sample = 1

[rate-limit pins]
key   = argument.pin
limit = 1 per 1h

[rate-limit agents]
key   = header.x-original-url
limit = 1 per 1h

[rate-limit queries]
key   = http.request.uri.query
limit = 1 per 1h

[rate-limit addresses]
key   = uri
limit = 1 per 1h

[dynamic-rule addresses]
key   = uri
limit = 1 per 1h
hold  = 1h

[dynamic-rule keys]
key    = header.x-api-key
limit  = 1 per 1h
hold   = 1h

[global-filter look]
expression =
    any(http.request.uri.args["password"][*] contains "secret") and http.cookie contains "secret"
    and http.request.headers["x-api-key"][0] contains "h3ader"
tags = looked
"""

TARGET = f"/login;pin={ARGUMENT}?q=1&password={ARGUMENT}&card={CARD}&next={quote_plus(f'/x?password={ARGUMENT}')}"
HEADERS = [
    ("cookie", f"a=1; session={COOKIE}"),
    ("x-api-key", HEADER),
    ("authorization", f"Bearer {TOKEN}"),
    ("referer", f"https://www.test/login?password={ARGUMENT}&card={CARD[:4]}%20{CARD[4:]}"),
    ("x-original-url", f"/x?password={ARGUMENT}"),
    ("user-agent", f"x {CARD}"),
    ("content-type", "application/x-www-form-urlencoded"),
]
FORM = f"pin={BODY}&password={BODY}".encode()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


class Kept:
    """What a node has told: its records, what was logged, and its state."""

    def __init__(self, configuration: Configuration) -> None:
        self.logged: list[str] = []
        self.origin = FakeOrigin()
        observer: Any = self.log
        globalLogPublisher.addObserver(observer)
        try:
            with MemoryNode(configuration, {"app": self.origin}) as node:
                client = node.client("www.test")
                for _ in range(3):
                    client.ask("POST", TARGET, HEADERS, FORM)
                self.records = node.sink.records
                self.quarantine = repr([*node.service.configuration.state.quarantine.entries()])
        finally:
            globalLogPublisher.removeObserver(observer)

    def log(self, event: LogEvent) -> None:
        """Keep what is logged."""
        self.logged.append(eventAsText(event))


def everything(record: Record) -> str:
    """All that is made of a record."""
    told = [write(record) for write in FORMATS.values()]
    event = json.loads(FORMATS["json"](record))
    told += [text_line(event), *in_full(event)]
    told += [repr(SpanWriter("edge", "edge-1", query=True).write([record]))]
    request = record.exchange.request
    assert request is not None
    return "\n".join([*told, repr(record.exchange), repr(record.decision), repr(record.error), repr(request.__dict__)])


def test_no_secret_comes_out_of_a_node(sandbox: Sandbox) -> None:
    """Neither in events, nor the access log in any format, nor spans, nor the log, nor the quarantine; while the
    origin is sent what the client has sent, and who is counted is told apart by hashes."""
    kept = Kept(sandbox.configuration(RULES))
    told = "\n".join([*map(everything, kept.records), *kept.logged, kept.quarantine])
    for secret in SECRETS:
        assert secret not in told
        assert quote_plus(secret) not in told
    assert told.count("masked-") > 30
    assert "argument.pin: masked-" in told
    assert "header.x-api-key: masked-" in told
    first = kept.origin.requests[0]
    assert first.target.decode() == TARGET
    assert first.header(b"x-api-key") == HEADER.encode()


def test_without_masks_a_node_hands_on_the_records_as_they_are(sandbox: Sandbox) -> None:
    """Nothing stands between: what is not masked costs nothing."""
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}) as node:
        node.client("www.test").get("/?password=hunter2")
        (record,) = node.sink.records
        assert type(record).__name__ == "ProxyExchange"
        assert node.events[0]["request"] is not None
        assert node.events[0]["request"]["target"] == "/?password=hunter2"


def test_what_is_refused_before_its_path_map_is_known_is_masked(sandbox: Sandbox) -> None:
    """A request of which nobody knows what is masked of it has nothing told that is masked anywhere."""
    with MemoryNode(sandbox.configuration(RULES), {"app": FakeOrigin()}) as node:
        status = node.client("www.test").get(f"https://www.test{TARGET}", [("host", "unknown.test"), *HEADERS]).status
        assert status == 421
        assert ARGUMENT not in everything(node.sink.records[-1])


def test_explain_tells_no_secret(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither for people nor as JSON, nor of what filters have looked at; and it counts as the node does."""
    path = str(sandbox.write(RULES))
    asked = [word for name, value in HEADERS for word in ("-H", f"{name}: {value}")]
    for more in ([], ["--json"], ["--filter", "look"], ["--repeat", "3"]):
        assert main(["explain", path, *more, *asked, "-d", FORM.decode(), f"https://www.test{TARGET}"]) == 0
        told = capsys.readouterr().out
        assert "looked" in told
        for secret in SECRETS:
            assert secret not in told
    assert "rate-limit pins" in told


def test_replay_guesses_no_value_that_is_masked(sandbox: Sandbox) -> None:
    """A rule that looks at one is not certain; and what was recorded before it was masked is not told either."""
    configuration = sandbox.configuration(RULES)
    with MemoryNode(configuration, {"app": FakeOrigin()}) as node:
        node.client("www.test").get(TARGET.replace(BODY, ""), HEADERS)
        masked = FORMATS["json"](node.sink.records[0])
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}) as node:
        node.client("www.test").get(TARGET, HEADERS)
        clear = FORMATS["json"](node.sink.records[0])
    acting = f"{RULES}action = block\n"
    tally = Tally(10)
    replay(iter([(1, masked), (2, clear)]), Replayer(sandbox.configuration(acting)), None, tally)
    told = tally.told()
    assert "values that are masked" in str(told["not_certain"])
    assert ARGUMENT not in str(told)
    assert ARGUMENT not in "\n".join(present_verdict(configuration, clear))


def test_a_masked_value_is_held_by_its_hash(sandbox: Sandbox) -> None:
    """Whoever orders it, by the value or by the hash that events show; the list tells the hash, and requests with the
    value are refused in every spelling."""
    configuration = sandbox.configuration(RULES)
    with MemoryNode(configuration, {"app": FakeOrigin()}) as node:
        client, now = node.client("www.test"), 2_000_000_000.0
        order = {"do": "add", "key": "argument.pin", "value": "Pin zyxw"}
        told = obey(order, "root", node.service.configuration, now)
        assert told.done
        (entry,) = node.service.configuration.state.quarantine.entries()
        assert "zyxw" not in f"{told} {entry}"
        assert client.get("/?pin=pin+zyxw").status == client.get("/?pin=PIN%20zyxw").status == 403
        assert client.get("/?pin=pin+zyxv").status == 200
        told_of = "\n".join(map(everything, node.sink.records))
        assert "zyxw" not in told_of
        assert told_of.count(f"pin={entry.value}") >= 2
        again = obey({"do": "lift", "key": "argument.pin", "value": entry.value}, "root", configuration, now)
        assert again.done
        assert client.get("/?pin=pin+zyxw").status == 200
