"""One check of one server of an origin.

Law: it is made as a request to that server would be: with the same certificate of ours, the same trust, the same name
verified; on a connection of its own, for one that is kept says nothing of the next handshake. In TLS 1.3 a server
judges our certificate after our side takes the handshake for done: no check is good before the server has answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve
from OpenSSL import SSL
from twisted.internet.defer import Deferred, TimeoutError

from edgenode.model.errors import OriginError
from edgenode.model.settings import Seconds, Size
from edgenode.proxy.origin.client import Failed, Late, OriginClient
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.opening import TLSOpening
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.standing import Standing
from edgenode.proxy.origin.stream import StreamOpening, open_stream
from edgenode.rules.regexes import compile_regex

_MOST = 64 * 1024
"""Bytes of a body that are looked at."""

_REFUSAL_COMES = 0.25
"""Seconds that a server has, at the least, to refuse our certificate before the connection is ended."""


class Unhealthy(Exception):
    """A check was not good.

    :ivar reason: why, a sentence.
    :ivar error: what the pool says of it; ``None`` if it says nothing.
    :ivar late: whether there was no answer in time.
    """

    def __init__(self, reason: str, error: OriginError | None = None, *, late: bool = False) -> None:
        super().__init__(reason)
        self.late = late
        self.reason = reason
        self.error = error

    @property
    def refused(self) -> bool:
        """Whether the server has refused our certificate, or the lack of one, in TLS."""
        return self.error is not None and self.error.presented is not None and bool(self.error.presented.alert)


class Probe:
    """Checks one server.

    :param pool: the connections of traffic, whose TLS and trust it has.
    :param server: the server.
    :param check: what is asked.
    :param context: the TLS context, with another certificate of ours; ``None``: that of the pool, also once it changes.
    :param standing: what is told of the handshakes.
    """

    def __init__(
        self,
        pool: OriginPool,
        server: Server,
        check: HealthCheck,
        context: SSL.Context | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._traffic = pool
        self._server = server
        self._check = check
        self._context = context
        self._standing = standing or pool.standing
        self._pool = self._made()

    def _made(self) -> OriginPool:
        traffic, check = self._traffic, self._check
        stream = check.type == "tcp"
        origin = evolve(
            traffic.origin,
            servers=(evolve(self._server, stream=stream, resolve=False, service="", backup=False),),
            protocol="h2" if check.type == "grpc" else traffic.origin.protocol,
            connect_timeout=check.timeout,
            send_timeout=check.timeout,
            read_timeout=check.timeout,
            ping_interval=Seconds(0.0),
            base_path=None,
            maintenance=None,
            balance="round-robin",
            hash_key=(),
            sticky_cookie=None,
            eject_errors=None,
            max_requests=None,
            max_idle=0,
            max_fails=0,
            max_header_size=Size(_MOST),
            next_upstream=("off",),
        )
        opening = StreamOpening if stream else TLSOpening
        pool = OriginPool(
            traffic.name,
            origin,
            self._context or traffic.context,
            traffic.verify,
            traffic.reactor,
            traffic.deadlines,
            opening,
        )
        pool.standing = self._standing
        return pool

    def run(self) -> Deferred[None]:
        """Check it.

        :returns: fires if all is well; fails with :class:`Unhealthy`.
        """
        if self._pool.context is not (self._context or self._traffic.context):
            self._pool = self._made()
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        check, reactor = self._check, self._pool.reactor
        running: Deferred[None] = Deferred.fromCoroutine(_TYPES[check.type](self._pool, check))
        try:
            await running.addTimeout(check.timeout, reactor)
        except (TimeoutError, Late):
            raise Unhealthy(f"no answer within {check.timeout:g} s", late=True) from None
        except Failed as error:
            raise Unhealthy(error.error.reason, error.error) from error
        except Unhealthy:
            raise
        except Exception as error:
            told = OriginError.of(error)
            raise Unhealthy(told.reason if told is not None else f"the check failed: {error}", told) from error

    def stop(self) -> None:
        """End what is under way."""
        self._pool.abort("the check is given up")


# -- what is asked -----------------------------------------------------------------------------------------------------


async def _http(pool: OriginPool, check: HealthCheck) -> None:
    headers = {} if check.host is None else {"host": check.host}
    status, body = await _ask(pool, "GET", check.path, headers, b"", _MOST if check.body is not None else 0)
    if not any(status in each for each in check.status):
        raise Unhealthy(f"it answers {status}")
    if check.body is not None and compile_regex(check.body).search(body) is None:
        raise Unhealthy(f"it answers {status}, and the body does not match")


async def _tcp(pool: OriginPool, check: HealthCheck) -> None:
    stream = await open_stream(pool)
    text, presented = stream.server.text, stream.presented
    try:
        if presented is not None and presented.accepted is None:
            await _pause(pool.reactor, min(_REFUSAL_COMES, check.timeout / 2))
            await stream.end(bare=True)
            pool.standing.answered(text, presented.answered())
    except OriginError as error:
        if error.presented is not None and error.presented.alert:
            pool.standing.refused(text, error.presented, error.reason)
        raise
    finally:
        stream.close()


async def _grpc(pool: OriginPool, check: HealthCheck) -> None:
    """By ``grpc.health.v1.Health/Check``: github.com/grpc/grpc, doc/health-checking.md."""
    name = (check.service or "").encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    headers = {"content-type": "application/grpc", "te": "trailers"}
    body = b"\0" + len(message).to_bytes(4, "big") + message
    status, answer = await _ask(pool, "POST", "/grpc.health.v1.Health/Check", headers, body, _MOST)
    if status != 200:
        raise Unhealthy(f"it answers {status}")
    if len(answer) < 5:
        raise Unhealthy("it knows no such service, or no health checks")
    # HealthCheckResponse has one field, 1, an enumeration: 1 is SERVING; 0 is not written.
    said = _GRPC.get(answer[5:], "nothing that is known")
    if said != "SERVING":
        raise Unhealthy(f"it says {said}")


_GRPC = {b"": "UNKNOWN", b"\x08\x00": "UNKNOWN", b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}

_TYPES: Mapping[str, Callable[[OriginPool, HealthCheck], Any]] = {"http": _http, "tcp": _tcp, "grpc": _grpc}


async def _ask(
    pool: OriginPool, method: str, path: str, headers: Mapping[str, str], data: bytes, most: int
) -> tuple[int, bytes]:
    """Send a request.

    :param most: bytes of the body that are wanted; 0: nothing of it is read.
    """
    server = pool.origin.servers[0]
    host = f"[{server.name}]" if ":" in server.name else server.name
    url = f"{server.scheme}://{host}{'' if server.is_socket else f':{server.port}'}{path}"
    fields = dict(headers)
    if pool.origin.host == "server":
        fields.setdefault("host", pool.host(pool.balancer.servers[0]).decode("ascii"))
    answer = await OriginClient(pool, pool.origin.read_timeout).ask(method, url, fields, data, most=most)
    if answer.problem is not None and most:
        raise Unhealthy(f"it answers {answer.status}, and the body cannot be read: {answer.problem}")
    return answer.status, answer.body


def _pause(reactor: Any, seconds: float) -> Awaitable[None]:
    pause: Deferred[None] = Deferred(lambda _: call.cancel())
    call = reactor.callLater(seconds, pause.callback, None)
    return pause


def _varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
