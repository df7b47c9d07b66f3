"""Rate limits: what is counted, what is over, and what clients are told, against a plain reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edgenode.model.decision import Action, Decision
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.model.settings import Word
from edgenode.policy.actions import PREDEFINED, Block, Skip
from edgenode.policy.flows import Flow
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.keys import Part
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.ratelimits import RateLimit
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.policy.tagging import MESSAGE
from edgenode.policy.thresholds import Amount, Threshold
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.sections import Section
from edgenode.state.memory import MemoryState
from edgenode.testing.exchanges import exchange_of

ACTIONS: Mapping[str, Action] = {**PREDEFINED, "ban-it": Block("ban-it", status=403, priority=700)}


@define
class Clock:
    """Seconds, when told so."""

    time: float = 1000.0

    def __call__(self) -> float:
        """Now."""
        return self.time


def limit(*lines: str, key: str = "ip", count: str = "requests", **keys: Any) -> RateLimit:
    """A section."""
    parts = tuple(Part.from_text(word) for word in key.split(", ") if word)
    thresholds = tuple(map(Threshold.from_text, lines))
    return RateLimit(key=parts, limit=thresholds, count=Amount.from_text(count), **keys)


@define
class Node:
    """A pipeline that has these limits, and a clock."""

    limits: Mapping[str, RateLimit]
    named: tuple[str, ...] = ()
    clock: Clock = field(factory=Clock)
    state: MemoryState = field(init=False)
    pipeline: Pipeline = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Compile them."""
        self.state = MemoryState(self.clock, self.clock)
        self.load(self.limits)

    def load(self, limits: Mapping[str, RateLimit]) -> None:
        """What a reload does."""
        stages = compiled(Rules(rate_limits=limits, actions=ACTIONS))
        self.pipeline = pipeline_of(stages, selection=Selection(self.state, self.named))

    def judge(self, exchange: Exchange) -> Decision:
        """The decision on it."""
        decision = self.pipeline.decide(exchange)
        assert isinstance(decision, Decision)
        return decision

    def ask(self, *headers: tuple[str, str], address: str = "192.0.2.7", url: str = "https://www.test/") -> Decision:
        """The decision on a request."""
        return self.judge(exchange_of("GET", url, headers, address=address))


def answer(decision: Decision, status: int = 200, sent: int = 0, origin_status: int | None = None) -> None:
    """What comes of the request."""
    for after in decision.after:
        after.responded(status, sent, status if origin_status is None else origin_status)


def told(decision: Decision) -> dict[str, str]:
    """The header fields that the client gets because of its limits."""
    found = {name.decode(): value.decode() for name, value in decision.headers}
    if isinstance(decision.action, Block):
        exchange = exchange_of("GET", "https://www.test/")
        found |= {name.decode(): value.render(exchange).decode() for name, value in decision.action.headers}
    return found


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_what_is_over_the_threshold_is_refused_with_429_until_its_window_ends() -> None:
    """The window begins with the first request; all of it is told to the client."""
    node = Node({"api": limit("2 per 1m")})
    assert told(node.ask()) == {"ratelimit-policy": '"api";q=2;w=60', "ratelimit": '"api";r=1;t=60'}
    node.clock.time += 20
    assert told(node.ask())["ratelimit"] == '"api";r=0;t=40'
    node.clock.time += 0.5
    over = node.ask()
    assert over.action is not None
    assert (over.action.name, getattr(over.action, "status", 0)) == ("rate-limit", 429)
    assert told(over) == {
        "ratelimit-policy": '"api";q=2;w=60',
        "ratelimit": '"api";r=0;t=40',
        "retry-after": "40",
    }
    assert {"limit:api", "action:rate-limit"} <= over.tags
    (reason,) = over.reasons
    assert (reason.stage, reason.filter, reason.action) == ("rate-limits", "api", "rate-limit")
    assert (reason.entry, reason.annotation) == ("ip: 192.0.2.7", "3 of 2 per 1m")
    assert node.ask(address="192.0.2.8").action is None
    node.clock.time += 39.5
    assert node.ask().action is None


def test_a_sliding_window_gives_back_one_after_the_other() -> None:
    """And does not count what it refuses."""
    node = Node({"api": limit("3 per 30s", window="sliding")})
    assert [told(node.ask())["ratelimit"] for _ in range(3)] == [
        '"api";r=2;t=10',
        '"api";r=1;t=10',
        '"api";r=0;t=10',
    ]
    assert [told(node.ask())["retry-after"] for _ in range(3)] == ["10"] * 3
    node.clock.time += 10
    assert [node.ask().action is None for _ in range(2)] == [True, False]
    node.clock.time += 9.5
    assert told(node.ask())["retry-after"] == "1"
    node.clock.time += 30
    assert [node.ask().action is None for _ in range(4)] == [True, True, True, False]


