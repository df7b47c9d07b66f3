"""A server of gRPC, and clients of it: grpcio's own, with the calls of gRPC's interop tests and without protobuf.

A message is JSON, a line feed and a payload: what the JSON asks for is what the call does, see :class:`Asked`. The
server is a process of its own, so that it can be killed; what its calls have met it says when ``/test.Control/Seen`` is
called.
``python -m tests.support.grpc_origin FOLDER`` runs one: its port is printed, and it ends with its standard input.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc
from attrs import Factory, asdict, define, frozen

from tests.support.node import PKI

SERVICE = "/grpc.testing.TestService/"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
_ROOT = pathlib.Path(__file__).parent.parent.parent
_OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 16 << 20), ("grpc.http2.max_ping_strikes", 0)]


@define
class Asked:
    """What a call shall do.

    :ivar sizes: the sizes of the messages to answer with, bytes.
    :ivar code: the status to end with, if it is not OK; likewise ``details``.
    :ivar wait: seconds before each answer.
    :ivar abort: whether the end comes as an exception in the server, after the messages.
    :ivar gzip: whether the answers are compressed.
    """

    sizes: list[int] = Factory(list)
    code: int = 0
    details: str = ""
    wait: float = 0.0
    abort: bool = False
    gzip: bool = False


def message(payload: bytes = b"", **asked: Any) -> bytes:
    """A message that asks for something."""
    return json.dumps(asdict(Asked(**asked))).encode() + b"\n" + payload


def _read(data: bytes) -> tuple[Asked, bytes]:
    asked, _, payload = data.partition(b"\n")
    return (Asked(**json.loads(asked)) if asked else Asked()), payload


# -- the server --------------------------------------------------------------------------------------------------------

_seen: list[dict[str, Any]] = []


def _begin(name: str, context: Any) -> dict[str, Any]:
    """Remember a call, and echo what it asks for in its metadata."""
    metadata = [
        (key, value.hex() if isinstance(value, bytes) else value) for key, value in context.invocation_metadata()
    ]
    call = {"name": name, "peer": context.peer_identities(), "metadata": metadata, "left": context.time_remaining()}
    call["peer"] = [each.decode() for each in call["peer"] or ()]
    _seen.append(call)
    context.add_callback(lambda: call.update(over=True, cancelled=not call.get("done")))
    for key, value in context.invocation_metadata():
        if key == INITIAL:
            context.send_initial_metadata(((key, value),))
        elif key == TRAILING:
            context.set_trailing_metadata(((key, value),))
    return call


def _end(asked: Asked, context: Any) -> None:
    if asked.gzip:
        context.set_compression(grpc.Compression.Gzip)
    if asked.abort:
        context.abort(grpc.StatusCode.ABORTED, "the server has given up")
    if asked.code:
        context.set_code(next(code for code in grpc.StatusCode if code.value[0] == asked.code))
        context.set_details(asked.details)


def _empty(request: bytes, context: Any) -> bytes:
    _begin("EmptyCall", context)["done"] = True
    return b""


def _unary(request: bytes, context: Any) -> bytes:
    call, (asked, payload) = _begin("UnaryCall", context), _read(request)
    call["received"] = len(payload)
    time.sleep(asked.wait)
    _end(asked, context)
    call["done"] = True
    return b"".join(bytes(size) for size in asked.sizes)


def _input(requests: Iterator[bytes], context: Any) -> bytes:
    call, total, asked = _begin("StreamingInputCall", context), 0, Asked()
    for each in requests:
        asked, payload = _read(each)
        total += len(payload)
        _end(asked, context)
    time.sleep(asked.wait)  # when a call is cancelled, its requests may end before grpcio knows why
    call["done"] = True
    return b"%d" % total


def _output(request: bytes, context: Any) -> Iterator[bytes]:
    return _duplex(iter((request,)), context, "StreamingOutputCall")


def _duplex(requests: Iterator[bytes], context: Any, name: str = "FullDuplexCall") -> Iterator[bytes]:
    call = _begin(name, context)
    for each in requests:
        asked, _ = _read(each)
        for size in asked.sizes:
            time.sleep(asked.wait)
            if not context.is_active():
                return
            yield bytes(size)
        if not asked.sizes:
            time.sleep(asked.wait)
        _end(asked, context)
    call["done"] = True


def _shown(request: bytes, context: Any) -> bytes:
    return json.dumps(_seen).encode()


_METHODS = {
    f"{SERVICE}EmptyCall": grpc.unary_unary_rpc_method_handler(_empty),
    f"{SERVICE}UnaryCall": grpc.unary_unary_rpc_method_handler(_unary),
    f"{SERVICE}StreamingInputCall": grpc.stream_unary_rpc_method_handler(_input),
    f"{SERVICE}StreamingOutputCall": grpc.unary_stream_rpc_method_handler(_output),
    f"{SERVICE}FullDuplexCall": grpc.stream_stream_rpc_method_handler(_duplex),
    "/test.Control/Seen": grpc.unary_unary_rpc_method_handler(_shown),
}


class _Handlers(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        return _METHODS.get(details.method)


def _serve(folder: pathlib.Path) -> None:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), options=_OPTIONS)
    server.add_generic_rpc_handlers((_Handlers(),))
    key, chain = (folder / "origin.key").read_bytes(), (folder / "origin.pem").read_bytes()
    trusted = (folder / "servers.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([(key, chain)], trusted, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line == "goaway\n":
            server.stop(20)
    os._exit(0)


@frozen
class GrpcOrigin:
    """A server in a process of its own.

    :ivar port: its TCP port.
    """

    port: int
    _process: subprocess.Popen[bytes]
    _folder: pathlib.Path

    @classmethod
    @contextlib.contextmanager
    def running(cls, pki: PKI) -> Iterator[Self]:
        """One that serves clients with a certificate of the edge's."""
        command = [sys.executable, "-m", "tests.support.grpc_origin", str(pki.folder)]
        with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield cls(int(process.stdout.readline()), process, pki.folder)
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                process.wait(10)

    def kill(self) -> None:
        """End it without a word."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def go_away(self) -> None:
        """Let calls that run come to their end, and take no more: GOAWAY."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"goaway\n")
        self._process.stdin.flush()

    def seen(self, until: Callable[[list[dict[str, Any]]], object] = lambda seen: True) -> list[dict[str, Any]]:
        """The calls so far, once they are as they should be; what it has seen in five seconds, if they never are."""
        with Caller.of(self._folder, self.port, "edge-client", "origin.test") as direct:
            for _ in range(100):
                found: list[dict[str, Any]] = json.loads(direct.unary(b"", "/test.Control/Seen"))
                if until(found):
                    break
                time.sleep(0.05)
            return found


