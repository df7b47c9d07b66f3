"""A site of Twisted's whose resources are asked only for requests that the filters of a configuration let through.

    python examples/filtered_site.py examples/embedding.ini tcp:8080:interface=127.0.0.1

and then ``curl http://localhost:8080/`` and ``curl http://localhost:8080/partners/``. The endpoint may be any; with
``edgenode:examples/embedding.ini:listener=public`` the filters know who the client is:

    curl --cacert examples/pki/ca.pem https://localhost:8446/partners/
    curl --cacert examples/pki/ca.pem --cert examples/pki/acme.pem --key examples/pki/acme.key \
        https://localhost:8446/partners/

examples/embedding.ini says how to make the certificates.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from edgenode import Configuration, ConfigurationError, Decision, Exchange, FilteredResource


class Inner(Resource):
    """Says who asks, and what the filters think of the request."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """The judgement hangs on the request."""
        exchange, decision = request.getComponent(Exchange), request.getComponent(Decision)
        client = exchange.connection.client
        name = "stranger" if client is None else client.subject
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return f"Hello, {name}. You are {'a script' if 'script' in decision.tags else 'no script'}.\n".encode()


async def main(reactor: Any, path: str, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    try:
        pipeline = Configuration.load(path).pipeline("everything")
        port = await serverFromString(reactor, endpoint).listen(Site(FilteredResource(pipeline, Inner())))
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"listening on port {port.getHost().port}\n")
    sys.stdout.flush()
    await Deferred()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: filtered_site.py CONFIGURATION ENDPOINT")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
