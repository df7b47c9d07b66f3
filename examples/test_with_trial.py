"""A test of rules with trial, without sockets: ``python -m twisted.trial examples/test_with_trial.py``."""

from __future__ import annotations

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from edgenode import Response
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox

RULES = """
[global-filter admin]
path   = ^/admin
tag    = !cert-subject:cn-alice
action = forbid

[action forbid]
type   = block
status = 403
"""


class AdminTests(SynchronousTestCase):
    """Only Alice may use ``/admin``."""

    def setUp(self) -> None:
        """A node with these rules, in front of an origin."""
        folder = self.mktemp()
        self.sandbox = Sandbox.make(folder)
        self.app = FakeOrigin()
        self.node = MemoryNode(self.sandbox.configuration(RULES), {"app": self.app})
        self.addCleanup(self.node.stop)

    def test_alice(self) -> None:
        """Her request comes to the origin, and stands in an event."""
        alice = self.node.client("www.test", self.sandbox.clients.issue("alice"))
        self.assertEqual(alice.get("/admin").status, 200)
        self.assertEqual([each.target for each in self.app.requests], [b"/admin"])
        self.assertEqual(self.node.events[0]["certificate"]["subject"], "CN=alice")

    def test_others(self) -> None:
        """They are refused, and the origin hears nothing of it."""
        self.assertEqual(self.node.client("www.test").get("/admin").status, 403)
        self.assertEqual(self.app.requests, [])

    def test_a_slow_origin(self) -> None:
        """After ``read-timeout`` the client gets 504; no time passes but on the clock of the node."""
        self.app.answer = lambda request: Deferred()
        client = HTTPClient(self.node.client("www.test"))
        waiting = client.get("https://www.test/slow")
        self.assertNoResult(waiting)
        self.node.pass_time(61)
        self.assertEqual(self.successResultOf(waiting).code, 504)

    def test_what_the_origin_says(self) -> None:
        """An answer may depend on the request."""
        self.app.answer = lambda request: Response(201, (), request.body)
        self.assertEqual(self.node.client("www.test").ask("POST", "/", body=b"abc").body, b"abc")
