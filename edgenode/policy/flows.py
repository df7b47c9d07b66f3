"""``[flow]``: steps that a client takes one after another within a time; whoever takes the last is tagged.

Law: a request takes at most one step, and only the next. A flow refuses nobody: rate limits, dynamic rules and ACL
profiles look for its tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from attrs import evolve, field, frozen

from edgenode.model.decision import Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Reference, Seconds, Tag, Word, setting
from edgenode.policy.compound_keys import joined
from edgenode.policy.counting import Asking
from edgenode.policy.keys import ADDRESS, Part, Texts
from edgenode.policy.selection import Selection
from edgenode.policy.tagging import MESSAGE
from edgenode.rules.matching.compiling import FormulaSet, compile_formulas
from edgenode.rules.section_formulas import SectionFormulas
from edgenode.rules.sections import Section
from edgenode.rules.tags import canonical
from edgenode.state.interface import Answers, Call, Counter


@frozen
class Flow:
    """Steps that a client takes in order within a time; the request that takes the last is tagged."""

    kind: ClassVar[str] = "flow"

    active: bool = setting("Whether its steps are counted.", True)
    global_: bool = setting(
        "Whether it is followed everywhere; with ``no`` only in the path maps that name it in ``flows``.",
        True,
    )
    steps: tuple[Annotated[str, Reference("section", repeats=True)], ...] = setting(
        "The steps in their order: names of ``[section]``. A request takes the next step if that section matches it; "
        "other steps are passed over, and so are requests in between."
    )
    within: Seconds = setting("The time for all steps, from the first on; then it begins anew.", Seconds(60.0))
    key: tuple[Part, ...] = setting(
        "Who takes the steps, by words as in the ``key`` of ``[rate-limit]``. A request in which one is missing takes "
        "none.",
        (Part.from_text(ADDRESS),),
    )
    include: tuple[Annotated[Word, Tag(own=False)], ...] = setting(
        "Only requests with any of these tags take steps; without the key all.", ()
    )
    exclude: tuple[Annotated[Word, Tag(own=False)], ...] = setting("Requests with any of these tags take none.", ())
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the request that takes the last step, besides ``flow:NAME``.", ()
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if there is no step, or no time for them; or if it excludes what it includes."""
        if not self.steps:
            raise InvalidValue("a flow has steps", which="steps")
        if not self.within:
            raise InvalidValue("0 would leave no time for any step", which="within")
        if "all" in self.exclude:
            raise InvalidValue("every request has the tag all, and so nobody takes a step", which="exclude")
        if self.include and set(self.include) <= set(self.exclude):
            raise InvalidValue("what it includes it excludes, and so nobody takes a step", which="exclude")


@frozen(eq=False)
class _Followed:
    """A flow, ready to be counted.

    :ivar last: the position of the last step.
    """

    name: str
    everywhere: bool
    include: frozenset[str]
    exclude: frozenset[str]
    keys: Texts
    counter: Counter
    last: int
    tags: frozenset[str]
    reason: Reason
    of_messages: bool


_Places = tuple[tuple[_Followed, int], ...]


@frozen(eq=False)
class Flows:
    """All flows that hold in a pipeline; their steps are looked at together.

    :ivar needs: what the steps and the keys look at besides the head of a request.
    :ivar of_messages: whether one of them follows messages of WebSockets.
    :ivar refuses: whether an ACL profile judges by their tags.
    """

    exemption: ClassVar[str] = "flows"

    needs: frozenset[str]
    _formulas: FormulaSet
    _places: tuple[_Places, ...]
    refuses: bool = False
    of_messages: bool = field(init=False)
    _by_counter: Mapping[Counter, _Followed] = field(init=False)

    @of_messages.default
    def _if_one_does(self) -> bool:
        return any(flow.of_messages for places in self._places for flow, _ in places)

    @_by_counter.default
    def _all(self) -> Mapping[Counter, _Followed]:
        return {flow.counter: flow for places in self._places for flow, _ in places}

    @classmethod
    def of(cls, flows: Mapping[str, Flow], sections: Mapping[str, Section], known: SectionFormulas) -> Flows | None:
        """Compile the active ones; ``None`` if there is none.

        :param flows: every flow by its name.
        :param sections: what they name.
        :param known: makes the formulas of these.
        :raises InvalidValue: if one names a section that does not exist, or as
            :func:`edgenode.rules.matching.compiling.compile_formulas` does.
        """
        active = {name: each for name, each in flows.items() if each.active}
        places: dict[str, list[tuple[_Followed, int]]] = {}
        for name, flow in active.items():
            followed = _followed(name, flow)
            for step, section in enumerate(flow.steps):
                if section not in sections:
                    raise InvalidValue(f"the flow {name} names a section that does not exist: {section}")
                places.setdefault(section, []).append((followed, step))
        if not active:
            return None
        compiled = compile_formulas([known.formula(sections[name], name) for name in places], names=tuple(places))
        keys = (part.needs for flow in active.values() for part in flow.key)
        needs = frozenset[str]().union(*compiled.each_needs, *keys)
        return cls(needs, compiled, tuple(map(tuple, places.values())))

    def selected(self, selection: Selection) -> Flows | None:
        """Those that hold in a pipeline; ``None`` if none does."""
        chosen = tuple(
            tuple((flow, step) for flow, step in places if flow.everywhere or flow.name in selection.flows)
            for places in self._places
        )
        return evolve(self, places=chosen, refuses=bool(selection.acl_profile)) if any(chosen) else None

    def ask(self, asking: Asking) -> None:
        """Append a call for each key of each flow of which the request may take a step."""
        exchange = asking.exchange
        steps: dict[_Followed, list[int]] = {}
        for index, _ in self._formulas.matching(exchange):
            for flow, step in self._places[index]:
                steps.setdefault(flow, []).append(step)
        tags, calls = exchange.tags, asking.calls
        message = MESSAGE in tags
        for flow, several in steps.items():
            if (flow.include and flow.include.isdisjoint(tags)) or not flow.exclude.isdisjoint(tags):
                continue
            if message and not flow.of_messages:
                continue
            start = len(calls)
            taken = tuple(sorted(several))
            calls += [Call(flow.counter, key, steps=taken) for key in flow.keys(exchange)]
            if flow.last in taken:
                positions = tuple(range(start, len(calls)))
                for tag in flow.tags:
                    asking.given[tag] = asking.given.get(tag, ()) + positions

    def hear(self, asking: Asking, answers: Answers, start: int, end: int) -> None:
        """Tag the request if it has taken a last step."""
        taken = dict.fromkeys(
            call.counter
            for call, answer in zip(asking.calls[start:end], answers[start:end], strict=True)
            if answer is not None and answer.total >= call.counter.most
        )
        for counter in taken:
            flow = self._by_counter[counter]
            asking.tag(flow.tags)
            asking.because(flow.reason)


def _followed(name: str, flow: Flow) -> _Followed:
    counter = Counter(f"{Flow.kind} {name}", "steps", len(flow.steps), flow.within)
    last = len(flow.steps) - 1
    return _Followed(
        name,
        flow.global_,
        frozenset(flow.include),
        frozenset(flow.exclude),
        joined(flow.key),
        counter,
        last,
        frozenset((canonical(f"flow:{name}"), *flow.tags)),
        Reason(Flows.exemption, name, f"step {last + 1} of {last + 1}: {flow.steps[-1]}"),
        MESSAGE in flow.include,
    )
