"""``twistd edgenode``: the node as a twistd plugin."""

from __future__ import annotations

import gc
import sys

from twisted.application.service import IService, MultiService
from twisted.internet.error import CannotListenError
from twisted.python import usage

from edgenode.config.configuration import Configuration
from edgenode.errors import ConfigurationError
from edgenode.service import EdgeService


class Options(usage.Options):
    """The options of ``twistd edgenode``; the file is checked before anything is opened."""

    synopsis = "[options]"
    optParameters = [["config", "c", "/etc/edgenode.ini", "The configuration file."]]
    optFlags = [["check", None, "Check the configuration file and exit."]]

    configuration: Configuration

    def postOptions(self) -> None:
        """Read the configuration.

        :raises usage.UsageError: with all its problems.
        """
        try:
            self.configuration = Configuration.load(self["config"])
        except ConfigurationError as error:
            raise usage.UsageError(f"{self['config']} cannot be used:\n{error}") from error
        for warning in self.configuration.warnings:
            print(warning, file=sys.stderr)
        if self["check"]:
            raise SystemExit(0)


class _Node(MultiService):
    """A process of its own for the node: it ends with one sentence if a port cannot be had."""

    def startService(self) -> None:
        super().startService()
        # What has been built now stays. Without this the collector walks all of it again and again, for the objects of
        # requests, which hold no cycles, look to it like growth.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except CannotListenError as error:
            raise SystemExit(
                f"edgenode: cannot listen on {error.interface}:{error.port}: {error.socketError.strerror}"
            ) from error


def makeService(options: Options) -> IService:
    """The service of a node."""
    from twisted.internet import reactor

    node = _Node()
    EdgeService(options.configuration, reactor).setServiceParent(node)
    return node
