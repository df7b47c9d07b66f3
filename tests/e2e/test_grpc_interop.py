"""gRPC's interop test cases, those that need no infrastructure of Google's, by grpcio through the node to grpcio.

https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.support.grpc_origin import INITIAL, SERVICE, TRAILING, Caller, GrpcOrigin, Turns, message
from tests.support.node import PKI, Node, in_thread, running

pytestmark = pytest.mark.lasting
ANSWERS = [31415, 9, 2653, 58979]
ASKED = [27182, 8, 1828, 45904]
H2 = {"origin origin": {"protocol": "h2"}, "path-map all": {"max-body-size": "16m"}}


@pytest.fixture(scope="module")
def origin(pki: PKI) -> Iterator[GrpcOrigin]:
    """A server of gRPC."""
    with GrpcOrigin.running(pki) as origin:
        yield origin


@pytest.fixture(scope="module")
def node(pki: PKI, origin: GrpcOrigin) -> Iterator[Node]:
    """A node in front of it."""
    pki.client.write(pki.folder, "alice")
    with running(pki, origin.port, H2) as node:
        yield node


async def calling(node: Node, case: Callable[[Caller], None]) -> None:
    """Run a case with a channel to the node, where clients have certificates."""

    def run() -> None:
        with Caller.of(node.pki.folder, node.port, "alice", "strict.test") as caller:
            case(caller)

    await in_thread(run)


def sizes(call: Iterator[bytes]) -> list[int]:
    """The sizes of the messages that come."""
    return [len(each) for each in call]


def _empty_unary(caller: Caller) -> None:
    assert caller.unary(b"", f"{SERVICE}EmptyCall") == b""


def _large_unary(caller: Caller) -> None:
    assert caller.unary(message(bytes(271828), sizes=[314159])) == bytes(314159)


def _client_compressed_unary(caller: Caller) -> None:
    asked = message(bytes(271828), sizes=[314159])
    assert caller.unary(asked, compression=grpc.Compression.Gzip) == bytes(314159)


def _server_compressed_unary(caller: Caller) -> None:
    assert caller.unary(message(bytes(271828), sizes=[314159], gzip=True)) == bytes(314159)


def _client_streaming(caller: Caller) -> None:
    assert caller.input(message(bytes(size)) for size in ASKED).result() == b"74922"


def _client_compressed_streaming(caller: Caller) -> None:
    call = caller.input((message(bytes(size)) for size in ASKED), compression=grpc.Compression.Gzip)
    assert call.result() == b"74922"


def _server_streaming(caller: Caller) -> None:
    assert sizes(caller.output(message(sizes=ANSWERS))) == ANSWERS


def _server_compressed_streaming(caller: Caller) -> None:
    assert sizes(caller.output(message(sizes=[31415, 92653], gzip=True))) == [31415, 92653]


def _ping_pong(caller: Caller) -> None:
    turns = Turns()
    call = caller.duplex(iter(turns))
    for asked, answer in zip(ASKED, ANSWERS, strict=True):
        turns.send(message(bytes(asked), sizes=[answer]))
        assert len(next(call)) == answer
    turns.end()
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def _empty_stream(caller: Caller) -> None:
    call = caller.duplex(iter(()))
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def _custom_metadata(caller: Caller) -> None:
    metadata = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
    _, unary = caller.channel.unary_unary(f"{SERVICE}UnaryCall").with_call(message(sizes=[9]), metadata=metadata)
    duplex = caller.duplex(iter((message(sizes=[9]),)), metadata=metadata)
    assert sizes(duplex) == [9]
    for call in (unary, duplex):
        assert (INITIAL, "test_initial_metadata_value") in list(call.initial_metadata())
        assert (TRAILING, b"\xab\xab\xab") in list(call.trailing_metadata())


def _status_code_and_message(caller: Caller, details: str = "test status message") -> None:
    asked = message(code=2, details=details)
    error = caller.failing(asked)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, details)
    call = caller.duplex(iter((asked,)))
    with pytest.raises(grpc.RpcError):
        list(call)
    assert (call.code(), call.details()) == (grpc.StatusCode.UNKNOWN, details)


def _special_status_message(caller: Caller) -> None:
    _status_code_and_message(caller, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")


def _unimplemented_method(caller: Caller) -> None:
    assert caller.failing(b"", f"{SERVICE}UnimplementedCall").code() is grpc.StatusCode.UNIMPLEMENTED


def _unimplemented_service(caller: Caller) -> None:
    method = "/grpc.testing.UnimplementedService/UnimplementedCall"
    assert caller.failing(b"", method).code() is grpc.StatusCode.UNIMPLEMENTED


def _cancel_after_begin(caller: Caller) -> None:
    turns = Turns()
    call = caller.input(iter(turns))
    call.cancel()
    turns.end()
    assert call.code() is grpc.StatusCode.CANCELLED


def _cancel_after_first_response(caller: Caller) -> None:
    turns = Turns()
    call = caller.duplex(iter(turns))
    turns.send(message(bytes(27182), sizes=[31415]))
    assert len(next(call)) == 31415
    call.cancel()
    turns.end()
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is grpc.StatusCode.CANCELLED


def _timeout_on_sleeping_server(caller: Caller) -> None:
    turns = Turns()
    call = caller.duplex(iter(turns), timeout=0.1)
    turns.send(message(bytes(27182), wait=2.0))
    with pytest.raises(grpc.RpcError):
        next(call)
    turns.end()
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


CASES = (
    _empty_unary, _large_unary, _client_compressed_unary, _server_compressed_unary, _client_streaming,
    _client_compressed_streaming, _server_streaming, _server_compressed_streaming, _ping_pong, _empty_stream,
    _custom_metadata, _status_code_and_message, _special_status_message, _unimplemented_method, _unimplemented_service,
    _cancel_after_begin, _cancel_after_first_response, _timeout_on_sleeping_server,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__[1:])
async def test_a_case_ends_as_it_is_described(node: Node, case: Callable[[Caller], None]) -> None:
    """As it does without the node."""
    await calling(node, case)
