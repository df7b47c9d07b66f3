"""``[listener]``: where connections come in."""

from __future__ import annotations

import ipaddress
import types
from collections.abc import Mapping
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, Network, Reference, Seconds, Size, Word, setting


@frozen
class Endpoint:
    """Where a listener listens, written as Twisted's server endpoint strings: ``tcp:443:interface=127.0.0.1``, or
    ``systemd:name=web`` for a socket that systemd has opened.

    :ivar port: the TCP port; 0 for any free one.
    :ivar interface: an address of this host; IPv6 with its colons escaped, ``\\:\\:1``, as Twisted has it.
    :ivar backlog: how many connections may wait to be accepted.
    :ivar inherited: which of systemd's sockets: ``name=web`` or ``index=0``; empty for one of our own.
    """

    port: int = 0
    interface: str = "0.0.0.0"
    backlog: int = 4096
    inherited: str = ""

    @classmethod
    def from_text(cls, text: str) -> Endpoint:
        """Read an endpoint.

        :raises InvalidValue: if it is none of these.
        """
        kind, *words = (word.replace("\0", ":") for word in text.replace("\\:", "\0").split(":"))
        return _systemd_endpoint(text, words) if kind == "systemd" else _tcp_endpoint(text, kind, words)

    def place(self, listener: str) -> tuple[str, int, str]:
        """What tells its socket from all others. A free port is the listener's that has found it.

        :param listener: the listener's name.
        """
        return self.interface, self.port, self.inherited or (listener if self.port == 0 else "")

    def overlaps(self, other: Endpoint) -> bool:
        """Whether only one of the two can have its port: they have the same, or one of them has all addresses; ``::``
        includes IPv4."""
        both = {self.interface, other.interface}
        shared = len(both) == 1 or "::" in both or ("0.0.0.0" in both and not any(":" in each for each in both))
        return shared and self.port == other.port != 0 and not self.inherited and not other.inherited

    def __str__(self) -> str:
        if self.inherited:
            return f"systemd:{self.inherited}"
        return f"[{self.interface}]:{self.port}" if ":" in self.interface else f"{self.interface}:{self.port}"


def _tcp_endpoint(text: str, kind: str, words: list[str]) -> Endpoint:
    arguments = {"port": words[0] if words else "", "backlog": "4096"}
    for word in words[1:]:
        name, sign, value = word.partition("=")
        if not sign or name not in ("port", "interface", "backlog"):
            raise InvalidValue("after the port expected interface=ADDRESS or backlog=NUMBER", text.find(word))
        arguments[name] = value
    numbers = [arguments["port"].removeprefix("port="), arguments["backlog"]]
    if kind not in ("tcp", "tcp6") or not all(each.isdecimal() and len(each) < 6 for each in numbers):
        raise InvalidValue("expected a TCP endpoint such as tcp:443 or tcp:8443:interface=127.0.0.1", 0)
    if int(numbers[0]) > 65535:
        raise InvalidValue("a port is a number from 0 to 65535", text.find(numbers[0]))
    interface = arguments.get("interface") or ("::" if kind == "tcp6" else "0.0.0.0")
    try:
        ipaddress.ip_address(interface)
    except ValueError as error:
        raise InvalidValue("the interface is an IP address", text.find("interface=") + 10) from error
    return Endpoint(int(numbers[0]), interface, int(numbers[1]))


def _systemd_endpoint(text: str, words: list[str]) -> Endpoint:
    arguments = dict(word.partition("=")[::2] for word in words)
    index, name = arguments.get("index", ""), arguments.get("name", "")
    if arguments.pop("domain", "INET") not in ("INET", "INET6"):
        raise InvalidValue("the domain is INET or INET6", text.find("domain=") + 7)
    if len(arguments) != 1 or not (name or (index.isdecimal() and len(index) < 5)):
        raise InvalidValue("expected systemd:name=NAME or systemd:index=NUMBER", 0)
    return Endpoint(interface="", backlog=0, inherited=f"name={name}" if name else f"index={int(index)}")


@frozen
class RedirectPort:
    """The port of HTTPS that plain requests are redirected to.

    :ivar number: the TCP port.
    """

    number: int = 443

    @classmethod
    def from_text(cls, text: str) -> RedirectPort | None:
        """Read it: ``yes`` is 443, ``no`` is none.

        :raises InvalidValue: if it is no port.
        """
        if text in ("yes", "no"):
            return cls() if text == "yes" else None
        if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536):
            raise InvalidValue("expected yes, no, or the port of HTTPS", 0)
        return cls(int(text))

    def __str__(self) -> str:
        return "yes" if self.number == 443 else str(self.number)


_PLAIN = (b"http/1.1", b"http/1.0")
"""What is spoken without TLS, where nothing can be agreed on."""

