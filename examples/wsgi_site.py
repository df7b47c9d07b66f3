"""A WSGI application that is asked only for requests that the filters of a configuration let through.

    python examples/wsgi_site.py examples/embedding.ini tcp:8082:interface=127.0.0.1

Any will do in place of ``application``: Django's, Flask's. With the endpoint ``edgenode:`` the filters know the client.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.python import log
from twisted.web.server import Site
from twisted.web.wsgi import WSGIResource

from edgenode import Configuration, FilteredResource


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Runs in a thread of the reactor's pool."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"You have asked for {environ['PATH_INFO']}.\n".encode()]


async def main(reactor: Any, path: str, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    log.startLogging(sys.stdout)
    inner = WSGIResource(reactor, reactor.getThreadPool(), application)
    site = Site(FilteredResource(Configuration.load(path).pipeline("everything"), inner))
    port = await serverFromString(reactor, endpoint).listen(site)
    log.msg(f"listening on port {port.getHost().port}")
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
