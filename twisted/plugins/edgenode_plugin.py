"""Makes ``twistd edgenode`` and the endpoint ``edgenode:`` known; what they need is loaded when they are used."""

from __future__ import annotations

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

edgenode = ServiceMaker(
    "edgenode", "edgenode.commands.run", "An mTLS edge node: judges, filters and forwards.", "edgenode"
)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class EdgeEndpointParser:
    """Reads ``edgenode:FILE:listener=NAME``."""

    prefix = "edgenode"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """The endpoint; its file is read when somebody listens."""
        from edgenode.embedding.endpoint import EdgeEndpoint

        return EdgeEndpoint(reactor, *args, **kwargs)


endpoint = EdgeEndpointParser()
