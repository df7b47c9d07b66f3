"""What a client of gRPC is told by the node: its status, the text with it, and how long a call may take."""

from __future__ import annotations

import pathlib
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from edgenode.model.exchange import Headers, Response
from edgenode.net.deadlines import Deadlines
from edgenode.policy.actions import Block
from edgenode.proxy import grpc
from edgenode.proxy.judging import PAGES
from edgenode.rules.views.grpc import is_call
from tests.support.requests import request_of


@pytest.mark.parametrize(
    ("kind", "method", "version", "call"),
    [
        ("application/grpc", "POST", (2, 0), True),
        ("Application/GRPC+proto", "POST", (2, 0), True),
        ("application/grpc+json", "POST", (2, 0), True),
        ("application/grpc; charset=utf-8", "POST", (2, 0), True),
        ("application/grpc ;x", "POST", (2, 0), True),
        ("application/grpc", "POST", (1, 1), False),
        ("application/grpc", "GET", (2, 0), False),
        ("application/grpc-web", "POST", (2, 0), False),
        ("application/grpc-web+proto", "POST", (2, 0), False),
        ("application/grpc-web-text", "POST", (2, 0), False),
        ("application/grpcx", "POST", (2, 0), False),
        ("text/plain; application/grpc", "POST", (2, 0), False),
    ],
)
def test_a_call_comes_over_http_2_by_post_and_is_not_grpc_web(
    kind: str, method: str, version: tuple[int, int], call: bool
) -> None:
    """Everybody else reads the status of HTTP."""
    request = request_of(f"{method} /shop.Cart/Add HTTP/1.1", f"Content-Type: {kind}", "Content-Length: 0")
    request.version = version
    assert is_call(request) is call


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, 7), (451, 7), (302, 7), (200, 7), (521, 7), (429, 8), (413, 8), (414, 8), (431, 8), (502, 14), (503, 14),
        (504, 14), (421, 14), (495, 16), (496, 16), (401, 16), (400, 13), (500, 13), (404, 12), (405, 12), (501, 12),
        (408, 4), (499, 1),
    ],
)  # fmt: skip
def test_an_answer_of_the_node_s_has_the_status_that_clients_expect(status: int, expected: int) -> None:
    """Blocked is 7, over a limit 8, the origin's fault 14, the certificate's 16; and none is a success."""
    answer, told = grpc.trailers_only(Response(status, (), b""))
    assert (answer.status, answer.body, told) == (200, b"", expected)
    assert dict(answer.headers)[b"content-type"] == b"application/grpc"
    assert dict(answer.headers)[b"grpc-status"] == b"%d" % expected


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ((), PAGES[403], b"403 Forbidden"),
        ((), b"", b"Forbidden"),
        (((b"content-type", b"text/plain; charset=utf-8"),), b"Forbidden.\n", b"Forbidden."),
        (((b"content-type", b"Text/Plain"),), "100 % für dich\r\nnicht\n".encode(),
         b"100 %25 f%C3%BCr dich%0D%0Anicht"),
        (((b"content-type", b"text/html"),), b"<p>no</p>", b"Forbidden"),
        (((b"content-type", b"text/plain"),), b"x" * 1025, b"Forbidden"),
    ],
)  # fmt: skip
def test_its_message_is_the_body_if_that_is_a_short_text(headers: Headers, body: bytes, message: bytes) -> None:
    """Else what the status means."""
    assert dict(grpc.trailers_only(Response(403, headers, body))[0].headers)[b"grpc-message"] == message


@given(st.binary(max_size=60))
def test_a_message_is_printable_ascii_and_decodes_to_what_it_was(message: bytes) -> None:
    """Percent-encoded, as gRPC says."""
    said = dict(grpc.trailers(7, message))[b"grpc-message"]
    assert all(0x20 <= byte < 0x7F for byte in said)
    assert unquote_to_bytes(said) == message


