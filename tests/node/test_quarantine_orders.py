"""What ``edgenode quarantine`` has a node do: which values it takes, about which it asks twice, and what it says."""

from __future__ import annotations

import json
import math
import os
import pathlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgenode.config.load import Configuration
from edgenode.node.control import Report
from edgenode.node.quarantine_orders import LONGEST_WHY, MOST_SHOWN, obey, user
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import FIELDS
from edgenode.state.interface import Entry
from tests.support.node import PKI, ini

NOW = 2_000_000_000.0
WHO = "root (uid 0)"


@pytest.fixture
def node(pki: PKI) -> Configuration:
    """The configuration of a node, with the quarantine that it has."""
    changes: dict[str, dict[str, str | None]] = {
        "edge": {"trusted-proxies": "10.1.0.0/16, 2001:db8::1"},
        "action gone": {"type": "block", "status": "410"},
        "action let-in": {"type": "skip"},
    }
    return Configuration.from_text(ini(1, changes), pki.folder, {})


def order(node: Configuration, do: str, *words: str, **further: str) -> Report:
    """Give an order."""
    named = dict(zip(("key", "value"), words, strict=False))
    return obey({"do": do, **named, **further}, WHO, node, NOW)


def entries(node: Configuration) -> list[Entry]:
    """What is held."""
    return [*node.state.quarantine.entries()]


@pytest.mark.parametrize(
    ("key", "value", "word", "text"),
    [
        ("ip", "203.0.113.0/24", "ip", "203.0.113.0/24"),
        ("ip.src", "2001:DB8:7::/48", "ip", "2001:db8:7::/48"),
        ("country", "germany", "country", "DE"),
        ("header.User-Agent", "Evil BOT", "header.user-agent", "evil bot"),
        ("cf.tls_client_auth.cert_ski", "ab:cd", "certificate.ski", "ABCD"),
        ("certificate.fingerprint", "AB" * 32, "certificate.fingerprint", "ab" * 32),
        ("tag", "bot", "tag", "bot"),
    ],
)
def test_a_value_is_held_as_requests_are_looked_up(
    node: Configuration, key: str, value: str, word: str, text: str
) -> None:
    """With who, why and until when; the answer says it as the list will."""
    report = order(node, "add", key, value, why="too much", action="gone", **{"for": "1h"})
    assert report == Report(True, f"{word} {text} is held until 2033-05-18T04:33:20Z")
    assert entries(node) == [Entry(word, text, NOW + 3600, NOW, WHO, "too much", "gone")]


def test_without_a_time_it_is_held_until_it_is_lifted(node: Configuration) -> None:
    """And is blocked, if no action is named."""
    assert order(node, "add", "ip", "203.0.113.7") == Report(True, "ip 203.0.113.7 is held until it is lifted")
    (held,) = entries(node)
    assert (held.until, held.action, held.why) == (math.inf, "block", "")


def test_who_orders_it_again_replaces_it(node: Configuration) -> None:
    """Also where it now ends sooner, or with another action."""
    for time, action in (("2h", "block"), ("1h", "gone")):
        assert order(node, "add", "ip", "203.0.113.7", action=action, **{"for": time}).done
    (held,) = entries(node)
    assert (held.until, held.action) == (NOW + 3600, "gone")


