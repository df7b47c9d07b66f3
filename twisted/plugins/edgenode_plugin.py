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
    """Reads ``edgenode:FILE:listener=NAME:alpn=PROTOCOLS``; both keys may be left out."""

    prefix = "edgenode"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """The endpoint; its file is read when somebody listens.

        :raises ValueError: if it is written in another way.
        """
        from edgenode.embedding.endpoint import EdgeEndpoint

        file, *more = args or ("",)
        if not file or more or not {*kwargs} <= {"listener", "alpn"} or not kwargs.get("alpn", "").isascii():
            raise ValueError("expected edgenode:FILE:listener=NAME:alpn=PROTOCOLS, the latter two if they are needed")
        return EdgeEndpoint(reactor, file, **kwargs)


endpoint = EdgeEndpointParser()
