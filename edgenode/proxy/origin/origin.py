"""``[origin]``: the servers that a path map forwards to."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.settings import Awaited, Between, Choice, File, Percent, Reference, Seconds, Size, Word, setting
from edgenode.policy.keys import Part
from edgenode.proxy.origin.names import NameServer
from edgenode.proxy.origin.server import Server

OFFERED: Mapping[str, tuple[bytes, ...]] = types.MappingProxyType(
    {"http/1.1": (b"http/1.1",), "h2": (b"h2",), "auto": (b"h2", b"http/1.1")}
)
"""What is offered to a server in TLS (ALPN), the best first, for each value of ``protocol``."""

METHODS = ("round-robin", "least-requests", "random-two", "hash")

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
        "weight; ``backup`` if it is asked only while no other can be; ``resolve`` if each address of its name is a "
        "server, asked for again when DNS says so; ``service=NAME`` if it stands for the servers of that service "
        "(SRV). The host of a socket is ``localhost``. An origin of streams, or of an exporter or alert that speaks no "
        "HTTP, has ``tls://host:port``, ``tcp://host:port``, ``tcp://unix:/path/to.sock`` or "
        "``tls://unix:/path/to.sock``, one for mail also ``starttls://host:port``."
    )
    resolver: tuple[NameServer, ...] = setting(
        "The name servers that are asked for servers with ``resolve`` or ``service``: addresses, with ``:PORT`` if it "
        "is not 53; without the key those of ``/etc/resolv.conf``, and ``/etc/hosts`` before them.",
        (),
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
    proxy_protocol: Annotated[str, Choice(("off", "v1", "v2"))] = setting(
        "Whether a connection to a server begins with a header of the PROXY protocol, before TLS, which says whose it "
        "is: version 1, or version 2 with server name, ALPN, the request's identifier, the client's TLS and the Common "
        "Name of its certificate. Every request has a connection of its own then, of HTTP/1.1.",
        "off",
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
    max_requests: Annotated[int, Between(1, 1_000_000)] | None = setting(
        "The maximum number of requests under way, however many a connection of HTTP/2 carries; a further one waits as "
        "for a connection. Without the key there is no such limit.",
        None,
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
    balance: Annotated[str, Choice(METHODS)] = setting(
        "Which server is asked: ``round-robin``, each in turn; ``least-requests``, the one with the fewest requests "
        "under way; ``random-two``, the less busy of two drawn at random, which is better where several nodes have the "
        "same servers; ``hash``, the same for the same ``hash-key``. All of them go by weight.",
        "round-robin",
    )
    hash_key: tuple[Part, ...] = setting(
        "What requests are kept together by with ``balance = hash``: words such as ``ip``, ``header.NAME``, "
        "``cookie.NAME`` or ``certificate.fingerprint``, and names of fields, divided by commas. When servers come or "
        "go only the requests of these move. A request in which a part is missing is sent to the next in turn.",
        (),
    )
    sticky_cookie: Word | None = setting(
        "The name of a cookie by which a client comes back to the server that has answered it, as long as that can be "
        "asked; the node sets it, signed, with ``Secure`` and ``HttpOnly``. Without the key there is none.",
        None,
    )
    sticky_keys: tuple[File, ...] = setting(
        "Files of secrets by which the cookie is signed, one a line of at least 32 bytes: the first of all signs, and "
        "what any of them has signed is accepted; they are read when the configuration is. Nodes that share them "
        "accept each other's. Without the key the node makes one up when it starts. The permissions should be those of "
        "a private key.",
        (),
    )
    sticky_lifetime: Seconds = setting("How long a browser keeps the cookie; 0: until it is closed.", Seconds(0.0))
    sticky_same_site: Annotated[str, Choice(("lax", "strict", "none"))] = setting(
        "The cookie's ``SameSite``: whether a browser sends it with requests that come from other sites.", "lax"
    )
    slow_start: Seconds = setting(
        "How long a server that has come up, that is drained no more, or that is new, gets a share that grows from a "
        "tenth of its own. 0: it gets all of it at once.",
        Seconds(0.0),
    )
    eject_errors: Percent | None = setting(
        "The percentage of a server's requests within ``eject-interval`` that fail or are answered 5xx, from which on "
        "it is not used for a while. Without the key none is for that; ``max-fails`` holds besides.",
        None,
    )
    eject_requests: Annotated[int, Between(1, 1_000_000)] = setting(
        "How many requests a server must have had within the interval.", 20
    )
    eject_interval: Seconds = setting("The time in which they are counted.", Seconds(10.0))
    eject_time: Seconds = setting(
        "How long the server is then not used: the first time; the second time in a row twice as long, and so on, ten "
        "times as long at most.",
        Seconds(30.0),
    )
    eject_share: Percent = setting(
        "The percentage of the servers that may be out before no further one is ejected; one always may be.",
        Percent(0.5),
    )
    retry_budget: Percent | None = setting(
        "How many requests may be under way at a time that were sent to a further server after a failure, as a "
        "percentage of all that are under way; others fail at once, so that an origin in trouble is not asked several "
        "times as much. Without the key there is no such limit.",
        None,
    )
    retry_minimum: Annotated[int, Between(0, 100_000)] = setting(
        "How many of them may be under way however small the percentage is.", 3
    )
    base_path: Word | None = setting(
        "A path that is put before that of every request: with ``/app`` the origin is asked for ``/app/x`` instead of "
        "``/x``. No request leads out of it: dot segments are resolved before, and hidden ones refused. Links, "
        "``Location`` and the paths of cookies in answers are left as they are.",
        None,
    )
    maintenance: Awaited | None = setting(
        "A file: while it exists every request to this origin is answered with 503 and its content. It is "
        "looked at once a second; its name says what it is: ``.html``, ``.json``, or else plain text.",
        None,
    )
    maintenance_retry: Seconds = setting("What clients are then told in ``Retry-After``.", Seconds(60.0))
    health_check: Annotated[str, Reference("health-check")] | None = setting(
        "How the servers are asked, again and again, whether they can serve; without the key they are not asked.", None
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
