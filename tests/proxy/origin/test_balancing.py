"""Which server is next, and whether there is a next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.proxy.origin.balancing import Balanced, Balancer
from edgenode.proxy.origin.server import Server

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def servers(weights: Sequence[int]) -> tuple[Server, ...]:
    """Servers with these weights."""
    return tuple(Server(True, f"s{number}.test", 443, weight) for number, weight in enumerate(weights))


def balancer(weights: Sequence[int] = (1, 1), max_fails: int = 1, fail_timeout: float = 10.0) -> Balancer:
    """The balancer of servers with these weights."""
    return Balancer(servers(weights), max_fails, fail_timeout)


def chosen(balancer: Balancer, count: int, now: float = 0.0) -> list[int]:
    """The numbers of the servers chosen next."""
    return [balancer.servers.index(server) for _ in range(count) if (server := balancer.choose(now)) is not None]


# -- weights -----------------------------------------------------------------------------------------------------------


@given(WEIGHTS, st.integers(0, 50))
def test_every_server_gets_the_share_of_its_weight(weights: list[int], skipped: int) -> None:
    """Over any run of as many requests as the weights add up to, each server is chosen as often as its weight says."""
    balanced = balancer(weights)
    chosen(balanced, skipped)
    assert Counter(chosen(balanced, sum(weights))) == dict(enumerate(weights))


@given(WEIGHTS.filter(lambda weights: len(weights) > 1), st.data())
def test_a_server_passed_over_leaves_its_share_to_the_others(weights: list[int], data: st.DataObject) -> None:
    """While one is out the others share by their own weights, and it is not chosen at all."""
    balanced = balancer(weights, fail_timeout=1e9)
    out = data.draw(st.integers(0, len(weights) - 1))
    balanced.failed(balanced.servers[out], 0.0)
    rest = {number: weight for number, weight in enumerate(weights) if number != out}
    assert Counter(chosen(balanced, sum(rest.values()))) == rest


@given(
    WEIGHTS, st.lists(st.tuples(st.sampled_from(["choose", "fail", "succeed", "wait"]), st.integers(0, 5)), max_size=60)
)
def test_the_shares_are_kept_through_any_failures(weights: list[int], events: list[tuple[str, int]]) -> None:
    """Whatever has failed before, once all are healthy no server is further than its peers' weights from its share."""
    balanced, now = balancer(weights, fail_timeout=5.0), 1.0
    for event, number in events:
        server = balanced.servers[number % len(weights)]
        match event:
            case "choose":
                assert balanced.choose(now) is not None
            case "fail":
                balanced.failed(server, now)
            case "succeed":
                balanced.succeeded(server)
            case "wait":
                now += number
        assert sum(each.current for each in balanced.servers) == 0
    for server in balanced.servers:
        server.out_until, server.on_trial = 0.0, False
    total, rounds = sum(weights), 20
    counts = Counter(chosen(balanced, rounds * total, now))
    for number, weight in enumerate(weights):
        assert abs(counts[number] - rounds * weight) <= total


def test_heavy_servers_are_not_chosen_in_a_row() -> None:
    """The round robin is smooth: with weights 5, 1, 1 the sequence is nginx's."""
    assert chosen(balancer((5, 1, 1)), 7) == [0, 0, 1, 0, 2, 0, 0]


# -- failures ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.floats(1.0, 60.0))
def test_max_fails_within_fail_timeout_pass_a_server_over(max_fails: int, fail_timeout: float) -> None:
    """That many failures, and no fewer, take a server out for fail-timeout, and no longer."""
    balanced = balancer(max_fails=max_fails, fail_timeout=fail_timeout)
    bad = balanced.servers[0]
    for _ in range(max_fails - 1):
        balanced.failed(bad, 1.0)
    assert 0 in chosen(balanced, 2, 1.0)
    balanced.failed(bad, 1.0)
    assert chosen(balanced, 4, 1.0 + fail_timeout * 0.99) == [1, 1, 1, 1]
    assert 0 in chosen(balanced, 2, 1.0 + fail_timeout)


def test_failures_far_apart_do_not_add_up() -> None:
    """A failure longer ago than fail-timeout is forgotten."""
    balanced = balancer(max_fails=2)
    balanced.failed(balanced.servers[0], 0.0)
    balanced.failed(balanced.servers[0], 11.0)
    assert 0 in chosen(balanced, 2, 11.0)
    balanced.failed(balanced.servers[0], 12.0)
    assert 0 not in chosen(balanced, 2, 12.0)


def test_a_success_in_between_excuses_no_failure() -> None:
    """A server that fails every other time is passed over all the same."""
    balanced = balancer(max_fails=2)
    balanced.failed(balanced.servers[0], 0.0)
    balanced.succeeded(balanced.servers[0])
    balanced.failed(balanced.servers[0], 2.0)
    assert 0 not in chosen(balanced, 4, 2.0)