def test_what_only_the_answer_tells_is_counted_then_and_judged_with_the_next() -> None:
    """Five failures are let through, and no sixth request; what the origin was not asked is none of its failures."""
    node = Node({"login": limit("2 per 1m", count="status >= 400")})
    for status, origin_status in ((200, 200), (401, 401), (403, 0), (503, 503)):
        decision = node.ask()
        assert decision.action is None
        answer(decision, status, 10, origin_status)
    assert decision.headers == ()  # there is no unit for failures
    over = node.ask()
    assert over.action is not None
    assert over.reasons[0].annotation == "2 of 2 per 1m"


@pytest.mark.parametrize("window", ["fixed", "sliding"])
def test_bytes_that_have_been_sent_are_counted_all_of_them(window: str) -> None:
    """Also those of an answer that is larger than the limit."""
    node = Node({"transfer": limit("1k per 64s", count="bytes", window=window)})
    first = node.ask()
    assert told(first)["ratelimit-policy"] == '"transfer";q=1024;qu="content-bytes";w=64'
    assert told(first)["ratelimit"].startswith('"transfer";r=1024;')
    answer(first, sent=1000)
    second = node.ask()
    assert told(second)["ratelimit"].startswith('"transfer";r=24;')
    answer(second, sent=4096)
    assert told(node.ask())["retry-after"] == ("64" if window == "fixed" else "255")


def test_distinct_values_are_counted_once_each() -> None:
    """A request that has none is not counted; one that brings many has each of them counted. Once there are too many,
    those that are known already are refused too."""
    node = Node({"stuffing": limit("2 per 1m", count="distinct argument.user")})
    users = ("ann", "bob", "ann", "ANN", "bob%20")
    assert all(node.ask(url=f"https://www.test/?user={user}").action is None for user in users)
    assert node.ask().action is None
    assert node.ask(url="https://www.test/?user=eve").action is not None
    assert node.ask(url="https://www.test/?user=ann").action is not None
    assert node.ask(url="https://www.test/?user=a&user=b&user=c", address="192.0.2.8").action is not None


def test_only_what_it_includes_is_counted_and_nothing_that_it_excludes() -> None:
    """Any of the tags is enough."""
    section = limit("0 per 1m", include=("slow", "method"), exclude=("staff",))
    pipeline = Node({"a": section}).pipeline
    for tags, counted in (
        ((), False),
        (("slow",), True),
        (("method",), True),
        (("slow", "staff"), False),
        (("staff",), False),
    ):
        exchange = evolve(exchange_of("GET", "https://www.test/"), tags=frozenset(tags))
        decision = pipeline.decide(exchange)
        assert isinstance(decision, Decision)
        assert ("limit:a" in decision.tags) == counted


@pytest.mark.parametrize("window", ["fixed", "sliding"])
def test_who_can_never_pass_is_told_no_time(window: str) -> None:
    """``t=0`` would say that there is more at once, and clients would come again at once."""
    assert told(Node({"a": limit("0 per 1m", window=window)}).ask()) == {
        "ratelimit-policy": '"a";q=0;w=60',
        "ratelimit": '"a";r=0',
    }


def test_who_has_come_often_is_over_a_lower_limit_at_once() -> None:
    """What was counted counts on after a reload that lowers the threshold, or adds another of the same period."""
    node = Node({"a": limit("9 per 1m")})
    for _ in range(5):
        assert node.ask().action is None
    for lines in (("5 per 1m",), ("7 per 1m monitor", "6 per 1m")):
        node.load({"a": limit(*lines)})
        assert node.ask().action is not None
    node.load({"a": limit("8 per 1m")})
    assert node.ask().action is None


def test_a_limit_that_is_not_global_holds_where_it_is_named() -> None:
    """And one that is not active nowhere."""
    limits = {"a": limit("0 per 1m", global_=False), "b": limit("0 per 1m", global_=False), "c": limit("0 per 1m")}
    limits["d"] = limit("0 per 1m", active=False)
    assert {tag for tag in Node(limits, ("b",)).ask().tags if tag.startswith("limit:")} == {"limit:b", "limit:c"}
    assert "counting" not in [stage.name for stage in Node({"a": limits["a"]}).pipeline.stages]


