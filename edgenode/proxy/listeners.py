"""``[listener]``: where connections come in."""

from __future__ import annotations

import ipaddress
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.errors import InvalidValue
from edgenode.settings import Between, Choice, Reference, Seconds, Size, setting


@frozen
class Endpoint:
    """Where a listener listens, written as Twisted's server endpoint strings: ``tcp:443:interface=127.0.0.1``.

    :ivar port: the TCP port; 0 for any free one.
    :ivar interface: an address of this host; IPv6 with its colons escaped, ``\\:\\:1``, as Twisted has it.
    :ivar backlog: how many connections may wait to be accepted.
    """

    port: int
    interface: str = "0.0.0.0"
    backlog: int = 4096

    @classmethod
    def from_text(cls, text: str) -> Endpoint:
        """Read an endpoint.

        :raises InvalidValue: if it is no TCP endpoint.
        """
        words = [word.replace("\0", ":") for word in text.replace("\\:", "\0").split(":")]
        arguments = dict(zip(("kind", "port"), words[:2], strict=False))
        for word in words[2:]:
            name, sign, value = word.partition("=")
            if not sign or name not in ("port", "interface", "backlog"):
                raise InvalidValue("after the port expected interface=ADDRESS or backlog=NUMBER", text.find(word))
            arguments[name] = value
        numbers = [arguments.get("port", "").removeprefix("port="), arguments.get("backlog", "4096")]
        if arguments["kind"] not in ("tcp", "tcp6") or not all(each.isdecimal() and len(each) < 6 for each in numbers):
            raise InvalidValue("expected a TCP endpoint such as tcp:443 or tcp:8443:interface=127.0.0.1", 0)
        if int(numbers[0]) > 65535:
            raise InvalidValue("a port is a number from 0 to 65535", text.find(numbers[0]))
        interface = arguments.get("interface") or ("::" if arguments["kind"] == "tcp6" else "0.0.0.0")
        try:
            ipaddress.ip_address(interface)
        except ValueError as error:
            raise InvalidValue("the interface is an IP address", text.find("interface=") + 10) from error
        return cls(int(numbers[0]), interface, int(numbers[1]))

    def __str__(self) -> str:
        return f"[{self.interface}]:{self.port}" if ":" in self.interface else f"{self.interface}:{self.port}"


@frozen
class Listener:
    """A TLS port: the server groups behind it, and the limits on time, size and number that every client must keep."""

    kind: ClassVar[str] = "listener"

    endpoint: Endpoint = setting("A Twisted endpoint: ``tcp:443``, ``tcp:8443:interface=127.0.0.1``.")
    protocol: Annotated[str, Choice(("http",))] = setting("What is spoken inside TLS.", "http")
    server_groups: tuple[Annotated[str, Reference("server-group")], ...] = setting("The server groups served here.")
    default_server_group: Annotated[str, Reference("server-group")] | None = setting(
        "The server group for a client that names no or an unknown server. Without one such a handshake ends with the "
        "alert ``unrecognized_name``.",
        None,
    )
    handshake_timeout: Seconds = setting(
        "From the first packet to the end of the handshake, ClientHello included.", Seconds(10.0)
    )
    header_timeout: Seconds = setting(
        "For a whole request head, however slowly it trickles in; then 408.", Seconds(15.0)
    )
    body_timeout: Seconds = setting(
        "For a whole request body, not counting the time that we keep the client waiting; then 408.", Seconds(300.0)
    )
    send_timeout: Seconds = setting("For a client that takes nothing of what is being sent to it.", Seconds(60.0))
    keepalive_timeout: Seconds = setting("For an idle connection between two requests.", Seconds(75.0))
    keepalive_requests: Annotated[int, Between(1, 2**31)] = setting(
        "Requests on one connection before it is closed.", 10_000
    )
    max_connections: Annotated[int, Between(1, 10**6)] = setting(
        "Connections at a time; further ones wait in the kernel's queue.", 4096
    )
    max_connections_per_client: Annotated[int, Between(1, 10**6)] = setting(
        "Connections at a time from one IPv4 address or one /64 network of IPv6; further ones are closed at once. Keep "
        "it well below an origin's ``max-connections``, or one client can take them all.",
        128,
    )
    max_target_size: Size = setting("The longest request target; a longer one is refused with 414.", Size(8 * 1024))
    max_header_size: Size = setting("The largest request head; a larger one is refused with 431.", Size(32 * 1024))
    max_headers: Annotated[int, Between(1, 10_000)] = setting(
        "Header fields of a request; more are refused with 431.", 100
    )
