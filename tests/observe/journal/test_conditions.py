"""Conditions of DuckDB: they say of every event what the expression itself says, or that they cannot tell."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgenode.model.decision import MODES, Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Address, Connection, Exchange, Request, Verification
from edgenode.model.presentation import Presentation
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.event_record import event_line
from edgenode.observe.journal.conditions import condition_of
from edgenode.observe.journal.field_values import literal
from edgenode.observe.journal.parquet import from_lines
from edgenode.observe.recorded_fields import RECORDED
from edgenode.observe.state_events import state_line
from edgenode.rules.language.formatting import format
from edgenode.rules.language.nodes import Node
from edgenode.rules.language.types import BYTES, INT, IP
from edgenode.rules.networks import address
from edgenode.state.interface import Entry, Happened
from tests.support.expressions import Trees
from tests.support.records import CLIENT, FakeRecord, records

duckdb: Any = pytest.importorskip("duckdb")

WORDS = (
    "www.test",
    "api.test:8443",
    "[2001:db8::1]:443",
    "a.test.",
    "curl/8",
    "Mozilla é",
    "bot",
    "all",
    "grün",
    "x'y",
)
TARGETS = (
    b"/", b"/a?b=1", b"/a/b.php?x=1&x=2", b"/A/%41/../b", b"//a", b"/.env", b"/a/./b", b"/a/..;x/b", b"/caf\xe9", b"*",
    b"/a'b?q='", b"/a?%2e/../x", b"/a\x00", b"https://www.test/a", b"", b"/a#b", b"/..", b"/a?",
)  # fmt: skip
CLIENTS = ("192.0.2.7", "10.1.2.3", "2001:db8::1", "::1", "::", "2001:db8:1:2:3:4:5:6", "fe80::", "unknown", "")

_words = st.sampled_from(WORDS)
_numbers = st.sampled_from((0, 1, 200, 404, 503, 1000))


@st.composite
def ordinary(draw: st.DrawFn) -> FakeRecord:
    """Records whose values expressions have a chance to meet."""
    verification = draw(
        st.sampled_from((
            Verification(True, True), Verification(True, False, True, 23, 23, 0, "certificate revoked", (23, 10)),
            Verification(True, False, False, 10, 10, 1, "é", (10,)),
        ))
    )  # fmt: skip
    subject = draw(st.sampled_from(("CN=acme", "CN=é", "", "x" * 1024)))
    client = draw(st.none() | st.just(evolve(CLIENT, verification=verification, subject=subject)))
    host = draw(st.sampled_from(("192.0.2.7", "2001:db8::1", "10.1.2.3")))
    connection = Connection(
        Address(host, draw(_numbers)), Address("192.0.2.1", 443), draw(st.none() | _words), draw(_words),
        draw(st.sampled_from(("", "TLSv1.3"))), draw(_words), draw(_words), client,
    )  # fmt: skip
    fields = draw(st.lists(st.tuples(st.sampled_from((b"user-agent", b"cookie")), _words.map(str.encode)), max_size=3))
    request = Request(
        draw(st.sampled_from((b"GET", b"POST"))), b"https", draw(_words).encode("latin-1"),
        draw(st.sampled_from(TARGETS)), b"", None, b"", tuple(fields),
        version=draw(st.sampled_from(((1, 1), (1, 0), (2, 0)))),
    )  # fmt: skip
    reasons = st.lists(
        st.builds(Reason, st.just("acl"), _words, _words, _words, st.sampled_from(("", "block"))), max_size=2
    )
    exchange = Exchange(
        connection,
        draw(st.none() | st.just(request)),
        draw(st.sampled_from(CLIENTS)),
        frozenset(),
        draw(_words),
        "",
        "",
    )
    decision = Decision(
        draw(st.frozensets(_words, max_size=3)), tuple(draw(reasons)),
        draw(st.none() | st.just(Action("block"))), mode=draw(st.sampled_from(MODES)),
    )  # fmt: skip
    error = draw(st.none() | st.just(ClientError(400, "é")) | st.just(OriginError(502, "connect", "x'y")))
    return FakeRecord(
        exchange, decision, status=draw(_numbers), error=error, tries=draw(st.integers(0, 1)),
        sent=draw(_numbers), time=draw(st.sampled_from((1.0, 1795262400.25))),
        identifier=draw(st.sampled_from((b"", b"a\xff"))), event_headers=(b"user-agent", b"cookie"),
        presented=draw(st.none() | st.just(Presentation(True, None, None, False))),
        grpc_status=draw(st.none() | _numbers), queued=draw(st.sampled_from((0.0, 0.25))),
    )  # fmt: skip


def _line(record: FakeRecord) -> str:
    return event_line(record)


STATE_LINE = state_line(
    Happened("quarantine-held", "why", Entry("ip", "192.0.2.7", 2.0, 1.0, "[dynamic-rule x]", "why", "block")), 1.0
)
LINES = ordinary().map(_line) | records.map(_line) | st.just(STATE_LINE)

VALUES = {
    BYTES: st.sampled_from((
        *(each.encode() for each in WORDS), *TARGETS, b"user-agent", b"cookie", b"block", b"acl", b"\xc3", b"%", b"_",
        b"GET", b"HTTP/2", b"https", b"a\xff", "é".encode(), b"CN=acme", b"quarantine-held", b"x'; DROP", b"\\",
    )),
    INT: st.sampled_from((0, 1, 200, 403, 404, 502, 503, 1000, 23, -1, 1795262400)),
    IP: st.sampled_from(tuple(address(each) for each in CLIENTS if each and each != "unknown")),
}  # fmt: skip
TREES = Trees(RECORDED, known=RECORDED, values=VALUES, lists=False)
SIMPLE = Trees(
    [name for name, each in RECORDED.items() if each.type in (BYTES, INT, IP) or name in ("edge.tags", "edge.filters")],
    ("starts_with", "ends_with", "lower", "upper", "len", "concat", "coalesce", "substring", "has_value"),
    RECORDED, VALUES, lists=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    """DuckDB in memory."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET threads = 1")
        yield connection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where lines are read from."""
    return tmp_path_factory.mktemp("lines")


def answers(database: Any, folder: pathlib.Path, lines: Sequence[str], conditions: Sequence[str]) -> list[Any]:
    """What conditions say of lines; ``None`` for those that DuckDB cannot read."""
    path = folder / "lines.jsonl"
    path.write_text("\n".join(lines))
    found = database.execute(f"SELECT time IS NOT NULL, {', '.join(conditions)} FROM {from_lines(path)}").fetchall()
    return [answer[1:] if answer[0] else None for answer in found]


def check(database: Any, folder: pathlib.Path, lines: Sequence[str], roots: Sequence[Node]) -> None:
    """What conditions say is what the expressions say, or that they do not know."""
    conditions = [condition_of(root) for root in roots]
    found = answers(database, folder, lines, [each.text for each in conditions])
    for line, said in zip(lines, found, strict=True):
        for root, condition, answer in zip(roots, conditions, said or (), strict=said is not None):
            assert answer is not None or not condition.exact
            if answer is not None:
                assert EventExpression(root, format(root)).matches(json.loads(line)) == answer, (
                    format(root),
                    condition.text,
                )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(LINES, min_size=1, max_size=4), st.lists(TREES.expressions(), min_size=1, max_size=3))
def test_a_condition_says_what_any_expression_says(
    database: Any, folder: pathlib.Path, lines: list[str], roots: list[Node]
) -> None:
    """Over every field and function, for every kind of event."""
    check(database, folder, lines, roots)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(LINES, min_size=1, max_size=8), st.lists(SIMPLE.expressions(2), min_size=1, max_size=8))
def test_a_condition_says_what_a_translated_expression_says(
    database: Any, folder: pathlib.Path, lines: list[str], roots: list[Node]
) -> None:
    """Over the fields and functions that DuckDB has too."""
    check(database, folder, lines, roots)


@pytest.mark.parametrize(
    "text", ["'", "''; DROP TABLE x; --", "\\", '"', "a\x00b", "\u00ff\u0085\u2028", "%_", "$1 ? :a", "\n"]
)
def test_a_literal_is_quoted_whatever_is_in_it(database: Any, text: str) -> None:
    """It is the same text for DuckDB, and nothing else."""
    assert database.execute(f"SELECT {literal(text)}, 1").fetchall() == [(text, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "edge.blocked",
        'edge.action == "block"', "http.response.code >= 500", 'any(edge.tags[*] == "bot")', 'edge.filter in {"a" "b"}',
        'http.user_agent contains "curl"', 'starts_with(http.request.headers["user-agent"][0], "curl")',
        'not all(edge.filters[*] ne "x")', "cf.tls_client_auth.cert_verified", "edge.duration ge 1000000",
        'lower(http.request.method) eq "get"', 'http.request.method wildcard "g*"', "len(edge.tags) > 3",
    ],
)  # fmt: skip
def test_what_is_asked_most_duckdb_answers_alone(text: str) -> None:
    """No event has to be looked at one by one."""
    assert EventExpression.from_text(text).sql.exact
