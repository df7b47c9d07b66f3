"""What is looked at of an exchange: each subject with the sets of the predicates on it.

Law: a subject is read once, however many predicates look at it. What most rules look for, regular expressions, takes
one call of Python for each subject, and for headers none: such a call takes as long as a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from edgenode.model.exchange import Exchange
from edgenode.rules.formulas import Read, Subject
from edgenode.rules.matching.engines import FAILURES, Scan, note
from edgenode.rules.matching.sets import SETS, Find, Numbered, scans

Sought = Mapping[str, Numbered]
"""What is sought of one subject, by the kind of match."""


@frozen(eq=False)
class Looks:
    """Several subjects, each with everything that is sought of it."""

    _headers: tuple[tuple[bytes, Scan], ...]
    _scans: tuple[tuple[Read, Scan], ...]
    _finds: tuple[tuple[Read, Find], ...]

    @classmethod
    def of(cls, subjects: Iterable[tuple[Subject, Sought]]) -> Looks:
        """Compile what is sought.

        :raises InvalidValue: if regular expressions are too large together.
        """
        in_headers, in_others, finds = [], [], []
        for subject, by_match in subjects:
            for match, sought in by_match.items():
                if match != "regex":
                    finds.append((subject.read, SETS[match].of(sought).find))
                elif subject.header is not None:
                    in_headers += [(subject.header, scan) for scan in scans(sought)]
                else:
                    in_others += [(subject.read, scan) for scan in scans(sought)]
        return cls(tuple(in_headers), tuple(in_others), tuple(finds))

    def look(self, exchange: Exchange, hits: set[int]) -> None:
        """Add the numbers of all predicates that are true.

        :raises RuntimeError: if a value cannot be searched, such as for want of memory.
        """
        try:
            if self._headers and exchange.request is not None:
                fields = exchange.request.fields
                for name, scan in self._headers:
                    for value in fields.get(name, ()):
                        scan(value, note, 0, hits)
            for read, scan in self._scans:
                for value in read(exchange) or ():
                    scan(value, note, 0, hits)
        except FAILURES as error:
            raise RuntimeError(f"a value could not be searched: {error}") from None
        for read, find in self._finds:
            values = read(exchange)
            if values:
                find(values, hits)
