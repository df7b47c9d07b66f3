"""Shows a folder to those whom the filters let through: ``python examples/shortest/site.py``."""

from __future__ import annotations

import sys

from twisted.internet import endpoints, reactor
from twisted.python import log
from twisted.web.server import Site
from twisted.web.static import File

from edgenode import Configuration, FilteredResource

log.startLogging(sys.stdout)
pipeline = Configuration.load("examples/embedding.ini").pipeline("everything")
endpoint = endpoints.serverFromString(reactor, "edgenode:examples/embedding.ini:listener=public")
endpoint.listen(Site(FilteredResource(pipeline, File("examples")))).addErrback(log.err)
reactor.run()
