"""``[admin]``: where a node tells of itself over HTTP: metrics, readiness and liveness."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import ClassVar

from attrs import field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import setting
from edgenode.proxy.listener.listener import Endpoint

_LONGEST_PATH = 107  # bytes of sun_path but the last: unix(7)
_MODE = re.compile(r"0?[0-7]{3}")


@frozen
class AdminEndpoint:
    """Where it listens: ``unix:/run/edgenode/admin.sock``, or an address as listeners have it,
    ``tcp:9100:interface=127.0.0.1``.

    :ivar path: the path of a socket; empty for an address.
    :ivar address: the address.
    """

    path: str = ""
    address: Endpoint = field(factory=Endpoint)

    @classmethod
    def from_text(cls, text: str) -> AdminEndpoint:
        """Read it.

        :raises InvalidValue: if it is neither.
        """
        if not text.startswith("unix:"):
            return cls(address=Endpoint.from_text(text))
        path = text.removeprefix("unix:")
        if not path.startswith("/") or path.endswith("/") or "\0" in path:
            raise InvalidValue("the path of a socket begins with /, such as unix:/run/edgenode/admin.sock", 5)
        if len(path.encode()) > _LONGEST_PATH:
            raise InvalidValue(f"the path of a socket has at most {_LONGEST_PATH} bytes", 5)
        return cls(path)

    @property
    def is_here(self) -> bool:
        """Whether nobody on another machine can connect; of a socket of systemd's that is not known."""
        if self.path:
            return True
        return not self.address.inherited and ipaddress.ip_address(self.address.interface).is_loopback

    @property
    def place(self) -> tuple[str, int, str]:
        """What tells its socket from all others."""
        return (self.path, 0, "unix") if self.path else self.address.place(Admin.kind)

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else str(self.address)


@frozen
class SocketMode:
    """The permissions of a socket's file, octal, as chmod(1) has them: ``600``, ``660``."""

    bits: int = 0o600

    @classmethod
    def from_text(cls, text: str) -> SocketMode:
        """Read them.

        :raises InvalidValue: if they are no such number.
        """
        if not _MODE.fullmatch(text):
            raise InvalidValue("expected three octal digits, such as 660", 0)
        return cls(int(text, 8))

    def __str__(self) -> str:
        return f"{self.bits:03o}"


@frozen
class Admin:
    """Where a node tells of itself over HTTP: metrics, which need the package ``prometheus-client``, readiness and
    liveness. The section has no name, and without it there is no such port."""

    kind: ClassVar[str] = "admin"

    endpoint: AdminEndpoint | None = setting(
        "Where it listens: ``unix:/run/edgenode/admin.sock``, or an address as listeners have it: "
        "``tcp:9100:interface=127.0.0.1``. Whoever can connect can read everything there: neither TLS nor a password "
        "is in the way. Without the key it does not listen.",
        None,
    )
    mode: SocketMode = setting(
        "The permissions of the socket's file, octal: ``600`` is for the node's user alone, ``660`` for its group too.",
        SocketMode(),
    )

    def faults(self) -> Iterator[tuple[str, str, bool]]:
        """What is wrong with its keys, or of no use: key, sentence, and whether that is only a warning."""
        endpoint = self.endpoint
        if endpoint is None:
            if self != Admin():
                yield "mode", "has no effect without endpoint", True
            return
        if find_spec("prometheus_client") is None:
            yield "endpoint", "needs the package prometheus-client: pip install prometheus-client", False
        if not endpoint.is_here:
            sentence = "is no loopback address: whoever can connect can read the metrics, without TLS or a password"
            yield "endpoint", sentence, True
        if not endpoint.path and self.mode != SocketMode():
            yield "mode", "has no effect on an address: it is for the file of a socket", True
