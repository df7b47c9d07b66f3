"""``[origin]``: the servers that a path map forwards to."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, Reference, Seconds, Size, Word, setting

_PARAMETERS = r"((?:\s+[a-z-]+=\d+)*)\s*"
_SERVER = re.compile(
    rf"(https?|tls|tcp|starttls)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{{1,5}}))?/?{_PARAMETERS}"
)
_SOCKET = re.compile(rf"(?:(https?)://)?unix:(?://)?(/[!-.0-9;-~][!-9;-~]*)(?::/?)?{_PARAMETERS}")
"""nginx's ``server unix:PATH``, and its ``proxy_pass http://unix:PATH:``; ``unix://PATH`` as others write it."""

_WITH_PATH = re.compile(r"(?:https?|tls|tcp|starttls)://(?:unix:/[^:\s]*:|[^/\s]+)(?=/[^/\s])")
_RELATIVE = re.compile(r"(?:https?://)?unix:(?://)?(?![/\d])")
_LONGEST_PATH = 107
"""Bytes of ``sun_path`` but the last, which is 0: unix(7)."""


@frozen
class Server:
    """One server of an origin, written ``https://host:port weight=2``, or ``unix:/path`` for a Unix socket; or, if it
    speaks no HTTP, ``tls://host:port``, ``tcp://host:port``, or ``starttls://host:port`` for mail.

    :ivar tls: whether it speaks TLS.
    :ivar host: a name or an address, IPv6 without brackets; or the path of a socket.
    :ivar port: the TCP port; 0 for a socket.
    :ivar weight: its share of the requests.
    :ivar stream: whether it takes a stream of bytes that is no HTTP, such as syslog or mail.
    :ivar starttls: whether TLS begins by STARTTLS, as mail servers have it.
    """

    tls: bool
    host: str
    port: int
    weight: int = 1
    stream: bool = False
    starttls: bool = False

    @property
    def scheme(self) -> str:
        """What is spoken to it: ``http``, ``https``, ``tcp``, ``tls`` or ``starttls``."""
        if self.starttls:
            return "starttls"
        return ("tls" if self.tls else "tcp") if self.stream else "https" if self.tls else "http"

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket, and its host the path of that."""
        return self.host.startswith("/")

    @property
    def name(self) -> str:
        """The name that others know it by: its host; of a socket ``localhost``, as nginx has it."""
        return "localhost" if self.is_socket else self.host

    @property
    def address(self) -> str:
        """Where it is: ``host:port``, or ``unix:/path``."""
        if self.is_socket:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"

    @classmethod
    def from_text(cls, text: str) -> Server:
        """Read a server.

        :raises InvalidValue: if the text is not of that form.
        """
        if match := _SOCKET.fullmatch(text):
            scheme, host, parameters = match.groups()
            if len(host) > _LONGEST_PATH:
                raise InvalidValue(f"the path of a socket has at most {_LONGEST_PATH} bytes", match.start(2))
            return cls(scheme == "https", host, 0, _weight(text, parameters))
        match = _SERVER.fullmatch(text)
        if match is None:
            raise InvalidValue(*_fault(text))
        scheme, host, port, parameters = match.groups()
        stream, starttls = scheme in ("tls", "tcp", "starttls"), scheme == "starttls"
        if stream and not port:
            raise InvalidValue(f"a stream has no usual port: {scheme}://{host}:PORT", match.start(2))
        number = int(port) if port else 443 if scheme == "https" else 80
        if not 0 < number < 65536:
            raise InvalidValue("a port is a number from 1 to 65535", text.index(port))
        tls = starttls or scheme in ("https", "tls")
        return cls(tls, host.strip("[]"), number, _weight(text, parameters), stream, starttls)


def _weight(text: str, parameters: str) -> int:
    weight = 1
    for name, _, number in (word.partition("=") for word in parameters.split()):
        if name != "weight" or not 1 <= int(number) <= 1000:
            raise InvalidValue("the only parameter is weight=N, from 1 to 1000", text.rindex(f"{name}="))
        weight = int(number)
    return weight


def _fault(text: str) -> tuple[str, int]:
    """What is wrong with a text that is no server, and where."""
    if match := _WITH_PATH.match(text):
        return "a server has no path: the request's own is sent to it", match.end()
    if match := _RELATIVE.match(text):
        return "the path of a socket begins with /", match.end()
    return (
        "expected http:// or https:// with host:port, unix:/path, or https://unix:/path for TLS on a socket; or "
        "tls://, tcp:// or starttls:// with host:port for what takes no HTTP; weight=N behind it if wanted",
        0,
    )


OFFERED: Mapping[str, tuple[bytes, ...]] = types.MappingProxyType(
    {"http/1.1": (b"http/1.1",), "h2": (b"h2",), "auto": (b"h2", b"http/1.1")}
)
"""What is offered to a server in TLS (ALPN), the best first, for each value of ``protocol``."""

NEXT_UPSTREAM = (
    "error",
    "timeout",
    "invalid-header",
    "http-500",
    "http-502",
    "http-503",
    "http-504",
    "http-429",
    "off",
)


@frozen
class Origin:
    """The servers behind a path map: one identity, one pool, one trust."""

    kind: ClassVar[str] = "origin"

    servers: tuple[Server, ...] = setting(
        "The servers, without a path: ``https://host:port``, ``http://host:port``, ``unix:/path/to.sock``, or "
        "``https://unix:/path/to.sock`` for TLS on a Unix socket; ``weight=N`` behind it, for requests are spread by "
        "weight. The host of a socket is ``localhost``. An origin of an exporter or alert that speaks no HTTP has "
        "``tls://host:port`` or ``tcp://host:port``, one for mail also ``starttls://host:port``, and no path map."
    )
    server_name: Word | None = setting(
        "The name sent as SNI and required in the origin's certificate; without the key the host of the server.", None
    )
    host: Word = setting(
        "The Host field sent: ``client`` keeps the client's, ``server`` sends the server name, anything else is sent "
        "as it is.",
        Word("client"),
    )
    certificate: Annotated[str, Reference("certificate")] | None = setting(
        "The client certificate presented to the origin; it needs the EKU clientAuth.", None
    )
    trust_store: Annotated[str, Reference("trust-store")] | None = setting(
        "The authorities that are trusted to issue the origin's certificate; without the key the system's.", None
    )
    verify: bool = setting("Whether the origin's certificate and name are verified. Leave it on.", True)
    minimum_version: Annotated[str, Choice(("1.2", "1.3"))] = setting("The lowest TLS version.", "1.2")
    protocol: Annotated[str, Choice(tuple(OFFERED))] = setting(
        "What is spoken to the servers: ``http/1.1``, ``h2``, or ``auto``: what the server chooses in TLS (ALPN), "
        "HTTP/2 before HTTP/1.1, but HTTP/1.1 for WebSocket. With ``h2`` a server that does not choose it fails; to "
        "servers without TLS HTTP/2 is spoken at once (prior knowledge) with ``h2``, and HTTP/1.1 with ``auto``.",
        "http/1.1",
    )
    max_streams: Annotated[int, Between(1, 10_000)] = setting(
        "The maximum number of requests at a time on one connection of HTTP/2; fewer where the server takes fewer.", 100
    )
    ping_interval: Seconds = setting(
        "The time after which a server of HTTP/2 that has sent nothing, while requests wait for it, is asked with a "
        "PING whether it lives; until something comes of a request twice at most, and then every five minutes, for "
        "servers of gRPC forbid more. ``0``: only after a ``read-timeout``.",
        Seconds(30.0),
    )
    ping_timeout: Seconds = setting(
        "The time for an answer to a PING; then the connection and its requests have failed.", Seconds(10.0)
    )
    connect_timeout: Seconds = setting(
        "The time for the TCP connection and the TLS handshake, and in HTTP/2 for the server's SETTINGS.", Seconds(5.0)
    )
    send_timeout: Seconds = setting(
        "The time after which a request fails if the origin accepts none of the bytes sent to it.", Seconds(60.0)
    )
    read_timeout: Seconds = setting("The time between two reads of a response, and for its first byte.", Seconds(60.0))
    continue_timeout: Seconds = setting(
        "The time for an origin to answer ``Expect: 100-continue``; then the node tells the client to send the body.",
        Seconds(1.0),
    )
    idle_timeout: Seconds = setting(
        "How long an unused connection is kept; keep it below the origin's own.", Seconds(60.0)
    )
    max_idle: Annotated[int, Between(0, 100_000)] = setting(
        "The maximum number of unused connections that are kept.", 128
    )
    max_connections: Annotated[int, Between(1, 100_000)] = setting(
        "The maximum number of open connections; a request that would need another waits for one.", 1024
    )
    max_queued: Annotated[int, Between(0, 100_000)] = setting(
        "The maximum number of requests that wait for a connection, first come, first served; further ones are "
        "answered with 503. 0: none waits.",
        1024,
    )
    queue_timeout: Seconds = setting(
        "The time that a request waits for a connection; then it is answered with 503.", Seconds(5.0)
    )
    max_fails: Annotated[int, Between(0, 1000)] = setting(
        "The number of failures within ``fail-timeout`` after which a server is not used for a while; 0: it "
        "is always used.",
        1,
    )
    fail_timeout: Seconds = setting(
        "The time in which failures are counted, and for which a server is then not used.", Seconds(10.0)
    )
    next_upstream: tuple[Annotated[str, Choice(NEXT_UPSTREAM)], ...] = setting(
        "On which failures a request is sent to the next server: nginx's ``proxy_next_upstream``. A request "
        "that was sent is sent again only if its method is safe, and nothing of an answer has reached the "
        "client.",
        ("error", "timeout"),
    )
    next_upstream_tries: Annotated[int, Between(1, 100)] = setting(
        "The maximum number of servers tried for one request, including the first.", 3
    )
    max_header_size: Size = setting(
        "The largest response head; a larger one is an error of the origin.", Size(64 * 1024)
    )

    @property
    def stream(self) -> bool:
        """Whether its servers take a stream of bytes that is no HTTP."""
        return any(server.stream for server in self.servers)

    @property
    def offered(self) -> tuple[bytes, ...]:
        """What is offered to a server in TLS (ALPN), the best first."""
        return () if self.stream else OFFERED[self.protocol]
