"""``[edge-function]``: what the functions of a configuration are made to, and where they stand in a pipeline.

Law: a function is found, and can be called as it will be, before anything uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgenode.config.extensions import Own
from edgenode.model.decision import Action
from edgenode.policy.edgefunctions import BEFORE, EdgeFunction, EdgeFunctionSection
from edgenode.policy.stages import Placed
from edgenode.policy.tagging import Tagging
from edgenode.proxy.header_names import answer_header_fault, request_header_fault


def made(sections: Mapping[str, EdgeFunctionSection], actions: Mapping[str, Action]) -> Own:
    """Every section with its stage, by the name.

    :param actions: every action by its name.
    """
    found = {}
    for name, section in sections.items():
        own = {each: actions[each] for each in section.actions}
        found[name] = section, EdgeFunction(name, section, own, request_fault)
    return found


def request_fault(name: bytes, how: str) -> str:
    """Why a function may not change a header field of a request, or answer with it: see
    :data:`edgenode.policy.edgefunctions.Fault`."""
    return answer_header_fault(name) if how == "answer" else request_header_fault(name)


def placed(own: Own, names: Sequence[str], stages: Sequence[Placed]) -> tuple[Placed, ...]:
    """The stages of one's own of a path map, with those of its functions.

    :param own: what the functions were made to.
    :param names: those of the path map.
    :param stages: the other ones.
    """
    if not names:
        return tuple(stages)
    return (*_at(own, names, before=True), *stages, *_at(own, names, before=False))


def _at(own: Own, names: Sequence[str], *, before: bool) -> Iterator[Placed]:
    for name in names:
        section, stage = own[name]
        if (section.point == BEFORE) is before:
            yield Placed(stage, after=Tagging.name if before else "", of_requests=True)