@pytest.mark.parametrize(
    ("key", "value", "further", "sentence"),
    [
        ("ip", "203.0.113.7/24", {}, "ip 203.0.113.7/24: host bits are set: the network is 203.0.113.0/24"),
        ("ip", "203.0.113", {}, "ip 203.0.113: expected an address or a network"),
        ("coutry", "DE", {}, "there is no category coutry; did you mean country?"),
        ("nonsense", "x", {}, "there is no category nonsense; there are argument, "),
        ("header", "x", {}, "header needs a name"),
        ("country", "Atlantis", {}, "country Atlantis: "),
        ("country", "XX", {}, "what is not known"),
        ("ip", "203.0.113.7", {"for": "soon"}, "expected a duration"),
        ("ip", "203.0.113.7", {"for": "0"}, "nothing is held for no time"),
        ("ip", "203.0.113.7", {"action": "gona"}, 'there is no action gona; did you mean "gone"?'),
        ("ip", "203.0.113.7", {"action": "let-in"}, "lets requests pass"),
        ("ip", "203.0.113.7", {"action": "skip"}, "lets requests pass"),
        ("ip", "203.0.113.7", {"why": "x" * (LONGEST_WHY + 1)}, "at most 1000 characters"),
        ("ip", "203.0.113.7", {"why": "a\nb"}, "why: only printable"),
        ("header.x", "\x1b[2J", {}, "value: only printable"),
        ("header.x", "\udcff", {}, "value: only printable"),
        ("", "x", {}, "an order says what to do"),
        ("ip", "", {}, "an order says what to do"),
    ],
)
def test_what_cannot_be_held_is_said(
    node: Configuration, key: str, value: str, further: dict[str, str], sentence: str
) -> None:
    """As the configuration would say it; and nothing has changed."""
    report = order(node, "add", key, value, **further)
    assert not report.done
    assert sentence in report.text
    assert not entries(node)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("ip", "0.0.0.0/0", "that is everybody"),
        ("ip", "::/0", "that is everybody"),
        ("ip", "128.0.0.0/1", "that is a large part of the internet"),
        ("ip", "2000::/3", "that is a large part of the internet"),
        ("ip", "10.1.2.3", "10.1.0.0/16 are trusted proxies of this node"),
        ("ip", "10.0.0.0/8", "10.1.0.0/16 are trusted proxies of this node"),
        ("ip", "2001:db8::/64", "2001:db8::1/128 are trusted proxies of this node"),
        ("edge.peer_ip", "10.1.2.3", "10.1.0.0/16 are trusted proxies of this node"),
        ("tag", "all", "every request has that tag"),
        ("method", "GET", "common to many clients"),
        ("certificate.verified", "yes", "common to many clients"),
        ("http.host", "www.test", "common to many clients"),
        ("header.host", "www.test", "common to many clients"),
        ("argument.user", "ann", "looks at bodies"),
    ],
)
def test_what_would_keep_many_out_is_asked_twice(node: Configuration, key: str, value: str, sentence: str) -> None:
    """With ``--yes`` it is held all the same."""
    report = order(node, "add", key, value)
    assert not report.done
    assert sentence in report.text
    assert report.text.endswith("if that is meant, say --yes")
    assert not entries(node)
    assert order(node, "add", key, value, yes="yes").done
    assert len(entries(node)) == 1


def test_a_value_is_lifted_in_any_spelling(node: Configuration) -> None:
    """And only what is held; who lifts an address in a network that is held is told of that."""
    order(node, "add", "header.user-agent", "Evil BOT")
    order(node, "add", "ip", "203.0.113.0/24")
    assert order(node, "lift", "header.User-Agent", "evil Bot") == Report(True, "header.user-agent evil bot is lifted")
    again = order(node, "lift", "header.user-agent", "evil bot")
    assert again == Report(False, "header.user-agent evil bot is not held")
    assert order(node, "lift", "ip", "203.0.113.7").text.startswith("ip 203.0.113.7 is not held")
    assert order(node, "lift", "ip", "203.0.113.0/24").done
    assert not entries(node)


def test_a_secret_is_held_and_lifted_by_its_hash(node: Configuration) -> None:
    """The list shows that, and not the secret; it can be lifted by either."""
    for way in ("clear", "hash"):
        assert order(node, "add", "cookie.session", "S3cret").done
        (held,) = entries(node)
        assert "s3cret" not in held.value
        assert order(node, "lift", "cookie.session", "S3cret" if way == "clear" else held.value).done


def test_bans_are_lifted_by_the_limit_and_the_key(node: Configuration) -> None:
    """As the list shows them, also where the limit is no more."""
    node.state.quarantine.hold(Entry("rate-limit login", "203.0.113.7", NOW + 60, NOW, "rate-limit login", "over"))
    assert order(node, "lift", "rate-limit login", "203.0.113.8") == Report(
        False, "rate-limit login 203.0.113.8 is not held"
    )
    assert order(node, "lift", "rate-limit login", "203.0.113.7").done


def test_all_that_a_rule_holds_is_lifted_at_once(node: Configuration) -> None:
    """What others hold of the same values stays; of very many so many at a time."""
    held = node.state.quarantine.hold
    for number in range(20):
        held(Entry("ip", f"203.0.113.{number}", NOW + 60, NOW, "dynamic-rule scanners", "over"))
    held(Entry("ip", "203.0.113.7", NOW + 90, NOW, "ann (uid 1000)", "", "gone"))
    held(Entry("ip", "203.0.113.0/24", NOW + 90, NOW, "dynamic-rule others", ""))
    assert order(node, "lift", who="dynamic-rule scanners") == Report(True, "20 of dynamic-rule scanners lifted")
    assert {(each.value, each.who) for each in entries(node)} == {
        ("203.0.113.7", "ann (uid 1000)"),
        ("203.0.113.0/24", "dynamic-rule others"),
    }
    again = order(node, "lift", who="dynamic-rule scanners")
    assert again == Report(False, "nothing is held by dynamic-rule scanners")
    for number in range(MOST_SHOWN + 3):
        held(Entry("asn", str(number), math.inf, NOW, "me", ""))
    assert order(node, "lift", who="me").text == f"{MOST_SHOWN} of me lifted; 3 are left: say it again"
    assert order(node, "lift", who="me").text == "3 of me lifted"


