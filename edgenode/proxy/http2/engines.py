"""The engine that runs here: that on libnghttp2, or, where ``ngh2`` cannot be imported, that on ``h2``."""

from __future__ import annotations

from edgenode.proxy.http2.engine import Engine, Receiver
from edgenode.proxy.http2.limits import DEFAULT_LIMITS, EngineLimits

try:
    import ngh2

    from edgenode.proxy.http2.nghttp2 import Nghttp2Engine as _Chosen

    ENGINE = f"libnghttp2 (ngh2 {ngh2.__version__})"
except ImportError:
    import h2

    from edgenode.proxy.http2.hyper import HyperEngine as _Chosen  # type: ignore[assignment]

    ENGINE = f"h2 {h2.__version__}, for there is no ngh2 here: several times slower"
"""Which engine runs here, for the node's start line and ``edgenode version``."""


def engine(server: bool, receiver: Receiver, limits: EngineLimits = DEFAULT_LIMITS) -> Engine:
    """An engine for one new connection; what it has to say first is in its output.

    :param server: whether the peer is a client.
    """
    return _Chosen(server, receiver, limits)
