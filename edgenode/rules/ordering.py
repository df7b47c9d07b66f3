"""The order in which sections are judged that look for tags and set tags.

Law: a section that looks for a tag is judged after every section that sets it, wherever they stand in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from graphlib import CycleError, TopologicalSorter

from edgenode.errors import InvalidValue


def by_tags(names: Sequence[str], reads: Sequence[Collection[str]], sets: Sequence[Collection[str]]) -> list[int]:
    """The indexes of sections in the order in which to judge them.

    :param names: the sections' names.
    :param reads: the tags that each section looks for.
    :param sets: the tags that each section sets if it matches.
    :raises InvalidValue: if they wait for one another in a circle; the sentence names it.
    """
    graph: TopologicalSorter[int | str] = TopologicalSorter()
    for index, (read, given) in enumerate(zip(reads, sets, strict=True)):
        graph.add(index, *read)  # a tag stands between those that set it and those that look for it
        for tag in given:
            graph.add(tag, index)
    try:
        return [node for node in graph.static_order() if isinstance(node, int)]
    except CycleError as error:
        circle = list(error.args[1])
        while not isinstance(circle[0], int):  # it is closed: first and last are the same
            circle = [*circle[1:], circle[1]]
        steps = [names[node] if isinstance(node, int) else f"({node})" for node in circle]
        raise InvalidValue(f"the tags go round in a circle: {' → '.join(steps)}") from None
