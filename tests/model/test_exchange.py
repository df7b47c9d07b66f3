"""The values that travel: every header value is seen, tags only grow."""

from __future__ import annotations

from functools import partial

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import NO_BODY, Address, Body, Exchange, Geography, Request, Verification, by_name, host_of
from tests.support.growth import grows_with_its_size
from tests.support.strategies import TAGS, exchanges, requests


@given(requests)
def test_fields_have_every_value_in_order(request_: Request) -> None:
    """A repeated header has all its values, in the order received."""
    assert {name: list(values) for name, values in request_.fields.items()} == {
        name: [value for other, value in request_.headers if other == name] for name, _ in request_.headers
    }


def test_a_name_that_is_repeated_ever_so_often_takes_no_longer() -> None:
    """Its values are not copied for each of them."""
    assert len(by_name(((b"a", b""),) * 100_000)[b"a"]) == 100_000
    assert grows_with_its_size(lambda size: partial(by_name, ((b"a", b""),) * size), 5_000)


@given(exchanges, st.frozensets(st.sampled_from((*TAGS, "new"))))
def test_tagging_adds_tags_and_changes_nothing_else(exchange: Exchange, tags: frozenset[str]) -> None:
    """Tags only grow, and every other attribute stays the same object."""
    exchange = evolve(
        exchange,
        server_group="group",
        security_policy="policy",
        path_map="map",
        geography=Geography("DE"),
        time=1.5,
        standing=frozenset(("all",)),
    )
    tagged = exchange.tagged(tags)
    assert tagged.tags == exchange.tags | tags
    for attribute in fields(Exchange):
        if attribute.name != "tags":
            assert getattr(tagged, attribute.name) is getattr(exchange, attribute.name)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"example.com", b"example.com"),
        (b"example.com:8443", b"example.com"),
        (b"example.com.", b"example.com"),
        (b"example.com.:8443", b"example.com"),
        (b"[2001:db8::1]", b"[2001:db8::1]"),
        (b"[2001:db8::1]:8443", b"[2001:db8::1]"),
    ],
)
def test_the_host_is_the_authority_without_port_and_final_dot(authority: bytes, host: bytes) -> None:
    """No spelling of a host with a port or a final dot is another host."""
    assert host_of(authority) == host


def test_a_verification_is_written_as_nginx_writes_it() -> None:
    """NONE, SUCCESS or FAILED with the reason: nginx's ``$ssl_client_verify``."""
    failed = Verification(True, last_error=10, reason="certificate has expired")
    assert [str(each) for each in (Verification(), Verification(True, True), failed)] == [
        "NONE",
        "SUCCESS",
        "FAILED:certificate has expired",
    ]


def test_an_address_is_written_with_its_port() -> None:
    """IPv6 stands in brackets."""
    assert [str(Address("192.0.2.7", 443)), str(Address("2001:db8::1", 443))] == ["192.0.2.7:443", "[2001:db8::1]:443"]


@pytest.mark.parametrize(("length", "body"), [(0, NO_BODY), (5, None), (None, None)])
def test_a_request_without_a_body_says_so(length: int | None, body: Body | None) -> None:
    """Nobody has to look for what is not there; what is there has to be handed over."""
    request = Request(b"GET", b"https", b"a.test", b"/", b"/", None, b"/", length=length)
    assert request.body == body
    assert evolve(request, body=Body(b"x", 1)).body == Body(b"x", 1)
