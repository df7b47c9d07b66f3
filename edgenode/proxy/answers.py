"""What a decision adds to whatever answer the client gets, and who is told what that was.

Law: nobody but the node says where an answer ends; who is told of it is told once, and cannot hold it up.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger

from edgenode.model.decision import After
from edgenode.model.exchange import Headers
from edgenode.proxy.headers import ONE_HOP, header_lines

_log = Logger()


def added_lines(headers: Headers) -> bytes:
    """The header fields of a decision as field lines, each with its line end.

    :param headers: names in lower case; those of one hop, or of the framing, are left out.
    """
    return header_lines([(name.title(), value) for name, value in headers if name not in ONE_HOP])


def tell(after: Iterable[After], status: int, sent: int, origin_status: int) -> None:
    """Tell everybody what a request was answered: see :meth:`edgenode.model.decision.After.responded`."""
    for each in after:
        try:
            each.responded(status, sent, origin_status)
        except BaseException:  # the answer is the client's, whatever becomes of who counts it
            _log.failure("what a request was answered could not be counted")
