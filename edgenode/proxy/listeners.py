"""``[listener]``: where connections come in."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.settings import Between, Choice, Reference, Seconds, Size, Word, setting


@frozen
class Listener:
    """A TLS port: the server groups behind it, and the limits on time, size and number that every client must keep."""

    kind: ClassVar[str] = "listener"

    endpoint: Word = setting("A Twisted endpoint: ``tcp:443``, ``tcp:8443:interface=127.0.0.1``.")
    protocol: Annotated[str, Choice(("http",))] = setting("What is spoken inside TLS.", "http")
    server_groups: tuple[Annotated[str, Reference("server-group")], ...] = setting("The server groups served here.")
    default_server_group: Annotated[str, Reference("server-group")] | None = setting(
        "The server group for a client that names no or an unknown server. Without one such a handshake ends with the "
        "alert ``unrecognized_name``.",
        None,
    )
    handshake_timeout: Seconds = setting("From the first packet to the end of the handshake, ClientHello included.", Seconds(10.0))
    header_timeout: Seconds = setting("For a whole request head, however slowly it trickles in; then 408.", Seconds(15.0))
    body_timeout: Seconds = setting(
        "For a whole request body, not counting the time that we keep the client waiting; then 408.", Seconds(300.0)
    )
    send_timeout: Seconds = setting("For a client that takes nothing of what is being sent to it.", Seconds(60.0))
    keepalive_timeout: Seconds = setting("For an idle connection between two requests.", Seconds(75.0))
    keepalive_requests: Annotated[int, Between(1, 2**31)] = setting("Requests on one connection before it is closed.", 10_000)
    max_connections: Annotated[int, Between(1, 10**6)] = setting(
        "Connections at a time; further ones wait in the kernel's queue.", 4096
    )
    max_connections_per_client: Annotated[int, Between(1, 10**6)] = setting(
        "Connections at a time from one address; further ones are closed at once.", 1024
    )
    max_target_size: Size = setting("The longest request target; a longer one is refused with 414.", Size(8 * 1024))
    max_header_size: Size = setting("The largest request head; a larger one is refused with 431.", Size(32 * 1024))
    max_headers: Annotated[int, Between(1, 10_000)] = setting("Header fields of a request; more are refused with 431.", 100)
