"""Counting connections and requests, and whose they are."""

from __future__ import annotations

import pytest

from edgenode.model.settings import Seconds
from edgenode.proxy.listener.limits import Load, Quota
from edgenode.proxy.listener.listener import Endpoint, Listener

ANYWHERE = Endpoint(0)


def test_room_for_all_and_for_one_client() -> None:
    """What is taken is refused to the next, by the limit that is in the way, until it is given back."""
    quota = Quota("requests")
    quota.limit(3, 2)
    assert [quota.take(client) for client in "aaabb"] == ["", "", "max-requests-per-client", "", "max-requests"]
    quota.give_back("a")
    assert [quota.take(client) for client in "aa"] == ["", "max-requests"]
    assert quota.count == 3


def test_one_limit_alone() -> None:
    """Without a limit for all only clients are limited, and the other way round."""
    quota = Quota("requests")
    assert not quota.limited
    quota.limit(None, 1)
    assert quota.limited
    assert [quota.take(client) for client in "aab"] == ["", "max-requests-per-client", ""]
    quota.limit(2, None)
    assert [quota.take("a"), quota.full] == ["max-requests", True]


def test_nothing_is_kept_of_clients_that_have_left() -> None:
    """However many clients come and go, only those that are here are counted, refused ones not at all."""
    quota = Quota("requests")
    quota.limit(1, 1)
    for number in range(1000):
        assert not quota.take(str(number))
        assert quota.take("refused")
        quota.give_back(str(number))
    assert quota.count == len(quota._by_client) == 0


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.77", "192.0.2.77/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    ],
)
def test_a_client_is_an_address_or_a_customers_network(address: str, client: str) -> None:
    """One IPv4 address is one client, and so is one /64 network of IPv6."""
    assert Load(Listener(endpoint=ANYWHERE, server_groups=())).client(address) == client


def test_clients_of_another_size() -> None:
    """What counts as one client is the listener's to say."""
    load = Load(Listener(endpoint=ANYWHERE, server_groups=(), client_prefix_ipv4=24, client_prefix_ipv6=48))
    assert load.client("192.0.2.77") == load.client("192.0.2.78") == "192.0.2.0/24"
    assert load.client("unknown") == "unknown"
    assert load.client("2001:db8:1:2::3") == load.client("2001:db8:1:ffff::") == "2001:db8:1::/48"


def test_a_new_network_size_does_not_disturb_the_count() -> None:
    """Who was counted in before a reload is counted out under the same name after it."""
    load = Load(Listener(endpoint=ANYWHERE, server_groups=(), max_connections_per_client=1))
    admitted = load.admit("192.0.2.77")
    load.renew(Listener(endpoint=ANYWHERE, server_groups=(), max_connections_per_client=1, client_prefix_ipv4=24))
    assert admitted is not None
    admitted.leave()
    again = load.admit("192.0.2.77")
    assert load.connections.count == 1
    assert again is not None
    assert not again.exceeded


@pytest.mark.parametrize(("most", "told"), [(0, 0), (1, 1), (8, 1), (9, 2), (64, 8)])
def test_share_of_one_client(most: int, told: int) -> None:
    """Of those who are told to come again one client has at the most an eighth, but never none."""
    load = Load(
        Listener(endpoint=ANYWHERE, server_groups=(), max_connections_per_client=1, max_excess_connections=most)
    )
    admitted = [load.admit("192.0.2.1") for _ in range(20)]
    assert [each.exceeded for each in admitted if each is not None] == [""] + ["max-connections-per-client"] * told


def test_a_listener_is_full_when_nobody_can_be_told_so() -> None:
    """As long as one more can be told to come again, one more is accepted."""
    load = Load(Listener(endpoint=ANYWHERE, server_groups=(), max_connections=1, max_excess_connections=1))
    seen = [load.full]
    for address in ("192.0.2.1", "192.0.2.2"):
        load.admit(address)
        seen.append(load.full)
    assert seen == [False, False, True]


def test_a_head_is_bounded_where_nothing_is_said() -> None:
    """The memory of a connection is counted on these, see READ_AHEAD of the transport."""
    listener = Listener(endpoint=ANYWHERE, server_groups=())
    assert (listener.max_target_size, listener.max_header_size, listener.max_headers) == (8192, 32768, 100)


@pytest.mark.parametrize(("seconds", "value"), [(0, b"0"), (0.25, b"1"), (1, b"1"), (1.5, b"2"), (3600, b"3600")])
def test_retry_after_is_whole_seconds(seconds: float, value: bytes) -> None:
    """A fraction of a second, which Retry-After cannot say, is rounded up."""
    assert Load(Listener(endpoint=ANYWHERE, server_groups=(), retry_after=Seconds(seconds))).retry_after == value