def test_one_request_tries_a_server_again() -> None:
    """After fail-timeout one request goes to it; further ones wait for what becomes of that, or for fail-timeout."""
    balanced = balancer(max_fails=3)
    for _ in range(3):
        balanced.failed(balanced.servers[0], 0.0)
    assert chosen(balanced, 6, 10.0).count(0) == 1
    assert chosen(balanced, 4, 19.9).count(0) == 0
    assert chosen(balanced, 4, 20.0).count(0) == 1


def test_the_success_of_a_trial_brings_a_server_back() -> None:
    """A good answer on trial, and the server has its share again."""
    balanced = balancer()
    balanced.failed(balanced.servers[0], 0.0)
    assert 0 in chosen(balanced, 4, 10.0)
    balanced.succeeded(balanced.servers[0])
    assert sorted(chosen(balanced, 4, 10.5)) == [0, 0, 1, 1]


def test_the_failure_of_a_trial_takes_a_server_out_at_once() -> None:
    """On trial one failure is enough, whatever max-fails says."""
    balanced = balancer(max_fails=3)
    for _ in range(3):
        balanced.failed(balanced.servers[0], 0.0)
    assert 0 in chosen(balanced, 4, 10.0)
    balanced.failed(balanced.servers[0], 15.0)
    assert chosen(balanced, 4, 24.9).count(0) == 0


def test_a_late_success_does_not_bring_a_server_back() -> None:
    """The answer to a request from before the failures counts for nothing."""
    balanced = balancer()
    balanced.failed(balanced.servers[0], 0.0)
    balanced.succeeded(balanced.servers[0])
    assert 0 not in chosen(balanced, 4, 1.0)


@given(WEIGHTS)
def test_if_all_are_passed_over_all_are_tried(weights: list[int]) -> None:
    """With every server out there is still a choice, by weight."""
    balanced = balancer(weights)
    for server in balanced.servers:
        balanced.failed(server, 0.0)
    assert Counter(chosen(balanced, sum(weights), 1.0)) == dict(enumerate(weights))


def test_max_fails_0_passes_no_server_over() -> None:
    """0 switches the counting off."""
    balanced = balancer(max_fails=0)
    for _ in range(100):
        balanced.failed(balanced.servers[0], 0.0)
    assert sorted(chosen(balanced, 4)) == [0, 0, 1, 1]


@given(WEIGHTS, st.data())
def test_what_was_tried_is_not_chosen_again(weights: list[int], data: st.DataObject) -> None:
    """Each choice is an untried server while there is one, then there is none; healthy ones come first."""
    balanced = balancer(weights)
    bad = data.draw(st.sets(st.integers(0, len(weights) - 1)))
    for number in bad:
        balanced.failed(balanced.servers[number], 0.0)
    tried: list[Balanced] = []
    while (server := balanced.choose(1.0, tried)) is not None:
        assert server not in tried
        tried.append(server)
    assert len(tried) == len(weights)
    if len(weights) > 1:
        assert {balanced.servers.index(server) for server in tried[: len(weights) - len(bad)]}.isdisjoint(bad)


# -- servers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("https://a.test", Server(True, "a.test", 443)),
        ("http://a.test", Server(False, "a.test", 80)),
        ("https://10.0.0.1:8443/ weight=3", Server(True, "10.0.0.1", 8443, 3)),
        ("https://[2001:db8::1]:1", Server(True, "2001:db8::1", 1)),
        ("https://10.0.0.1 backup weight=3", Server(True, "10.0.0.1", 443, 3, backup=True)),
        ("http://unix:80", Server(False, "unix", 80)),
        ("unix:/run/app.sock", Server(False, "/run/app.sock", 0)),
        ("unix:/run/app.sock weight=2", Server(False, "/run/app.sock", 0, 2)),
        ("http://unix:/run/app.sock", Server(False, "/run/app.sock", 0)),
        ("http://unix:/run/app.sock: weight=2", Server(False, "/run/app.sock", 0, 2)),
        ("https://unix:/run/app.sock", Server(True, "/run/app.sock", 0)),
        ("unix:///run/app.sock", Server(False, "/run/app.sock", 0)),
        ("https://unix:/run/app.sock:/", Server(True, "/run/app.sock", 0)),
        ("tls://unix:/run/log.sock", Server(True, "/run/log.sock", 0, stream=True)),
        (f"unix:/{'x' * 106}", Server(False, f"/{'x' * 106}", 0)),
    ],
)
def test_a_server_is_read(text: str, server: Server) -> None:
    """Scheme, host, port and weight, the port the scheme's own if absent; or a socket, in both notations of nginx."""
    assert Server.from_text(text) == server


