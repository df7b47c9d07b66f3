"""The order in which rules are judged that look for tags and set tags.

Law: a rule that looks for a tag is judged after every rule that sets it, wherever they stand in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from graphlib import CycleError, TopologicalSorter

from edgenode.model.errors import InvalidValue

_EVERY_TAG = ("every tag",)


def by_tags(
    names: Sequence[str],
    reads: Sequence[Collection[str]],
    sets: Sequence[Collection[str]],
    computing: Collection[int] = (),
) -> list[int]:
    """The indexes of rules in the order in which to judge them.

    :param names: the rules' names.
    :param reads: the tags that each rule looks for.
    :param sets: the tags that each rule sets if it matches.
    :param computing: the indexes of the rules that compute something of all tags; each sees those that any other sets.
    :raises InvalidValue: if they wait for one another in a circle; the sentence names it, and ``which`` a rule of it.
    """
    graph: TopologicalSorter[Hashable] = TopologicalSorter()
    computing = frozenset(computing)
    setting = [index for index in computing if sets[index]]
    for index, (read, given) in enumerate(zip(reads, sets, strict=True)):
        graph.add(index, *read)  # a tag stands between those that set it and those that look for it
        for tag in given:
            graph.add(tag, index)
        if index in computing:
            graph.add(index, _EVERY_TAG, *(other for other in setting if other != index))
        elif given and computing:
            graph.add(_EVERY_TAG, index)
    try:
        return [node for node in graph.static_order() if isinstance(node, int)]
    except CycleError as error:
        circle = list(error.args[1])
        while not isinstance(circle[0], int):  # it is closed: first and last are the same
            circle = [*circle[1:], circle[1]]
        steps = [
            names[node] if isinstance(node, int) else f"({_EVERY_TAG[0] if node is _EVERY_TAG else node})"
            for node in circle
        ]
        raise InvalidValue(f"the tags go round in a circle: {' → '.join(steps)}", which=steps[0]) from None
