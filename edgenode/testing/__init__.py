"""For the test suites of other programs: a node, a pipeline, certificates and a fake origin, without sockets.

:class:`MemoryNode` is a whole node in memory, on a clock of its own; the TLS, the HTTP and the pipeline of it are those
that run on a network. Nothing here imports a reactor or a test framework: it works with trial, pytest and any other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenode.testing.certificates import CLIENT as CLIENT
    from edgenode.testing.certificates import SERVER as SERVER
    from edgenode.testing.certificates import Issued as Issued
    from edgenode.testing.certificates import make as make
    from edgenode.testing.certificates import make_authority as make_authority
    from edgenode.testing.certificates import write_pem as write_pem
    from edgenode.testing.exchanges import exchange_of as exchange_of
    from edgenode.testing.exchanges import identity as identity
    from edgenode.testing.node import Client as Client
    from edgenode.testing.node import Events as Events
    from edgenode.testing.node import MemoryNode as MemoryNode
    from edgenode.testing.node import result_of as result_of
    from edgenode.testing.origin import FakeOrigin as FakeOrigin
    from edgenode.testing.origin import OriginRequest as OriginRequest
    from edgenode.testing.reactor import MemoryReactor as MemoryReactor
    from edgenode.testing.sandbox import Sandbox as Sandbox

_HOMES = {
    "CLIENT": "certificates",
    "Client": "node",
    "Events": "node",
    "FakeOrigin": "origin",
    "Issued": "certificates",
    "MemoryNode": "node",
    "MemoryReactor": "reactor",
    "OriginRequest": "origin",
    "SERVER": "certificates",
    "Sandbox": "sandbox",
    "exchange_of": "exchanges",
    "identity": "exchanges",
    "make": "certificates",
    "make_authority": "certificates",
    "result_of": "node",
    "write_pem": "certificates",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