@pytest.mark.parametrize(("keys", "over"), [({"include": ("bought",)}, [2]), ({"exclude": ("flow:buy",)}, [0, 1, 3])])
def test_a_limit_sees_the_tags_that_a_flow_puts_on_the_same_request(keys: dict[str, Any], over: list[int]) -> None:
    """In one call of the state; for bytes too, which are counted afterwards."""
    steps = {"cart": Section(entries=(entry("path", "^/cart"),)), "pay": Section(entries=(entry("path", "^/pay"),))}
    flow = Flow(steps=("cart", "pay"), key=(Part.from_text("ip"),), tags=(Word("bought"),))
    for count, line in (("requests", "0 per 1h"), ("bytes", "0 per 1h")):
        limits = {"a": limit(line, count=count, **keys)}
        rules = Rules(definitions=Definitions(steps), flows={"buy": flow}, rate_limits=limits, actions=ACTIONS)
        pipeline = pipeline_of(compiled(rules), selection=Selection(MemoryState()))
        found = []
        for at, path in enumerate(("/", "/cart", "/pay", "/cart")):
            decision = pipeline.decide(exchange_of("GET", f"https://www.test{path}"))
            assert isinstance(decision, Decision)
            assert bool(decision.after) == (count == "bytes" and at in over)
            found += [at] if "limit:a" in decision.tags else []
        assert found == over


def test_who_is_exempt_is_not_counted() -> None:
    """By the word of an action that skips; other stages judge all the same, and the reasons say so."""
    actions = {**ACTIONS, "staff": Skip("staff", exempts=frozenset(("rate-limits",)))}
    filters = {"staff": GlobalFilter(entries=(entry("header.x-staff", "yes"),), action="staff")}
    rules = Rules(global_filters=filters, rate_limits={"a": limit("1 per 1m")}, actions=actions)
    pipeline = pipeline_of(compiled(rules), selection=Selection(MemoryState()))
    for headers, over in (([("X-Staff", "yes")], False),) * 3 + (([], False), ([], True)):
        decision = pipeline.decide(exchange_of("GET", "https://www.test/", headers))
        assert isinstance(decision, Decision)
        assert ("limit:a" in decision.tags) == over
        assert any(reason.entry == "left out" for reason in decision.reasons) == bool(headers)


def test_messages_of_websockets_are_counted_by_who_includes_their_tag() -> None:
    """They are no requests."""
    limits = {"requests": limit("0 per 1m"), "messages": limit("0 per 1m", include=(MESSAGE,))}
    pipeline = Node(limits).pipeline
    for tags, over in ((frozenset[str](), "limit:requests"), (frozenset((MESSAGE,)), "limit:messages")):
        decision = pipeline.decide(evolve(exchange_of("GET", "https://www.test/"), tags=tags))
        assert isinstance(decision, Decision)
        assert {tag for tag in decision.tags if tag.startswith("limit:")} == {over}


# -- thresholds, bans and headers --------------------------------------------------------------------------------------


def test_of_several_thresholds_each_has_its_action_and_the_strongest_is_taken() -> None:
    """Those with the same period share a count; a threshold that only reports is not told to clients."""
    node = Node({"api": limit("1 per 1m monitor", "2 per 1m", "3 per 1h ban-it")})
    names = [None if (action := node.ask().action) is None else action.name for _ in range(4)]
    assert names == [None, "monitor", "rate-limit", "ban-it"]
    last = node.ask()
    assert [reason.annotation for reason in last.reasons] == ["5 of 1 per 1m", "5 of 2 per 1m", "5 of 3 per 1h"]
    assert told(last)["ratelimit-policy"] == '"api 2 per 1m";q=2;w=60, "api 3 per 1h";q=3;w=3600'
    assert told(last)["ratelimit"] == '"api 2 per 1m";r=0;t=60, "api 3 per 1h";r=0;t=3600'
    assert told(last)["retry-after"] == "3600"


def test_several_limits_are_members_of_one_list() -> None:
    """In the order of the file; without ``headers`` a limit is not told, but refuses with ``Retry-After``."""
    node = Node({"a": limit("5 per 1m"), 'say "b"': limit("9 per 1h", key=""), "c": limit("1 per 1s", headers=False)})
    assert told(node.ask()) == {
        "ratelimit-policy": '"a";q=5;w=60, "say \\"b\\"";q=9;w=3600',
        "ratelimit": '"a";r=4;t=60, "say \\"b\\"";r=8;t=3600',
    }
    assert told(node.ask())["retry-after"] == "1"


