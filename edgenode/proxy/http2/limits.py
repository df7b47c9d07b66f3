"""What a peer of HTTP/2 is held to on one connection (RFC 9113, section 10.5).

Law: what a peer may do at any time is counted by rate, never by sum: a connection of gRPC lives for days and pings.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Rate:
    """How often something may happen.

    :ivar burst: how often at once.
    :ivar per_second: how often in a second, in the long run.
    """

    burst: int
    per_second: int


@frozen
class EngineLimits:
    """What a peer may make an engine do or keep.

    :ivar max_concurrent_streams: how many streams of the peer may be open: a client's requests.
    :ivar max_header_list_size: of one header list, as RFC 9113, section 10.5.1, counts; bytes. Only a list of more than
        twice the size ends the connection: one that is a little too large can be answered.
    :ivar max_headers: how many fields one header list may have; likewise.
    :ivar max_continuations: how many CONTINUATION frames may follow one HEADERS frame.
    :ivar stream_window: how many bytes of a body may come before any of them are consumed.
    :ivar connection_window: the same of all bodies together.
    :ivar resets: streams that a client resets, or makes us reset.
    :ivar glitches: frames that do no work: SETTINGS, PRIORITY, PRIORITY_UPDATE, empty DATA, unknown ones, and those of
        streams that are over; PING and tiny WINDOW_UPDATE where there are more of them than are due for what was sent.
    :ivar connect_protocol: whether extended CONNECT is offered (RFC 8441); a server's engine alone.
    """

    max_concurrent_streams: int = 128
    max_header_list_size: int = 32768
    max_headers: int = 100
    max_continuations: int = 8
    stream_window: int = 65536
    connection_window: int = 1048576
    resets: Rate = Rate(200, 50)
    glitches: Rate = Rate(1000, 100)
    connect_protocol: bool = False


DEFAULT_LIMITS = EngineLimits()
"""Those of the keys' defaults."""
