"""Flows: steps in order, within a time, of each client by itself; the last one tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from edgenode.model.decision import Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Body, Exchange, Request
from edgenode.model.settings import Seconds
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.flows import Flow, Flows
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.keys import Part
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.sections import Section
from edgenode.state.memory import MemoryState
from tests.support.strategies import CONNECTION

SECTIONS = {
    "cart": Section(entries=(entry("path", "^/cart$"),)),
    "pay": Section(entries=(entry("path", "^/pay$"),)),
    "done": Section(entries=(entry("path", "^/done$"),)),
    "shop": Section(entries=(entry("path", "^/(?:cart|pay)$"),)),
    "paid": Section(entries=(entry("argument.card", "^4"),)),
}
FILTERS: Mapping[str, GlobalFilter] = {
    "office": GlobalFilter(entries=(entry("ip", "192.0.2.0/24"),), tags=("office",)),  # type: ignore[arg-type]
    "exempt": GlobalFilter(entries=(entry("method", "^PUT$"),), action="no-flows"),
}


def flow(*steps: str, **keys: Any) -> Flow:
    """A flow of these steps."""
    return Flow(steps=steps, **keys)


class Shop:
    """A node with flows, and a clock of its own."""

    def __init__(self, selection: Mapping[str, Any] | None = None, /, **flows: Flow) -> None:
        self.now = 1000.0
        exempting = {"no-flows": PREDEFINED["skip"].__class__("no-flows", exempts=frozenset(("flows",)))}
        rules = Rules(
            global_filters=FILTERS,
            definitions=Definitions(SECTIONS),
            actions={**PREDEFINED, **exempting},
            flows=flows,
        )
        state = MemoryState(lambda: self.now)
        self.pipeline: Pipeline = pipeline_of(compiled(rules), selection=Selection(state, **(selection or {})))

    def decide(self, path: str, client: str = "192.0.2.7", method: str = "GET", body: bytes = b"") -> Decision:
        """What is decided on a request."""
        target = path.encode()
        form = ((b"content-type", b"application/x-www-form-urlencoded"),) if body else ()
        request = Request(
            method.encode(), b"https", b"a", target, target, None, target, form, body=Body(body, len(body), False)
        )
        decision = self.pipeline.decide(Exchange(CONNECTION, request, client))
        assert isinstance(decision, Decision)
        return decision

    def flows(self, path: str, client: str = "192.0.2.7", **request: Any) -> set[str]:
        """The flows whose last step it was."""
        tags = self.decide(path, client, **request).tags
        return {tag.removeprefix("flow:") for tag in tags if tag.startswith("flow:")}


# -- against a plain reference -----------------------------------------------------------------------------------------

FLOWS: Mapping[str, Flow] = {
    "checkout": flow("cart", "pay", "done", within=Seconds(10.0)),
    "twice": flow("pay", "pay", within=Seconds(5.0)),
    "wide": flow("shop", "pay", "shop", within=Seconds(20.0)),
    "office-only": flow("cart", "pay", within=Seconds(10.0), include=("office",)),
    "others": flow("cart", "pay", within=Seconds(10.0), exclude=("office",)),
    "one": flow("pay", within=Seconds(10.0)),
    "of-paths": flow("cart", "pay", within=Seconds(10.0), key=(Part.from_text("method"),)),
}
CLIENTS = ("192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1", "2001:db8::2")
MATCHES = {"cart": ("/cart",), "pay": ("/pay",), "done": ("/done",), "shop": ("/cart", "/pay")}


def who(name: str, client: str, method: str) -> str:
    """Whose steps they are: a client of IPv6 is its network."""
    if name == "of-paths":
        return method
    return "2001:db8::" if ":" in client else client


class Following(RuleBasedStateMachine):
    """Requests of some clients, in any order and at any time; and what flows would say, worked out one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(**FLOWS)
        self.taken: dict[tuple[str, str], tuple[float, int]] = {}

    @rule(seconds=st.sampled_from((0.0, 0.5, 2.5, 5.0, 9.5, 10.0, 21.0)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.shop.now += seconds

    @rule(
        path=st.sampled_from(("/cart", "/pay", "/done", "/else")),
        client=st.sampled_from(CLIENTS),
        method=st.sampled_from(("GET", "POST")),
    )
    def ask(self, path: str, client: str, method: str) -> None:
        """A request comes."""
        expected = set()
        for name, each in FLOWS.items():
            if (name == "office-only") != client.startswith("192.0.2.") and name in ("office-only", "others"):
                continue
            key = name, who(name, client, method)
            began, steps = self.taken.get(key, (self.shop.now, 0))
            if self.shop.now >= began + each.within:
                began, steps = self.shop.now, 0
            if path not in MATCHES[each.steps[steps]]:
                continue
            if steps + 1 == len(each.steps):
                expected.add(name)
            else:
                self.taken[key] = (began if steps else self.shop.now), steps + 1
        assert self.shop.flows(path, client, method=method) == expected


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# -- what flows promise ------------------------------------------------------------------------------------------------


def test_the_last_step_in_order_tags_the_request_that_takes_it() -> None:
    """With the tags of the flow and its own name, and the reason says which step it was."""
    shop = Shop(checkout=flow("cart", "pay", "done", tags=("buyer",)))
    assert [shop.flows(path) for path in ("/cart", "/pay", "/done")] == [set(), set(), {"checkout"}]
    decision = shop.decide("/done")
    assert {"flow:checkout", "buyer"} <= decision.tags
    assert Reason("flows", "checkout", "step 3 of 3: done") in decision.reasons
    assert decision.action is None


def test_steps_out_of_order_and_repeated_ones_are_passed_over() -> None:
    """They neither take a step nor undo one."""
    shop = Shop(checkout=flow("cart", "pay", "done"))
    taken = [shop.flows(path) for path in ("/done", "/pay", "/cart", "/cart", "/done", "/pay", "/cart", "/done")]
    assert taken == [set()] * 7 + [{"checkout"}]


def test_the_last_step_may_be_repeated_until_the_time_is_over() -> None:
    """Which runs from the first step, and not from the last."""
    shop = Shop(checkout=flow("cart", "pay", within=Seconds(10.0)))
    shop.flows("/cart")
    shop.now += 6
    assert shop.flows("/pay") == {"checkout"}
    shop.now += 3.5
    assert shop.flows("/pay") == {"checkout"}
    shop.now += 0.5
    assert shop.flows("/pay") == set()


def test_who_begins_anew_in_time_has_no_more_of_it() -> None:
    """A first step in the window is a repeated one: whoever keeps sending it does not stretch the time."""
    shop = Shop(checkout=flow("cart", "pay", within=Seconds(10.0)))
    shop.flows("/cart")
    shop.now += 9
    shop.flows("/cart")
    shop.now += 1
    assert shop.flows("/pay") == set()


def test_a_request_takes_one_step_of_each_flow() -> None:
    """Also if it matches several, and the same section may be several steps."""
    shop = Shop(thrice=flow("shop", "shop", "pay"))
    assert [shop.flows(path) for path in ("/pay", "/pay", "/cart", "/pay")] == [set(), set(), set(), {"thrice"}]


def test_clients_do_not_take_each_others_steps() -> None:
    """Nor the requests of one with and without the part of a key."""
    shop = Shop(checkout=flow("cart", "pay", key=(Part.from_text("ip"), Part.from_text("method"))))
    shop.flows("/cart")
    assert shop.flows("/pay", "192.0.2.8") == set()
    assert shop.flows("/pay", method="POST") == set()
    assert shop.flows("/pay") == {"checkout"}
    missing = Shop(checkout=flow("cart", "pay", key=(Part.from_text("header.x-id"),)))
    assert [missing.flows(path) for path in ("/cart", "/pay")] == [set(), set()]


def test_one_that_is_not_active_is_not_there() -> None:
    """The pipeline is as if there were none."""
    assert "counting" not in [stage.name for stage in Shop(off=flow("cart", "pay", active=False)).pipeline.stages]


def test_one_that_is_not_global_is_followed_where_it_is_named() -> None:
    """And only there; the others are followed besides."""
    named = flow("cart", "pay", global_=False)
    assert "counting" not in [stage.name for stage in Shop(mine=named).pipeline.stages]
    for selected, found in ((("mine",), {"mine", "all"}), ((), {"all"})):
        shop = Shop({"flows": selected}, mine=named, all=flow("cart", "pay"))
        shop.flows("/cart")
        assert shop.flows("/pay") == found


def test_who_is_exempt_takes_no_step() -> None:
    """An action exempts from flows by that word, and the event says so."""
    shop = Shop(checkout=flow("cart", "pay"))
    assert Reason("flows", "", "left out") in shop.decide("/cart", method="PUT").reasons
    assert shop.flows("/pay") == set()


def test_steps_that_look_at_bodies_have_the_body_awaited() -> None:
    """A pipeline with such a step inspects bodies, and others do not."""
    shop = Shop(checkout=flow("cart", "paid"))
    assert shop.pipeline.inspects
    assert not Shop(checkout=flow("cart", "pay")).pipeline.inspects
    shop.flows("/cart")
    assert shop.flows("/x", method="POST", body=b"card=4111") == {"checkout"}


def test_who_hides_a_step_from_an_acl_profile_is_refused() -> None:
    """Where a profile may judge by the tags of flows, what their steps cannot see is refused, as it is for filters."""
    flows = {"paying": flow("cart", "paid")}
    hidden = b"&" * 5000 + b"card=4111"
    shop = Shop(**flows)
    assert shop.decide("/x", method="POST", body=hidden).action is None
    shop = Shop({"acl_profile": "any"}, **flows)
    action = shop.decide("/x", method="POST", body=hidden).action
    assert action is not None
    assert action.name == "uninspected"


def test_flows_of_the_same_steps_look_once() -> None:
    """Each section is one formula, however many flows name it."""
    formulas = Flows.of({str(at): flow("cart", "pay") for at in range(50)}, SECTIONS, _known())
    assert formulas is not None
    assert len(formulas._formulas.each_needs) == 2


def _known() -> Any:
    from edgenode.rules.section_formulas import SectionFormulas

    return SectionFormulas(Definitions(SECTIONS))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"steps": ()}, "a flow has steps"),
        ({"steps": ("cart", "pay"), "within": Seconds(0.0)}, "0 would leave no time"),
        ({"steps": ("cart", "pay"), "include": ("a",), "exclude": ("a",)}, "nobody takes a step"),
    ],
)
def test_a_flow_that_could_not_be_taken_is_refused(keys: dict[str, Any], sentence: str) -> None:
    """When it is read."""
    with pytest.raises(InvalidValue, match=sentence):
        Flow(**keys)