_ALPN: Mapping[str, tuple[bytes, ...]] = types.MappingProxyType(
    {"h2": (b"h2",), "http/1.1": (b"http/1.1", b"http/1.0")}
)
"""For each version of HTTP its names in ALPN."""


@frozen
class Listener:
    """A port: its server groups, and the limits on time, size and number for clients."""

    kind: ClassVar[str] = "listener"

    endpoint: Endpoint = setting(
        "A Twisted endpoint: ``tcp:443``, ``tcp:8443:interface=127.0.0.1``, or ``systemd:name=NAME`` for a socket that "
        "systemd has opened."
    )
    protocol: Annotated[str, Choice(("http", "stream"))] = setting(
        "What is spoken, inside TLS if there is any: ``http``, or ``stream`` for anything else, such as MQTT or "
        "PostgreSQL, whose bytes are relayed as they come. A stream is judged by the facts of its connection alone.",
        "http",
    )
    tls: Annotated[str, Choice(("yes", "no", "passthrough"))] = setting(
        "Whether connections are encrypted. With ``no`` the port speaks HTTP/1.1 in plain text: server groups are "
        "chosen by ``Host`` alone and need no certificate, and requests have the tag ``protocol:http``. A server group "
        "whose ``mtls`` is not ``off`` is never served so. A stream without TLS is that of the server group that has "
        "the address as a host, of the default, or of the only one. ``passthrough``, for streams alone, leaves TLS to "
        "the origin: the server group is chosen by the name in the ClientHello, and for what is no TLS, such as SSH, "
        "the default is taken.",
        "yes",
    )
    redirect_to_https: RedirectPort | None = setting(
        "With ``tls = no``: every request is answered with a redirect to the same host and target under ``https``, 301 "
        "for GET and HEAD and 308, which keeps the method, for others. ``yes``, or the port that the redirect names if "
        "it is not 443. Only hosts of the server groups are redirected to, theirs with client certificates too.",
        None,
    )
    protocols: tuple[Annotated[str, Choice(tuple(_ALPN))], ...] = setting(
        "The versions of HTTP that are spoken, the preferred first: ``h2`` and ``http/1.1``. A client names those that "
        "it knows in its handshake (ALPN); one that names none speaks HTTP/1.1. Where that is not spoken its handshake "
        "ends with the alert ``no_application_protocol``. After a reload an open connection that speaks another ends "
        "as it would when the node stops.",
        ("h2", "http/1.1"),
    )
    proxy_protocol: tuple[Network, ...] = setting(
        "The networks of the balancers in front of the node whose connections begin with a header of the PROXY "
        "protocol, version 1 or 2, which says whose they are. From them it is required, within ``handshake-timeout``; "
        "from others it is refused. The client's address is the header's from there on, also for limits and for "
        "``trusted-proxies``.",
        (),
    )
    application_protocols: tuple[Word, ...] = setting(
        "The protocols of a stream as ALPN names them, the preferred first, such as ``mqtt`` or ``postgresql``: a "
        "client that offers others alone is refused with the alert ``no_application_protocol``. Without the key none "
        "is agreed on.",
        (),
    )
    server_groups: tuple[Annotated[str, Reference("server-group")], ...] = setting("The server groups served here.")
    default_server_group: Annotated[str, Reference("server-group")] | None = setting(
        "The server group for clients that name an unknown server, or none while no group has the address "
        "to which they have connected. Without one such a handshake ends with the alert "
        "``unrecognized_name``.",
        None,
    )
    handshake_timeout: Seconds = setting(
        "The time for a TLS handshake, from the first packet to its end.", Seconds(10.0)
    )
    header_timeout: Seconds = setting("The time for a whole request head; then 408.", Seconds(15.0))
    body_timeout: Seconds = setting(
        "The time for a whole request body, not counting the time in which the node does not read it; then 408.",
        Seconds(300.0),
    )
    send_timeout: Seconds = setting(
        "The time after which a client is disconnected that accepts none of the bytes sent to it; on HTTP/2 the time "
        "after which a response is cut of which it accepts none.",
        Seconds(60.0),
    )
    keepalive_timeout: Seconds = setting(
        "The time for which a connection may be idle between two requests.", Seconds(75.0)
    )
    keepalive_requests: Annotated[int, Between(1, 2**31)] = setting(
        "The number of requests on one connection, after which it is closed.", 10_000
    )
    max_connections: Annotated[int, Between(1, 10**6)] = setting("The maximum number of open connections.", 4096)
    max_connections_per_client: Annotated[int, Between(1, 10**6)] = setting(
        "The maximum number of open connections from one client's network. Keep it well below an origin's "
        "``max-connections``, or one client can take them all; a proxy in front of the node, or everybody "
        "behind one NAT, is one client here.",
        512,
    )
    max_excess_connections: Annotated[int, Between(0, 10**6)] = setting(
        "The maximum number of connections beyond ``max-connections`` and ``max-connections-per-client`` "
        "that are accepted, with short timeouts, only to be answered 503 with ``Retry-After`` and closed; "
        "one client can have at most an eighth of them. Beyond this number, or with ``0``, further "
        "connections are closed at once if their client has too many, and wait in the kernel's queue "
        "otherwise.",
        64,
    )
    max_requests: Annotated[int, Between(1, 10**6)] | None = setting(
        "The maximum number of requests in progress, from their heads to the end of their responses; "
        "further ones are answered 503 with ``Retry-After``. Without the key only ``max-connections`` "
        "limits them.",
        None,
    )
    max_requests_per_client: Annotated[int, Between(1, 10**6)] | None = setting(
        "The maximum number of requests in progress from one client's network; behind a trusted proxy the "
        "client is the one that it reports.",
        None,
    )
    client_prefix_ipv4: Annotated[int, Between(1, 32)] = setting(
        "IPv4 addresses that have this many leading bits in common count as one client.", 32
    )
    client_prefix_ipv6: Annotated[int, Between(1, 128)] = setting(
        "IPv6 addresses that have this many leading bits in common count as one client; a customer usually "
        "has a /64 network.",
        64,
    )
    retry_after: Seconds = setting("The value of ``Retry-After``, rounded up to whole seconds.", Seconds(1.0))
    max_target_size: Size = setting("The longest request target; a longer one is refused with 414.", Size(8 * 1024))
    max_header_size: Size = setting("The largest request head; a larger one is refused with 431.", Size(32 * 1024))
    max_headers: Annotated[int, Between(1, 10_000)] = setting(
        "The maximum number of header fields of a request; more are refused with 431.", 100
    )
    max_streams: Annotated[int, Between(1, 10_000)] = setting(
        "HTTP/2: the maximum number of requests in progress on one connection; further ones are refused so that the "
        "client can send them again. Open connections keep the numbers for HTTP/2 that they began with.",
        128,
    )
    stream_window: Size = setting(
        "HTTP/2: how much of one request body may arrive before the origin takes any of it.", Size(64 * 1024)
    )
    max_resets: Annotated[int, Between(1, 10**6)] = setting(
        "HTTP/2: how many requests on one connection may end within ten seconds by a reset, the client's or one that "
        "its mistakes cause; then the connection is ended.",
        200,
    )
    max_glitches: Annotated[int, Between(1, 10**6)] = setting(
        "HTTP/2: how many frames that do no work (``PING``, ``SETTINGS``, ``PRIORITY``, empty ``DATA``) a client may "
        "send within ten seconds; then the connection is ended.",
        1000,
    )
    max_continuations: Annotated[int, Between(0, 1000)] = setting(
        "HTTP/2: how many ``CONTINUATION`` frames one request head may have; with more the connection is ended.", 8
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if no protocol is spoken, no body could be sent, or what needs TLS is asked without."""
        if not 0 < self.stream_window < 2**31:
            raise InvalidValue("expected a size up to 2g", which="stream-window")
        if not self.protocols:
            raise InvalidValue("names none", which="protocols")
        http = self.protocol == "http"
        if http and self.tls == "passthrough":
            raise InvalidValue("passthrough is for protocol = stream alone", which="tls")
        if http and self.tls == "no" and "http/1.1" not in self.protocols:
            raise InvalidValue("without TLS HTTP/1.1 alone is spoken", which="protocols")
        if (self.tls != "no" or not http) and self.redirect_to_https is not None:
            raise InvalidValue("has a meaning with tls = no alone, for HTTP", which="redirect-to-https")
        if self.application_protocols and (http or self.tls != "yes"):
            raise InvalidValue("is for protocol = stream with tls = yes alone", which="application-protocols")
        if not all(each.isascii() and len(each) < 256 for each in self.application_protocols):
            raise InvalidValue("a name of ALPN has at most 255 ASCII characters", which="application-protocols")

    @property
    def alpn(self) -> tuple[bytes, ...]:
        """The names of its protocols in ALPN, the preferred first."""
        if self.protocol == "stream":
            return tuple(name.encode("ascii") for name in self.application_protocols)
        if self.tls == "no":
            return _PLAIN
        return tuple(name for protocol in self.protocols for name in _ALPN[protocol])

    @property
    def only_group(self) -> str | None:
        """The server group of plain streams where there is no other: nothing else names one."""
        alone = self.protocol == "stream" and self.tls == "no" and len(self.server_groups) == 1
        return self.server_groups[0] if alone else None