def test_a_ban_outlasts_the_window_and_counts_nothing_meanwhile() -> None:
    """It is of the key alone, begins with the request that is over, and is not made longer by asking again."""
    node = Node({"login": limit("1 per 1s", ban=600.0)})
    assert [node.ask().action is None for _ in range(2)] == [True, False]
    for _ in range(5):
        node.clock.time += 100
        banned = node.ask()
    assert told(banned) == {
        "ratelimit-policy": '"login";q=1;w=1',
        "ratelimit": '"login";r=0;t=100',
        "retry-after": "100",
    }
    assert banned.reasons[0].annotation == "banned"
    assert "limit:login" in banned.tags
    assert node.ask(address="192.0.2.8").action is None
    (ban,) = node.state.quarantine.entries()
    assert (ban.key, ban.value, ban.who) == ("rate-limit login", "192.0.2.7", "rate-limit login")
    assert (ban.until - ban.since, ban.action) == (600.0, "rate-limit")
    node.clock.time += 100
    assert node.ask().action is None


def test_who_is_only_watched_is_not_banned() -> None:
    """A threshold that lets pass does not refuse for ten minutes; the stronger of two is what a ban comes to."""
    node = Node({"a": limit("0 per 1m monitor", ban=600.0)})
    assert [getattr(node.ask().action, "name", None) for _ in range(2)] == ["monitor", "monitor"]
    assert not node.state.quarantine.keys
    node = Node({"a": limit("0 per 1m", "0 per 1h ban-it", ban=600.0)})
    node.ask()
    node.clock.time += 10
    assert getattr(node.ask().action, "name", None) == "ban-it"


def test_a_threshold_of_nothing_is_always_over() -> None:
    """And says of no time that it would be worth another try."""
    assert "retry-after" not in told(Node({"a": limit("0 per 1m")}).ask())
    assert "retry-after" not in told(Node({"a": limit("0 per 1m", window="sliding")}).ask())


def test_secrets_are_told_to_nobody() -> None:
    """Not in reasons, not in the quarantine, not in headers."""
    node = Node({"a": limit("0 per 1m", key="header.authorization, cookie.sid", ban=60.0)})
    decision = node.ask(("Authorization", "Bearer s3cret"), ("Cookie", "sid=s3cret"))
    told_all = f"{decision.reasons} {[*node.state.quarantine.entries()]} {told(decision)}"
    assert "limit:a" in decision.tags
    assert "s3cret" not in told_all
    assert "192.0.2" not in told_all


@pytest.mark.parametrize(
    ("keys", "which", "sentence"),
    [
        ({"lines": ("1k per 1m",)}, "limit", "only bytes are written with a unit"),
        ({"lines": ("1 per 1m", "1 per 60s x")}, "limit", "1 per 1m stands there twice"),
        ({"lines": ("20000 per 1m",), "count": "distinct method"}, "limit", "every value is remembered"),
        ({"count": "distinct method", "window": "sliding"}, "window", "in fixed windows"),
        ({"include": ("a",), "exclude": ("b", "a")}, "exclude", "counts nothing"),
        ({"include": (MESSAGE,), "count": "bytes"}, "count", "a message has no answer"),
    ],
)
def test_keys_that_contradict_one_another_are_refused(keys: dict[str, Any], which: str, sentence: str) -> None:
    """With the key."""
    with pytest.raises(InvalidValue, match=sentence) as caught:
        limit(*keys.pop("lines", ("1 per 1m",)), **keys)
    assert caught.value.which == which


# -- against a plain reference -----------------------------------------------------------------------------------------


