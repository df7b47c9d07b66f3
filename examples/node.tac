# A node within a process of your own: twistd -ny examples/node.tac

import os

from twisted.application.service import Application
from twisted.internet import reactor

from edgenode import Configuration, EdgeService

configuration = Configuration.load(os.environ.get("EDGENODE_INI", "etc/edgenode.ini"))

application = Application("edgenode")
EdgeService(configuration, reactor).setServiceParent(application)
