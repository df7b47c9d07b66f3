"""``[edge-function]``: what the functions of a configuration are made to, and where they stand in a pipeline.

Law: a function is found, and can be called as it will be, before anything uses it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from edgenode.config.extensions import Own
from edgenode.model.decision import Action
from edgenode.policy.edgefunctions import (
    OF_REQUESTS,
    REQUEST_AFTER,
    REQUEST_BEFORE,
    RESPONSE_AFTER,
    RESPONSE_BEFORE,
    EdgeFunction,
    EdgeFunctionSection,
)
from edgenode.policy.stages import Placed
from edgenode.policy.tagging import Tagging
from edgenode.proxy.header_names import answer_header_fault, changed_header_fault, request_header_fault


def made(sections: Mapping[str, EdgeFunctionSection], actions: Mapping[str, Action]) -> Own:
    """Every section with its stage, by the name.

    :param actions: every action by its name.
    """
    found = {}
    for name, section in sections.items():
        own = {each: actions[each] for each in section.actions}
        fault = request_fault if section.point in OF_REQUESTS else response_fault
        found[name] = section, EdgeFunction(name, section, own, fault)
    return found


@functools.lru_cache(1024)
def request_fault(name: bytes, how: str) -> str:
    """Why a function may not change a header field of a request, or answer with it: see
    :data:`edgenode.policy.edgefunctions.Fault`."""
    return answer_header_fault(name) if how == "answer" else request_header_fault(name)


@functools.lru_cache(1024)
def response_fault(name: bytes, how: str) -> str:
    """The same of a header field of an origin's answer."""
    return answer_header_fault(name) if how == "answer" else changed_header_fault(name, how)


def placed(own: Own, names: Sequence[str], stages: Sequence[Placed]) -> tuple[Placed, ...]:
    """The stages of one's own of a path map, with those of its functions.

    :param own: what the functions were made to.
    :param names: those of the path map.
    :param stages: the other ones.
    """
    if not names:
        return tuple(stages)
    first = (Placed(each, after=Tagging.name, of_requests=True) for each in at(REQUEST_BEFORE, own, names))
    last = (Placed(each, of_requests=True) for each in at(REQUEST_AFTER, own, names))
    return (*first, *stages, *last)


def of_responses(own: Own, names: Sequence[str]) -> tuple[tuple[EdgeFunction, ...], tuple[EdgeFunction, ...]]:
    """The functions of a path map that see the answers of origins: before and behind response rules."""
    return tuple(at(RESPONSE_BEFORE, own, names)), tuple(at(RESPONSE_AFTER, own, names))


def at(point: str, own: Own, names: Sequence[str]) -> Iterator[EdgeFunction]:
    """The functions of a path map at a point, in order."""
    for name in names:
        section, stage = own[name]
        if section.point == point:
            yield stage
