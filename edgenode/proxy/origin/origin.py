"""``[origin]``: the servers that a path map forwards to."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, Reference, Seconds, Size, Word, setting

_SERVER = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?/?((?:\s+[a-z-]+=\d+)*)\s*")


@frozen
class Server:
    """One server of an origin, written ``https://host:port weight=2``.

    :ivar tls: whether it speaks TLS.
    :ivar host: a name or an address; IPv6 without brackets.
    :ivar port: the TCP port.
    :ivar weight: its share of the requests.
    """

    tls: bool
    host: str
    port: int
    weight: int = 1

    @classmethod
    def from_text(cls, text: str) -> Server:
        """Read a server.

        :raises InvalidValue: if the text is not of that form.
        """
        match = _SERVER.fullmatch(text)
        if match is None:
            raise InvalidValue("expected https://host:port, with weight=N behind it if wanted", 0)
        scheme, host, port, parameters = match.groups()
        weight = 1
        for name, _, number in (word.partition("=") for word in parameters.split()):
            if name != "weight" or not 1 <= int(number) <= 1000:
                raise InvalidValue("the only parameter is weight=N, from 1 to 1000", text.index(name))
            weight = int(number)
        number = int(port) if port else 443 if scheme == "https" else 80
        if not 0 < number < 65536:
            raise InvalidValue("a port is a number from 1 to 65535", text.index(port))
        return cls(scheme == "https", host.strip("[]"), number, weight)


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
        "The servers, ``https://host:port weight=N`` each; requests are spread by weight."
    )
    server_name: Word | None = setting(
        "The name sent as SNI and looked for in the origin's certificate; without it the server's own host.", None
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
        "Whom to believe about the origin; without one the system's authorities.", None
    )
    verify: bool = setting("Whether the origin's certificate and name are verified. Leave it on.", True)
    minimum_version: Annotated[str, Choice(("1.2", "1.3"))] = setting("The lowest TLS version spoken.", "1.2")
    connect_timeout: Seconds = setting("For the TCP connection and the TLS handshake.", Seconds(5.0))
    send_timeout: Seconds = setting("For an origin that takes nothing of what is being sent to it.", Seconds(60.0))
    read_timeout: Seconds = setting("Between two reads of a response; also for its first byte.", Seconds(60.0))
    continue_timeout: Seconds = setting(
        "For an origin that is asked by ``Expect: 100-continue`` whether it wants a body; then the client is told to "
        "send it.",
        Seconds(1.0),
    )
    idle_timeout: Seconds = setting(
        "How long an unused connection is kept; keep it below the origin's own.", Seconds(60.0)
    )
    max_idle: Annotated[int, Between(0, 100_000)] = setting("Unused connections kept.", 128)
    max_connections: Annotated[int, Between(1, 100_000)] = setting(
        "Connections at a time; a request beyond that is answered with 503.", 1024
    )
    max_fails: Annotated[int, Between(0, 1000)] = setting(
        "Failures within ``fail-timeout`` after which a server is passed over; 0 never.", 1
    )
    fail_timeout: Seconds = setting(
        "The time in which failures are counted, and for which a server is then passed over.", Seconds(10.0)
    )
    next_upstream: tuple[Annotated[str, Choice(NEXT_UPSTREAM)], ...] = setting(
        "On what a request goes to the next server: nginx's ``proxy_next_upstream``. A request that was sent goes "
        "again only if its method is safe, and nothing of an answer has reached the client.",
        ("error", "timeout"),
    )
    next_upstream_tries: Annotated[int, Between(1, 100)] = setting(
        "Servers tried for one request, the first included.", 3
    )
    max_header_size: Size = setting(
        "The largest response head; a larger one is an error of the origin.", Size(64 * 1024)
    )
