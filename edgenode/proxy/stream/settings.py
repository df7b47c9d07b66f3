"""What holds for the streams of a path map, from its keys."""

from __future__ import annotations

import math

from attrs import frozen


@frozen
class StreamLimits:
    """How long a stream may last.

    :ivar idle: seconds in which nothing passes in either direction, after which it is cut.
    :ivar lifetime: seconds after which it is cut in any case.
    """

    idle: float = 300.0
    lifetime: float = math.inf


NO_LIFETIME = StreamLimits()
"""Those of a path map that says nothing of them."""