@pytest.mark.parametrize(
    ("server", "text", "shown", "authority"),
    [
        (Server(True, "a.test", 443), "https://a.test:443", "a.test:443", "a.test"),
        (Server(False, "a.test", 443), "http://a.test:443", "a.test:443", "a.test:443"),
        (Server(False, "2001:db8::1", 80), "http://[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]"),
        (Server(True, "2001:db8::1", 80), "https://[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]:80"),
        (Server(False, "/run/app.sock", 0), "http://unix:/run/app.sock", "unix:/run/app.sock", "localhost"),
        (Server(True, "/run/app.sock", 0), "https://unix:/run/app.sock", "unix:/run/app.sock", "localhost"),
        (Server(True, "log.test", 6514, 1, True), "tls://log.test:6514", "log.test:6514", "log.test:6514"),
        (Server(False, "fd00::1", 601, 1, True), "tcp://[fd00::1]:601", "[fd00::1]:601", "[fd00::1]:601"),
    ],
)
def test_a_server_is_written(server: Server, text: str, shown: str, authority: str) -> None:
    """As it may be read again, as events have it, and as a Host field does."""
    assert (str(server), str(Balanced(server)), Balanced(server).authority) == (text, shown, authority)
    assert Server.from_text(text) == server


@pytest.mark.parametrize(
    "text",
    [
        "a.test", "ftp://a.test", "https://", "https://a.test:0", "https://a.test:65536", "https://a.test/path",
        "https://user@a.test", "https://a.test weight=0", "https://a.test weight=1001", "https://a.test heavy=1",
        "https://b\xfccher.test", "https://a.test weight=1.5", "https://a b", "https://[a.test]", "10.0.0.1:80",
        "unix:", "unix:/", "unix:run/app.sock", "unix://run", "ftp://unix:/run/app.sock", "unix:/run/app.sock:/uri",
        "unix:/run/app.sock heavy=1", "https://unix:/run/app.sock weight=0", "unix:/run/a b", f"unix:/{'x' * 107}", "tls://log.test",
        "tls:log.test:6514", "tls://log.test:0", "udp://log.test:514", "udp://unix:/run/log.sock",
    ],
)  # fmt: skip
def test_what_is_no_server_is_refused(text: str) -> None:
    """Nothing is guessed; names are ASCII, as SNI and certificates have them."""
    with pytest.raises(InvalidValue):
        Server.from_text(text)


@pytest.mark.parametrize(("text", "sentence", "at"), [
    ("https://a.test/path", "a server has no path: the request's own is sent to it", "/path"),
    ("http://unix:/run/app.sock:/path", "a server has no path: the request's own is sent to it", "/path"),
    ("unix:run/app.sock", "the path of a socket begins with /", "run"),
    ("unix://run/app.sock", "the path of a socket begins with /", "run"),
    (f"https://unix:/{'x' * 107}", "the path of a socket has at most 107 bytes", "/x"),
    ("https://a.test weight=0", "behind a server stands weight=N, from 1 to 1000, or backup", "weight"),
    ("https://a.test backup=1", "behind a server stands weight=N", "backup"),
    ("https://a.test weight=1 backup weight=2", "weight stands there twice", "weight=2"),
    ("tls://log.test", "a stream has no usual port: tls://log.test:PORT", "log.test"),
    ("tcp://log.test:601/path", "a server has no path: the request's own is sent to it", "/path"),
    ("a.test:80", "expected http:// or https:// with host:port, unix:/path, or", "a.test"),
])  # fmt: skip
def test_what_is_wrong_with_a_server_is_said(text: str, sentence: str, at: str) -> None:
    """With what would be right, and where it goes wrong."""
    with pytest.raises(InvalidValue) as caught:
        Server.from_text(text)
    assert caught.value.sentence.startswith(sentence)
    assert caught.value.column == text.index(at)


# -- backups, health, draining, other servers --------------------------------------------------------------------------


@given(st.lists(st.tuples(*[st.booleans()] * 4), min_size=1, max_size=6), st.integers(1, 8))
def test_who_is_asked_while_who_else_can_be(states: list[tuple[bool, bool, bool, bool]], requests: int) -> None:
    """A draining server never; a backup only while no regular server can be; what is out only while all others are."""
    balanced = Balancer(
        [Server(True, f"s{number}.test", 443, backup=backup) for number, (backup, *_) in enumerate(states)], 1, 1e9
    )
    for server, (_, sick, draining, out) in zip(balanced.servers, states, strict=True):
        server.healthy, server.draining = not sick, draining
        if out:
            balanced.failed(server, 0.0)
    left = [each for each in balanced.servers if not each.draining]
    good = [each for each in left if each.up]
    expected = [each for each in good if not each.server.backup] or good or left
    for _ in range(requests):
        chosen = balanced.choose(1.0)
        assert chosen in expected if expected else chosen is None


@given(WEIGHTS, WEIGHTS, st.integers(0, 3))
def test_of_a_server_that_stays_all_is_remembered(before: list[int], after: list[int], fails: int) -> None:
    """With other servers those that were there are the same objects, with the weights of now."""
    balanced = balancer(before, max_fails=5)
    known = balanced.servers
    for each in known:
        for _ in range(fails):
            balanced.failed(each, 0.0)
    gone = balanced.replace(servers(after))
    assert [each.server.weight for each in balanced.servers] == after
    assert balanced.servers[: len(before)] == known[: len(after)]
    assert gone == known[len(after) :]
    assert [each.fails for each in balanced.servers] == [fails] * min(len(before), len(after)) + [0] * len(
        after[len(before) :]
    )