@define
class Plain:
    """A limit as one would say it: lists of what has come, and when."""

    section: RateLimit
    windows: dict[tuple[float, str], tuple[float, list[object]]] = field(factory=dict)
    arrivals: dict[tuple[int, str], Fraction] = field(factory=dict)
    bans: dict[str, tuple[float, str]] = field(factory=dict)

    def judge(self, now: float, tags: frozenset[str], key: str, value: str | None) -> tuple[list[str], bool]:
        """The actions of the thresholds that are over, or of its ban; and whether it was counted."""
        section = self.section
        if (section.include and not tags & {*section.include}) or tags & {*section.exclude}:
            return [], False
        if key in self.bans and self.bans[key][0] > now:
            return [self.bans[key][1]], False
        if section.count.kind == "distinct" and value is None:
            return [], False
        over = [
            line.action or "rate-limit"
            for at, line in enumerate(section.limit)
            if self.total(now, at, line, key, value) > line.most
        ]
        refusing = [name for name in over if name != "monitor"]
        if refusing and section.ban:
            self.bans[key] = now + section.ban, "ban-it" if "ban-it" in refusing else refusing[0]
        return over, True

    def total(self, now: float, at: int, line: Threshold, key: str, value: str | None) -> int:
        """What one line comes to with this request."""
        later = self.section.count.is_known_later
        if self.section.window == "sliding":
            return self.slide(now, at, line, key, 0 if later else 1)
        came = self.window(now, line.period, key)
        shares = [other.period for other in self.section.limit].index(line.period) == at
        if shares and not later:
            came.append(value)
        return len({*came} if self.section.count.kind == "distinct" else came) + later

    def window(self, now: float, period: float, key: str) -> list[object]:
        """What has come in the window."""
        since, came = self.windows.get((period, key), (now, []))
        if not came or now >= since + period:
            since, came = now, []
        self.windows[period, key] = since, came
        return came

    def slide(self, now: float, at: int, line: Threshold, key: str, amount: int, always: bool = False) -> int:
        """A bucket that one is poured into, and that loses one in each part of the period."""
        if not line.most:
            return 1
        level = self.arrivals.get((at, key), Fraction(0))
        since = self.windows.get((at, key), (now, []))[0]
        level = max(Fraction(0), level - Fraction(now - since) * line.most / Fraction(line.period))
        self.windows[at, key] = now, [None]
        total = ceil(level + max(1, amount))
        self.arrivals[at, key] = level + amount if always or total <= line.most else level
        return total

    def answered(self, now: float, key: str, amount: int) -> None:
        """What the answer has told."""
        for at, line in enumerate(self.section.limit):
            if self.section.window == "sliding":
                self.slide(now, at, line, key, amount, always=True)
            elif amount and [other.period for other in self.section.limit].index(line.period) == at:
                self.window(now, line.period, key).extend([None] * amount)


LINES = st.sampled_from(["0 per 12s", "1 per 12s", "3 per 12s monitor", "4 per 12s ban-it", "2 per 60s", "6 per 60s"])


@st.composite
def sections(draw: st.DrawFn) -> RateLimit:
    """Any limit by two keys."""
    count = draw(st.sampled_from(["requests", "requests", "bytes", "status >= 400", "distinct argument.user"]))
    sliding = draw(st.booleans()) and not count.startswith("distinct")
    include, exclude = draw(st.sampled_from([((), ()), (("a",), ()), ((), ("b",)), (("a", "b"), ("c",))]))
    return limit(
        *draw(st.lists(LINES, min_size=1, max_size=3, unique=True)),
        key=draw(st.sampled_from(["header.x-key", "ip, header.x-key"])),
        count=count,
        window="sliding" if sliding else "fixed",
        include=include,
        exclude=exclude,
        ban=draw(st.sampled_from([0.0, 0.0, 30.0])),
    )


class Limited(RuleBasedStateMachine):
    """Requests, answers and time, for several limits at once."""

    @initialize(several=st.lists(sections(), min_size=1, max_size=3))
    def begin(self, several: Sequence[RateLimit]) -> None:
        """Any limits."""
        self.limits = {f"l{at}": section for at, section in enumerate(several)}
        self.node = Node(self.limits)
        self.plain = {name: Plain(section) for name, section in self.limits.items()}

    @rule(seconds=st.sampled_from([1, 2, 3, 6, 11, 12, 13, 30, 60]))
    def wait(self, seconds: int) -> None:
        """Some time."""
        self.node.clock.time += seconds

    @rule(
        tags=st.frozensets(st.sampled_from("abc")),
        key=st.sampled_from("xy"),
        user=st.sampled_from(["ann", "bob", "eve", None]),
        status=st.sampled_from([200, 401]),
        sent=st.integers(0, 3),
    )
    def ask(self, tags: frozenset[str], key: str, user: str | None, status: int, sent: int) -> None:
        """A request and its answer: every limit says the same as its plain reference, and the strongest is taken."""
        url = "https://www.test/" if user is None else f"https://www.test/?user={user}"
        exchange = evolve(exchange_of("GET", url, [("X-Key", key)]), tags=tags)
        decision, now = self.node.judge(exchange), self.node.clock.time
        judged = {name: plain.judge(now, tags, key, user) for name, plain in self.plain.items()}
        over = [name for names, _ in judged.values() for name in names]
        assert {tag for tag in decision.tags if tag.startswith("limit:")} == {
            f"limit:{name}" for name, (names, _) in judged.items() if names
        }
        strongest = max(over, key=lambda name: ACTIONS[name].strength) if over else None
        assert (None if decision.action is None else decision.action.name) == strongest
        assert [reason.action for reason in decision.reasons] == over
        answer(decision, status, sent)
        for name, (_, counted) in judged.items():
            count = self.limits[name].count
            if counted and count.is_known_later:
                self.plain[name].answered(now, key, count.of_answer(sent, status))


TestLimited = Limited.TestCase
