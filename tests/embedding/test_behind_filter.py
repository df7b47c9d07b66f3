"""Resources of all kinds behind a filter: they answer as they do without it."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from klein import Klein
from twisted.cred import checkers, portal
from twisted.internet.task import deferLater
from twisted.web import resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from edgenode.embedding.filtered_resource import FilteredResource
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import Tagging
from tests.embedding.test_filtered_resource import ask, serving
from tests.support.node import get

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REQUESTS = {
    "WSGI": get("/wsgi/a%20b/c?x=1", "a.test", "Cookie: a=1", close=True),
    "WSGI chunked": get(
        "/wsgi/",
        "a.test",
        "Transfer-Encoding: chunked",
        method="POST",
        close=True,
        body=b"3\r\nabc\r\n0\r\n\r\n",
    ),
    "Expect": get(
        "/wsgi/", "a.test", "Expect: 100-continue", "Content-Length: 1", method="POST", close=True, body=b"a"
    ),
    "Klein": get("/klein/hi/bob?x=1", "a.test", close=True),
    "Klein HEAD": get("/klein/hi/bob", "a.test", method="HEAD", close=True),
    "Klein 404": get("/klein/nothing", "a.test", close=True),
    "HTTP/1.0": b"GET /klein/hi/bob HTTP/1.0\r\n\r\n",
    "pipelined": get("/klein/hi/1", "a.test") + get("/wsgi/2", "a.test", close=True),
    "File range": get("/file/text", "a.test", "Range: bytes=1-2", close=True),
    "File folder": get("/file", "a.test", close=True),
    "guard without": get("/guard", "a.test", close=True),
    "guard with": get("/guard", "a.test", "Authorization: Basic Ym9iOnB3", close=True),
    "setHost": get("/later", "a.test", close=True),
    "OPTIONS *": get("*", "a.test", method="OPTIONS", close=True),
}


def _application(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_COOKIE", "CONTENT_LENGTH")
    return [repr([*map(environ.get, names), environ["wsgi.input"].read()]).encode()]


@implementer(portal.IRealm)
class Realm:
    """Everybody sees the same."""

    def requestAvatar(self, avatar: Any, mind: Any, *interfaces: Any) -> Any:
        from twisted.web import static

        return resource.IResource, static.Data(b"secret", "text/plain"), lambda: None


class Later(resource.Resource):
    """Says later which host it has been given."""

    isLeaf = True

    def render(self, request: Any) -> int:
        request.setHost(b"other.test", 8080)
        request.write(request.getRequestHostname() + b" " + request.prePathURL())
        deferLater(_reactor(), 0, request.finish)
        return NOT_DONE_YET


def _tree(folder: pathlib.Path) -> resource.Resource:
    from twisted.web import guard, static, wsgi  # only now: they warn of what they use themselves

    folder.joinpath("text").write_text("text")
    klein, root, users = Klein(), resource.Resource(), checkers.InMemoryUsernamePasswordDatabaseDontUse(bob=b"pw")

    @klein.route("/hi/<name>", methods=["GET"])  # type: ignore[misc, unused-ignore]
    async def hi(request: Any, name: str) -> str:
        await deferLater(_reactor(), 0)
        return f"hi {name} {request.args}"

    guarded = guard.HTTPAuthSessionWrapper(portal.Portal(Realm(), [users]), [guard.BasicCredentialFactory(b"x")])
    root.putChild(b"wsgi", wsgi.WSGIResource(_reactor(), _reactor().getThreadPool(), _application))
    root.putChild(b"klein", klein.resource())
    root.putChild(b"file", static.File(str(folder)))
    root.putChild(b"guard", guarded)
    root.putChild(b"later", Later())
    return root


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_stands_behind_a_filter_answers_as_without_it(name: str, tmp_path: pathlib.Path) -> None:
    """The same bytes, but for the date."""
    root = _tree(tmp_path)
    answers = []
    for each in (root, FilteredResource(Pipeline(Tagging.of({})), root)):
        async with serving(each) as port:
            answers.append(re.sub(rb"Date: [^\r]*|nonce=\"[^\"]*\"", b"", await ask(port, REQUESTS[name])))
    assert answers[0]
    assert answers[0] == answers[1]


def _reactor() -> Any:
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return reactor