def test_header_fields_of_an_action_stay_without_those_of_its_body() -> None:
    """And without those that are gRPC's own, or that a client would decode."""
    headers = (
        (b"x-why", b"rule 7"), (b"location", b"/"), (b"cache-control", b"no-store"), (b"grpc-message", b"x"),
        (b"x-token-bin", b"?"), (b"grpc-encoding", b"br"), (b"x-content-type-options", b"nosniff"),
    )  # fmt: skip
    answer, _ = grpc.trailers_only(Response(403, headers, b""))
    assert [name for name, _ in answer.headers] == [b"content-type", b"grpc-status", b"grpc-message", b"x-why"]


@pytest.mark.parametrize(
    ("own", "status"), [(b"16", 16), (b"9", 9), (b"0", 7), (b"17", 7), (b"00", 7), (b"", 7), (b"-1", 7)]
)
def test_an_action_may_say_the_status_of_grpc_itself_unless_that_is_success(own: bytes, status: int) -> None:
    """By a header field ``grpc-status``; it goes out once."""
    answer, told = grpc.trailers_only(Response(403, ((b"grpc-status", own),), b""))
    assert told == status
    assert [value for name, value in answer.headers if name == b"grpc-status"] == [b"%d" % status]


def test_the_predefined_block_is_permission_denied() -> None:
    """With its text."""
    block = Block("block")
    outcome = block.outcome(None)  # type: ignore[arg-type]  # it looks at nothing
    answer, status = grpc.trailers_only(outcome.response)  # type: ignore[union-attr]
    assert (status, dict(answer.headers)[b"grpc-message"]) == (7, b"Forbidden.")


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["1S"], 1.0), (["20m"], 0.02), (["3H"], 10800.0), (["2M"], 120.0), (["5u"], 5e-6), (["7n"], 7e-9),
        (["99999999H"], 99999999 * 3600.0), (["999999999S"], None), (["1"], None), (["-1S"], None), (["1 S"], None),
        (["1s"], None), ([""], None), ([], None), (["1S", "2S"], None),
    ],
)  # fmt: skip
def test_the_time_that_a_call_may_take_is_read_as_grpc_writes_it(values: list[str], seconds: float | None) -> None:
    """Eight digits and a unit; what is malformed or repeated is the origin's to judge."""
    request = request_of("POST /a/b HTTP/1.1", "Content-Length: 0", *(f"grpc-timeout: {value}" for value in values))
    found = grpc.timeout_of(request)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (((b"grpc-status", b"0"),), 0), (((b"a", b"b"), (b"grpc-status", b"14")), 14), ((), None),
        (((b"grpc-status", b"x"),), None), (((b"grpc-status", b"9999"),), None),
        (((b"grpc-status", b"1"), (b"grpc-status", b"2")), None),
    ],
)  # fmt: skip
def test_the_status_of_an_origin_is_read_if_it_is_one(fields: Headers, status: int | None) -> None:
    """For the event."""
    assert grpc.reported_status(fields) == status


def test_a_deadline_is_called_once_and_not_after_the_call() -> None:
    """Neither early nor if the call was over before."""
    clock = Clock()
    passed: list[str] = []
    deadlines = Deadlines(clock, clock.seconds)
    grpc.CallDeadline(deadlines, 1.0, lambda: passed.append("first"))
    grpc.CallDeadline(deadlines, 1.0, lambda: passed.append("second")).over()
    clock.pump([0.1] * 9)
    assert passed == []
    clock.pump([0.1] * 30)
    assert passed == ["first"]


def test_the_page_says_the_status_of_every_refusal() -> None:
    """Each in its row, and the one for all others in its."""
    page = (pathlib.Path(__file__).parents[2] / "docs" / "grpc.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - ([0-9]+) [A-Z_]+\n     - ([0-9, ]+|all others)$", page, re.MULTILINE)
    told = {int(status): number for number, written in rows for status in re.findall("[0-9]+", written)}
    assert told == {status: str(number) for status, number in grpc.STATUSES.items()}
    assert [number for number, written in rows if written == "all others"] == ["7"]
