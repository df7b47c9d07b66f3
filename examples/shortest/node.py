"""The whole node beside a service of one's own: ``twistd -ny examples/shortest/node.py --pidfile=``."""

from __future__ import annotations

from twisted.application import internet, service
from twisted.internet import reactor

from edgenode import Configuration, EdgeService

application = service.Application("mine")
edge = EdgeService(Configuration.load("examples/embedding.ini"), reactor)
edge.setServiceParent(application)
internet.TimerService(60, lambda: len(edge.pools)).setServiceParent(application)