def test_a_list_has_everything_of_every_entry(node: Configuration) -> None:
    """The oldest first; of one key alone, by whatever word of it."""
    order(node, "add", "ip", "203.0.113.7", why="too much", **{"for": "1h"})
    obey({"do": "add", "key": "country", "value": "DE"}, "ann (uid 1000)", node, NOW + 1)
    told = json.loads(order(node, "list").text)
    assert told["all"] == 2
    assert told["entries"][0] == {
        "key": "ip",
        "value": "203.0.113.7",
        "action": "block",
        "since": "2033-05-18T03:33:20Z",
        "until": "2033-05-18T04:33:20Z",
        "who": WHO,
        "why": "too much",
    }
    assert (told["entries"][1]["who"], told["entries"][1]["until"]) == ("ann (uid 1000)", None)
    assert [each["key"] for each in json.loads(order(node, "list", "ip.src.country").text)["entries"]] == ["country"]
    assert json.loads(order(node, "list", "rate-limit login").text)["entries"] == []
    assert not order(node, "list", "nonsense").done


def test_of_very_many_the_newest_are_shown(node: Configuration) -> None:
    """And how many there are."""
    for number in range(MOST_SHOWN + 5):
        node.state.quarantine.hold(Entry("asn", str(number), math.inf, float(number), "me", ""))
    told = json.loads(order(node, "list").text)
    assert told["all"] == MOST_SHOWN + 5
    assert len(told["entries"]) == MOST_SHOWN
    assert told["entries"][-1]["value"] == str(MOST_SHOWN + 4)


@pytest.mark.parametrize("do", ["", "destroy", "__init__"])
def test_what_is_no_order_is_said(node: Configuration, do: str) -> None:
    """It may be another version's command."""
    report = order(node, do, "ip", "203.0.113.7")
    assert not report.done
    assert "an order says what to do: add, lift, list" in report.text


def test_users_have_names_and_numbers() -> None:
    """As of when they ask; a number without a name is one too."""
    assert user(0) == "root (uid 0)"
    assert user(2**31 - 7) == f"uid {2**31 - 7}"
    assert str(os.getuid()) in user(os.getuid())


def test_it_needs_no_folder(tmp_path: pathlib.Path, node: Configuration) -> None:
    """Without ``[edge] state`` entries last as long as the process."""
    assert node.edge.state is None
    assert order(node, "add", "ip", "203.0.113.7").done


# -- whatever is held can be lifted ------------------------------------------------------------------------------------

_NAMED = ("x", "my name", "a|b", "%3D")
_KEYS = [
    *(f"{name}.{word}" for name, each in CATEGORIES.items() if each.named for word in _NAMED),
    *(name for name, each in CATEGORIES.items() if not each.named),
    *FIELDS,
    "tag.geo-country",
    "ip/24/56",
]
_USUAL = (
    "yes", "1", "AS5", "germany", "ab" * 32, "AB:CD", "192.0.2.0/24", "2001:DB8::/32", "::7", "clientAuth", "RSA",
    "all", "geo-country:de", "x" * 600, "\u017f", "\u0130", "\u00df", " a ", "sha256:" + "a" * 32, "sha256:" + "A" * 32,
)  # fmt: skip


@example("edge.security_policy", "x" * 600)
@example("certificate.ski", "AB" * 300)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_KEYS), st.text(max_size=20) | st.sampled_from(_USUAL) | st.ip_addresses().map(str))
def test_what_is_held_is_lifted_as_it_was_written_and_as_it_is_listed(
    node: Configuration, key: str, value: str
) -> None:
    """Of every key that there is; and who adds what the list shows holds the same."""
    quarantine = node.state.quarantine
    for entry in entries(node):
        quarantine.lift(entry.key, entry.value, "me")
    if not order(node, "add", key, value, yes="yes").done:
        assert not entries(node)
        return
    (held,) = entries(node)
    for written in ((key, value), (held.key, held.value)):
        assert order(node, "lift", *written).done
        assert not entries(node)
        assert order(node, "add", *written, yes="yes").done
        (again,) = entries(node)
        assert (again.key, again.value) == (held.key, held.value)
