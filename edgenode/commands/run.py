"""``twistd edgenode``: the node as a twistd plugin."""

from __future__ import annotations

import pathlib
import sys
import warnings

from cryptography.utils import CryptographyDeprecationWarning
from twisted.application.service import IService
from twisted.python import usage

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.net.descriptors import raise_limit
from edgenode.node.process import Node


class Options(usage.Options):
    """The options of ``twistd edgenode``; the file is checked before anything is opened."""

    synopsis = "[options]"
    optParameters = [["config", "c", "/etc/edgenode/edgenode.ini", "The configuration file."]]
    optFlags = [["check", None, "Check the configuration file and exit."]]

    path: pathlib.Path
    configuration: Configuration

    def postOptions(self) -> None:
        """Read the configuration.

        :raises SystemExit: with all its problems, and not with the usage: the command line was right.
        """
        # What a library tells programmers about somebody's certificate is not for the log of a node.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        self.path = pathlib.Path(self["config"]).absolute()  # for --rundir
        try:
            self.configuration = Configuration.load(self.path)
        except ConfigurationError as error:
            raise SystemExit(f"edgenode: {self['config']} cannot be used:\n{error}") from error
        if self["check"]:
            for warning in self.configuration.warnings:
                print(warning, file=sys.stderr)
            print(f"{self['config']}: ok")
            raise SystemExit(0)


def makeService(options: Options) -> IService:
    """The service of a node."""
    from twisted.internet import reactor

    raise_limit()
    try:
        node = Node(options.path, options.configuration, reactor)
    except OSError as error:
        raise SystemExit(f"edgenode: cannot write the events: {error.strerror}") from error
    except ConfigurationError as error:
        raise SystemExit(f"edgenode: {options.path} cannot be used:\n{error}") from error
    node.install_signal_handlers()
    return node
