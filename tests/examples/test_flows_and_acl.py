"""The examples of flows and of ACL profiles, run as they are written with curl; only their ports are some that are
free."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from tests.examples.test_limits import folder
from tests.examples.test_rate_limits import EVENTS, Browser, node, shop
from tests.support.node import PKI, Origin

__all__ = ["folder"]  # a fixture
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
PARTNER = ("--cert", "examples/limits/pki/partners/acme.pem", "--key", "examples/limits/pki/partners/acme.key")


def test_flows(folder: pathlib.Path, pki: PKI) -> None:
    """Who pays comes from the cart, by way of the address, with the same cookie; who collects product pages is slowed
    down, and nobody else is."""
    with Origin(pki, shop, tls=False) as origin, node(folder, "flows.ini", origin) as port:
        browser = Browser(folder, port, "shop.example.com")

        def post(path: str, session: str) -> int:
            return browser.get(path, "-X", "POST", "-b", f"session={session}")[0]

        assert [post(path, "a") for path in ("/checkout/pay", "/cart", "/checkout/pay")] == [403, 200, 403]
        assert [post("/checkout/address", each) for each in ("b", "a")] == [200, 200]
        assert [post("/checkout/pay", each) for each in ("b", "a", "a")] == [403, 200, 200]
        assert browser.get("/checkout/pay", "-b", "session=a")[0] == 200  # nobody pays by GET
        assert [browser.get(f"/products/{number}")[0] for number in range(6)] == [200] * 4 + [429] * 2
        assert browser.get("/")[0] == 200
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    assert sum("flow:checkout" in event.get("tags", ()) for event in events) == 2
    assert sum("flow:collectors" in event.get("tags", ()) for event in events) == 4


def test_acl_profiles(folder: pathlib.Path, pki: PKI) -> None:
    """The administration is there for partners and the office, and for nobody who is blocked; the shop for all
    others."""
    with Origin(pki, shop, tls=False) as origin, node(folder, "acl.ini", origin) as port:
        browser = Browser(folder, port, "shop.example.com")
        blocked, monitoring = ("-A", "BadBot/1.0"), ("-H", "Authorization: Bearer monitoring-example")
        assert [browser.get("/admin/", *each)[0] for each in ((), PARTNER, (*PARTNER, *blocked))] == [404, 200, 404]
        assert [browser.get("/", *each)[0] for each in ((), blocked, (*blocked, *monitoring))] == [200, 403, 200]
        assert browser.get("/%61dmin/")[0] == 404
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()][-7:]
    reasons = [[why["entry"] for why in event["reasons"] if why["stage"] == "acl"] for event in events]
    assert reasons == [
        ["deny: all"], ["allow: partner"], ["enforce-deny: blocked"], [], ["deny: blocked"], ["bypass: monitoring"],
        ["deny: all"],
    ]  # fmt: skip
    assert ["looked-at" in event["tags"] for event in events] == [False, False, False, False, True, True, False]
