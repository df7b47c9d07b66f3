"""``edgenode run`` and ``twistd edgenode``: the node in the foreground, and as a twistd plugin."""

from __future__ import annotations

import argparse
import pathlib
import sys
import warnings

from cryptography.utils import CryptographyDeprecationWarning
from twisted.application.service import IService
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python import usage

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.net.descriptors import raise_limit
from edgenode.node.process import Node

DEFAULT = "/etc/edgenode/edgenode.ini"
"""The configuration file of a node that is told of no other."""


class Options(usage.Options):
    """The options of ``twistd edgenode``; the file is checked before anything is opened."""

    synopsis = "[options]"
    optParameters = [["config", "c", DEFAULT, "The configuration file."]]
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
    return _node(options.path, options.configuration)


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.description = "Run the node in the foreground. SIGHUP reloads it; SIGTERM and SIGINT let open requests end."
    parser.add_argument("file", nargs="?", default=DEFAULT, metavar="FILE", help=f"the configuration file ({DEFAULT})")


def main(arguments: argparse.Namespace) -> int:
    """Run a node in the foreground until it is interrupted: its log goes to standard error.

    :return: 0; 1 if the configuration cannot be used, or a port or a file cannot be had.
    """
    path = pathlib.Path(arguments.file).absolute()
    configuration = Configuration.load(path)
    from twisted.internet import reactor

    # What Twisted says of itself means nothing to who runs a node, unless something is wrong.
    quiet = LogLevelFilterPredicate()
    for namespace in ("twisted", "log_legacy"):
        quiet.setLogLevelForNamespace(namespace, LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [quiet])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    node = _node(path, configuration)
    node.privilegedStartService()
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.run()
    return 0


def _node(path: pathlib.Path, configuration: Configuration) -> Node:
    from twisted.internet import reactor

    raise_limit()
    try:
        node = Node(path, configuration, reactor)
    except OSError as error:
        raise SystemExit(f"edgenode: cannot write the events: {error.strerror}") from error
    except ConfigurationError as error:
        raise SystemExit(f"edgenode: {path} cannot be used:\n{error}") from error
    node.install_signal_handlers()
    return node
