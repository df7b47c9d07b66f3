"""The file descriptors of the process: clients are accepted only as far as each can have a connection to an origin too.

Law: whoever has been accepted is served. A process that spends its last descriptor on a further client could serve none
of them: not open a connection to an origin, not reopen its event file, not read a new certificate.
"""

from __future__ import annotations

import os
import resource

_SPARE = 32
"""Descriptors for all but clients and origins: listeners, polls, pipes, logs, name servers, files of a reload."""


def raise_limit() -> None:
    """Raise the process's limit of descriptors as far as its surroundings let it, as nginx and HAProxy do."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Descriptors:
    """Counts the clients of a process.

    :ivar clients: the connections from clients that are open.
    """

    def __init__(self) -> None:
        self.clients = 0

    @property
    def most(self) -> float:
        """How many clients the process's limit of descriptors allows."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return float("inf") if limit == resource.RLIM_INFINITY else max(1, (limit - _SPARE) // 2)

    def room(self, descriptor: int) -> bool:
        """Whether one more client can be accepted, with a connection to an origin of its own.

        The count is not the whole truth, for others open descriptors in this process too. But a new descriptor gets the
        lowest free number (POSIX, section 2.6): with a low one to be had there are enough.

        :param descriptor: any that is open.
        """
        most = self.most
        if self.clients >= most:
            return False
        try:
            lowest = os.dup(descriptor)
        except OSError:
            return False
        os.close(lowest)
        return lowest < 2 * most + _SPARE // 2


DESCRIPTORS = Descriptors()
"""Those of this process: the limit is the process's, and so is the count."""
