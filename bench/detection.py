"""What is refused, and what is let through, of public collections: our engine beside libmodsecurity, the same rules.

Each collection is a folder of its own repository, given by an option; those that are not given are left out:
coreruleset/coreruleset (``tests/regression/tests``), libinjection/libinjection (``data``), wallarm/gotestwaf
(``testcases``), and the file ``payload_full.csv`` of HttpParamsDataset. Everything is at paranoia level 1. Of the Core
Rule Set's tests it says besides how many pass, at paranoia level 4, as they want it. The exit status is 1 if ours is
under libmodsecurity in any collection, or too few tests pass.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from attrs import evolve, frozen

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import corpora
from bench.corpora import Corpus
from bench.tables import table, verdict
from tests.support import crs_regression
from tests.support.modsecurity import DEBIAN_RULES, DEBIAN_SETUP, Asked, Reference
from tests.support.rulesets import Ours

REFUSES = frozenset({949110, 5099100})
"""The rules that compare the score with the threshold: the Core Rule Set's, and our own."""

LEAST_PASSED = 0.97
"""Of the Core Rule Set's inbound tests that a reverse proxy can show."""

Refused = Callable[[Sequence[Asked]], list[bool]]


@frozen
class Share:
    """How many of some requests.

    :ivar some: those that are meant.
    :ivar all: all of them.
    """

    some: int
    all: int

    def __str__(self) -> str:
        return f"{100 * self.some / self.all:.1f} %" if self.all else "-"

    @property
    def part(self) -> float:
        """From 0 to 1; 1 if there are none."""
        return self.some / self.all if self.all else 1.0


@frozen
class Outcome:
    """What one engine made of one collection.

    :ivar refused: of the attacks.
    :ivar passed: of what is none.
    """

    refused: Share
    passed: Share

    @property
    def balanced(self) -> float:
        """The mean of both, in percent."""
        return 50 * (self.refused.part + self.passed.part)

    @classmethod
    def of(cls, corpus: Corpus, refused: Refused) -> Outcome:
        """Ask an engine."""
        attacks, benign = refused(corpus.attacks), refused(corpus.benign)
        return cls(Share(sum(attacks), len(attacks)), Share(len(benign) - sum(benign), len(benign)))


def by_ours(ours: Ours) -> Refused:
    """Which requests ours refuses: those that a listener does not take in, too."""

    def refused(requests: Sequence[Asked]) -> list[bool]:
        answers = [ours.answer(request) for request in requests]
        return [answer is None or not REFUSES.isdisjoint(answer.rules) for answer in answers]

    return refused


def by_reference(reference: Reference) -> Refused:
    """Which requests libmodsecurity refuses."""

    def refused(requests: Sequence[Asked]) -> list[bool]:
        return [not REFUSES.isdisjoint(answer.rules) for answer in reference.answers(requests)]

    return refused


def given(options: argparse.Namespace) -> Iterator[Corpus]:
    """The collections that options name."""
    if options.gotestwaf:
        yield corpora.gotestwaf(options.gotestwaf)
    if options.http_params:
        yield corpora.http_params(options.http_params)
    if options.libinjection:
        yield corpora.libinjection(options.libinjection)
    if options.regression:
        yield corpora.core_rule_set(options.regression)


def compared(several: Sequence[Corpus], engines: Sequence[tuple[str, Refused]]) -> tuple[str, bool]:
    """The table to print, and whether the first engine is nowhere under the last."""
    lines, kept = [], True
    for corpus in several:
        outcomes = [(name, Outcome.of(corpus, refused)) for name, refused in engines]
        least = outcomes[-1][1]
        for name, each in outcomes:
            good = each.refused.part >= least.refused.part and each.passed.part >= least.passed.part
            line = [corpus.name, name, str(each.refused), str(each.passed), f"{each.balanced:.1f}"]
            lines.append([*line, verdict(good) if name == outcomes[0][0] else ""])
            kept = kept and (good or name != outcomes[0][0])
    return table(["collection", "engine", "attacks refused", "benign passed", "balanced", ""], lines), kept


def regression(ours: Ours, folder: pathlib.Path) -> tuple[str, bool]:
    """How many of the Core Rule Set's tests pass, which do not, and whether that is enough."""
    strict = evolve(ours, before=f"{ours.before}\n{crs_regression.SETUP}")
    asked = [each for each in crs_regression.cases(folder) if each.inbound and each.request is not None]
    lines, passed, unseen = [], 0, 0
    for case in asked:
        assert case.request is not None
        answer = strict.answer(case.request)
        if answer is None:
            unseen += 1
        elif case.passed(answer.rules):
            passed += 1
        else:
            missing, wrong = case.expected - set(answer.rules), case.forbidden & set(answer.rules)
            lines.append(f"  {case.rule}-{case.number}: missing {sorted(missing)}, wrong {sorted(wrong)}")
    share = Share(passed, len(asked) - unseen)
    head = f"{len(asked)} tests, of which no listener takes in {unseen}; of the others pass {share}"
    good = share.part >= LEAST_PASSED
    return "\n".join([f"{head}, at least {LEAST_PASSED:.0%}: {verdict(good)}", *lines]), good


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Say what is refused, and what is let through.")
    parser.add_argument("--rules", type=pathlib.Path, default=DEBIAN_RULES, help=f"default: {DEBIAN_RULES}")
    parser.add_argument("--setup", type=pathlib.Path, default=DEBIAN_SETUP, help=f"default: {DEBIAN_SETUP}")
    parser.add_argument("--builtin", action="store_true", help="ours with its builtin rules besides")
    parser.add_argument(
        "--regression", type=pathlib.Path, help="the folder tests/regression/tests of the Core Rule Set"
    )
    parser.add_argument("--libinjection", type=pathlib.Path, help="the folder data of libinjection")
    parser.add_argument("--gotestwaf", type=pathlib.Path, help="the folder testcases of gotestwaf")
    parser.add_argument("--http-params", type=pathlib.Path, help="payload_full.csv of HttpParamsDataset")
    parser.add_argument("--most", type=int, default=2000, help="of each kind of a collection, evenly taken (2000)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Ask both engines, print what they say, and return the exit status."""
    options = arguments().parse_args(argv)
    ours = Ours(options.rules, options.setup, builtin=options.builtin)
    engines = [("edgenode", by_ours(ours)), ("libmodsecurity", by_reference(Reference(options.rules, options.setup)))]
    text, kept = compared([each.thinned(options.most) for each in given(options)], engines)
    print(text, flush=True)
    if options.regression:
        said, good = regression(evolve(ours, builtin=False), options.regression)
        print(f"\n{said}")
        kept = kept and good
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
