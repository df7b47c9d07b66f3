"""Requests as a listener reads them."""

from __future__ import annotations

from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.proxy.streams import RequestHead

LIMITS = HeadLimits(target=8 * 1024, head=32 * 1024, headers=100)
"""Those of a listener that says nothing of them."""


def request_of(line: str, *fields: str, host: str = "www.test") -> RequestHead:
    """The request of a request line, of Host and of further field lines, without their line ends."""
    return read_request_head("\r\n".join((line, f"Host: {host}", *fields, "", "")).encode(), LIMITS)
