"""What is looked at of an exchange: each subject with the sets of the predicates on it.

Law: what a subject costs does not depend on how many predicates look at it. What most rules look for, a text or a
regular expression in a header or in another part of a request, takes no call of Python but to read that part: such a
call takes half as long as a search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from edgenode.model.exchange import Exchange, Request
from edgenode.rules.formulas import Read, Subject
from edgenode.rules.matching.engines import FAILURES, Engine, Note, Scan
from edgenode.rules.matching.sets import SETS, EqualSet, Find, Numbered, PredicateSet

Sought = Mapping[str, Numbered]
"""What is sought of one subject, by the kind of match."""

_ReadOne = Callable[[Request], Any]


@define(eq=False)
class Looks:
    """Several subjects, each with everything that is sought of it.

    :ivar headers: regular expressions in header fields, by the name.
    :ivar parts: the same in what a request has one of, such as its method.
    :ivar words: texts that this is equal to, with the numbers of the predicates.
    :ivar scans: regular expressions in everything else.
    :ivar finds: all other predicates.
    """

    headers: list[tuple[bytes, Scan, Note]] = field(factory=list)
    parts: list[tuple[_ReadOne, Scan, Note]] = field(factory=list)
    words: list[tuple[_ReadOne, Mapping[Any, Sequence[int]]]] = field(factory=list)
    scans: list[tuple[Read, Scan, Note]] = field(factory=list)
    finds: list[tuple[Read, Find]] = field(factory=list)

    @classmethod
    def of(cls, subjects: Iterable[tuple[Subject, Sought]], searching: Callable[[Subject], Iterable[Engine]]) -> Looks:
        """Compile what is sought.

        :param searching: gives what searches for the regular expressions in a subject.
        """
        looks = cls()
        for subject, by_match in subjects:
            for match, sought in by_match.items():
                if match == "regex":
                    looks._add_engines(subject, searching(subject))
                else:
                    looks._add_set(subject, SETS[match].of(sought))
        return looks

    def _add_engines(self, subject: Subject, several: Iterable[Engine]) -> None:
        for engine in several:
            if subject.header is not None:
                self.headers.append((subject.header, engine.scan, engine.note))
            elif subject.of_request is not None:
                self.parts.append((subject.of_request, engine.scan, engine.note))
            else:
                self.scans.append((subject.read, engine.scan, engine.note))

    def _add_set(self, subject: Subject, compiled: PredicateSet) -> None:
        if subject.of_request is not None and isinstance(compiled, EqualSet) and compiled.plain:
            self.words.append((subject.of_request, compiled.words))
        else:
            self.finds.append((subject.read, compiled.find))

    def look(self, exchange: Exchange, hits: set[int]) -> None:
        """Add the numbers of all predicates that are true.

        :raises RuntimeError: if a value cannot be searched, such as for want of memory.
        """
        request = exchange.request
        try:
            if request is not None:
                fields = request.fields
                for name, scan, note in self.headers:
                    for value in fields.get(name, ()):
                        scan(value, note, 0, hits)
                for read_one, scan, note in self.parts:
                    value = read_one(request)
                    if value is not None:
                        scan(value, note, 0, hits)
                for read_one, words in self.words:
                    value = read_one(request)
                    if value in words:
                        hits.update(words[value])
            for read, scan, note in self.scans:
                for value in read(exchange) or ():
                    scan(value, note, 0, hits)
        except FAILURES as error:
            raise RuntimeError(f"a value could not be searched: {error}") from None
        for read, find in self.finds:
            values = read(exchange)
            if values:
                find(values, hits)
