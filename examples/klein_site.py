"""A Klein application that is asked only for requests that the filters of a configuration let through.

    python examples/klein_site.py examples/embedding.ini tcp:8081:interface=127.0.0.1

Klein is not part of the node: ``pip install klein``. examples/embedding.ini says how to make the certificates.
"""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.server import Request, Site

from edgenode import Configuration, ConfigurationError, Decision, FilteredResource

app = Klein()


@app.route("/hello/<name>")
def hello(request: Request, name: str) -> str:
    """Klein's request is Twisted's, and so has the judgement."""
    tags = request.getComponent(Decision).tags
    return f"Hello, {name}. You are {'a script' if 'script' in tags else 'no script'}.\n"


@app.route("/partners/")
def partners(request: Request) -> str:
    """Nobody comes here without a certificate: the filter partners-area sees to it."""
    return "For partners.\n"


async def main(reactor: Any, path: str, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    try:
        pipeline = Configuration.load(path).pipeline("everything")
        port = await serverFromString(reactor, endpoint).listen(Site(FilteredResource(pipeline, app.resource())))
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"listening on port {port.getHost().port}\n")
    sys.stdout.flush()
    await Deferred()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: klein_site.py CONFIGURATION ENDPOINT")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