# -- the client --------------------------------------------------------------------------------------------------------


class Caller:
    """A channel of grpcio's, blocking: for a thread.

    :ivar channel: the channel.
    """

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    @classmethod
    def of(
        cls, folder: pathlib.Path, port: int, certificate: str = "", name: str = "open.test", **options: Any
    ) -> Self:
        """A channel to a port of this host.

        :param certificate: the client's, by the name of its files; empty for none.
        :param name: the authority, and the name in TLS.
        :param options: of the channel: ``grpc_keepalive_time_ms`` is ``grpc.keepalive_time_ms``.
        """
        own = [(folder / f"{certificate}.{kind}").read_bytes() for kind in ("key", "pem")] if certificate else []
        credentials = grpc.ssl_channel_credentials((folder / "servers.pem").read_bytes(), *own)
        given: list[tuple[str, Any]] = [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
        given += [("grpc.max_receive_message_length", 16 << 20), ("grpc.use_local_subchannel_pool", 1)]
        given += [(option.replace("_", ".", 1), value) for option, value in options.items()]
        return cls(grpc.secure_channel(f"127.0.0.1:{port}", credentials, given))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def unary(self, data: bytes, method: str = f"{SERVICE}UnaryCall", timeout: float = 10, **options: Any) -> bytes:
        """A call with one message each way."""
        answer: bytes = self.channel.unary_unary(method)(data, timeout=timeout, **options)
        return answer

    def failing(self, data: bytes, method: str = f"{SERVICE}UnaryCall", timeout: float = 10, **options: Any) -> Any:
        """The error with which such a call ends."""
        try:
            answer = self.unary(data, method, timeout, **options)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"answered: {answer[:100]!r}")

    def output(self, data: bytes, timeout: float = 10, **options: Any) -> Any:
        """A call whose answers stream."""
        return self.channel.unary_stream(f"{SERVICE}StreamingOutputCall")(data, timeout=timeout, **options)

    def input(self, messages: Iterator[bytes], timeout: float = 10, **options: Any) -> Any:
        """A call whose messages stream; its future."""
        return self.channel.stream_unary(f"{SERVICE}StreamingInputCall").future(messages, timeout=timeout, **options)

    def duplex(self, messages: Iterator[bytes], timeout: float = 10, **options: Any) -> Any:
        """A call that streams both ways."""
        return self.channel.stream_stream(f"{SERVICE}FullDuplexCall")(messages, timeout=timeout, **options)


class Turns:
    """Messages for a stream, one after the other as the test says."""

    def __init__(self) -> None:
        self._ready = threading.Semaphore(0)
        self._messages: list[bytes | None] = []

    def send(self, data: bytes) -> None:
        """Send one."""
        self._messages.append(data)
        self._ready.release()

    def end(self) -> None:
        """There are no more."""
        self._messages.append(None)
        self._ready.release()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self._ready.acquire()
            data = self._messages.pop(0)
            if data is None:
                return
            yield data


if __name__ == "__main__":
    _serve(pathlib.Path(sys.argv[1]))
