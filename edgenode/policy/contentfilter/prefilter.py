"""Which rules may match a request: one search for words over all that they look at, and what else takes little.

Law: a rule that is left out cannot match; one that is not may still not. It makes no difference to what is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

from attrs import field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import factors, pcre
from edgenode.policy.contentfilter.directives import Operator, Rule, Target
from edgenode.policy.contentfilter.evaluation import SLICE, Run
from edgenode.policy.contentfilter.factors import Words
from edgenode.policy.contentfilter.injections import of_lines
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.operators import byte_set, lines, phrases
from edgenode.policy.contentfilter.texts import FROM_NOTHING, Chain, Chains, Texts, chain_of
from edgenode.policy.contentfilter.words import Search, alone, searching

GROUPS: tuple[tuple[str, ...], ...] = (
    (
        *("ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_GET_NAMES", "ARGS_POST", "ARGS_POST_NAMES", "XML"),
        *("REQUEST_COOKIES", "REQUEST_COOKIES_NAMES", "FILES", "FILES_NAMES", "MULTIPART_FILENAME", "MULTIPART_NAME"),
    ),
    (
        *("REQUEST_LINE", "REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_FILENAME", "REQUEST_BASENAME", "QUERY_STRING"),
        "PATH_INFO",
    ),
    ("REQUEST_HEADERS", "REQUEST_HEADERS_NAMES"),
    ("REQUEST_BODY", "MULTIPART_PART_HEADERS", "FILES_TMP_CONTENT", "FULL_REQUEST"),
    ("RESPONSE_BODY",),
    ("RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES", "RESPONSE_CONTENT_TYPE", "RESPONSE_STATUS", "RESPONSE_PROTOCOL"),
    ("REQUEST_HEADERS:user-agent", "REQUEST_HEADERS:referer"),
)
"""Variables whose values are searched together; the last are single headers, by their names."""

_GROUP = {name: place for place, names in enumerate(GROUPS) for name in names}
_HEADER = "REQUEST_HEADERS:"


def _variable(target: Target) -> str:
    """The variable that is searched for a target."""
    name = f"{target.collection}:{target.key}"
    return name if name in _GROUP else target.collection


_ENOUGH = 1.5
"""The weight from which on words are few enough of the texts that have them."""

_MOST_BYTES = 32
_OF_TEXTS = 8
"""How much more it takes to make a text than to search it once."""

_MANY, _AT_ONCE = 16 << 10, 1024
"""Bytes of values from which on libinjection is asked of so many at a time."""

_SHORT = 3
"""Bytes of a word that is searched for; of shorter ones a single byte that is no letter is."""


@frozen
class Wanted:
    """What has to be in a text, so that a rule may match.

    :ivar groups: where it is looked for: places in :data:`GROUPS`.
    :ivar words: sets of words of each of which one has to be there; none for an expression that says nothing of words.
    :ivar chains: the transformations that make the text, or each of several.
    :ivar confirm: what says more of such a text once the words are there; ``None`` if that is all.
    :ivar by_value: whether that takes each line for a value.
    """

    groups: frozenset[int]
    words: tuple[Words, ...]
    chains: tuple[Chain, ...]
    confirm: Callable[[bytes], object] | None
    by_value: bool = False


def wanted(link: Rule) -> Wanted | None:
    """What a link wants; ``None`` if that cannot be searched for."""
    operator, targets = link.operator, [each for each in link.targets if not each.excluded]
    if operator is None or operator.negated or "%{" in operator.argument:
        return None
    if not targets or any(each.counted or _variable(each) not in _GROUP for each in targets):
        return None
    if all(each.collection == "REQUEST_HEADERS" and each.key for each in targets):
        return None  # it is said sooner of a single header by itself
    if not FROM_NOTHING.isdisjoint(link.transformations):
        return None
    try:
        words, confirm = _of_operator(operator)
    except InvalidValue:
        return None
    words = tuple(found for each in words if (found := _searchable(each)) is not None)
    if not words and (confirm is None or confirm(b"")):  # values without a byte are not in a text
        return None
    chain, lowered = chain_of(link.transformations)
    by_value = operator.name in ("detectsqli", "detectxss") or isinstance(confirm, _WithoutLineFeeds)
    groups = frozenset(_GROUP[_variable(each)] for each in targets)
    if link.multi_match:
        names = link.transformations
        chains = tuple(dict.fromkeys(chain_of(names[:length])[0] for length in range(len(names) + 1)))
        return Wanted(groups, words, chains, None if confirm is None else _in_any_case(confirm), by_value)
    if lowered and confirm is not None:
        return Wanted(groups, words, (chain,), _lowered(confirm), by_value)
    return Wanted(groups, words, (chain,), confirm, by_value)


def _searchable(words: Words) -> Words | None:
    """Words that are not too short to be searched for; ``None`` if one says too little."""
    found = set()
    for word in words:
        if len(word) >= _SHORT:
            found.add(word)
            continue
        rare = [byte for byte in word if not (bytes((byte,)).isalnum() or byte in b" \n")]
        if not rare:
            return None
        found.add(bytes(rare[:1]))
    return frozenset(found)


def _in_any_case(confirm: Callable[[bytes], object]) -> Callable[[bytes], object]:
    return lambda text: confirm(text) or confirm(text.lower())


def _lowered(confirm: Callable[[bytes], object]) -> Callable[[bytes], object]:
    return lambda text: confirm(text.lower())


def _of_operator(operator: Operator) -> tuple[tuple[Words, ...], Callable[[bytes], object] | None]:
    argument = encoded(operator.argument)
    if operator.name in _WORDS:
        several = _WORDS[operator.name](argument)
        words = frozenset(each.lower() for each in several)
        if not words or b"" in words:
            return (), None
        form = _FORMS.get(operator.name)
        if form is None:
            return (words,), None
        (word,) = several
        return (words,), alone(f"(?m){form.format(''.join(f'{chr(92)}x{byte:02x}' for byte in word))}")
    if operator.name in ("rx", "rxglobal") and argument:
        return factors.required(operator.argument), _confirming(operator.argument)
    if operator.name == "validatebyterange":
        refused = frozenset(range(256)) - frozenset(byte_set(argument))
        if 10 not in refused and len(refused) <= _MOST_BYTES and not any(65 <= byte < 91 for byte in refused):
            return (frozenset(bytes((byte,)) for byte in refused),), None
    if operator.name == "validateurlencoding":
        return (frozenset((b"%",)),), None
    if operator.name in ("detectsqli", "detectxss"):
        return ((frozenset((b"<", b"=")),) if operator.name == "detectxss" else ()), of_lines(operator.name)
    if operator.name == "validateutf8encoding":
        return (), alone(r"[\x80-\xff]")
    return (), None


_FORMS = {"streq": "^{}$", "beginswith": "^{}", "endswith": "{}$"}
_WORDS: Mapping[str, Callable[[bytes], Sequence[bytes]]] = {
    "pm": phrases,
    "pmfromfile": lines,
    "pmf": lines,
    **dict.fromkeys(
        ("contains", "containsword", "strmatch", "streq", "beginswith", "endswith"), lambda argument: (argument,)
    ),
}


def _confirming(pattern: str) -> Callable[[bytes], bool] | None:
    """What an expression matches in values that are joined; ``None`` if RE2 does not read it."""
    if pcre.linear(pattern) is None:
        return None
    text = pcre.translated(pcre.bytewise(pattern)).replace(r"\A", "^").replace(r"\z", "$")
    try:
        test = alone(f"(?m){text}")
    except InvalidValue:
        return None
    if not test(b"a\na") or _ANCHOR.search(_SET.sub("", text)) or test(b"a\x01a"):
        return test
    return _WithoutLineFeeds(test)


@frozen
class _WithoutLineFeeds:
    """What separates values is no part of one, so it may be any byte that says nothing to the expression; where there
    are line feeds in values, it says nothing."""

    test: Callable[[bytes], bool]

    def __call__(self, text: bytes) -> bool:
        return self.test(text.replace(b"\n", b"\x01"))


_SET = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]")
_ANCHOR = re.compile(r"[\^$]")


@frozen(eq=False)
class _Group:
    """The rules that look at variables of one group.

    :ivar reads: the variables.
    :ivar rules: by number, what each wants.
    :ivar places: by number, those of its chains.
    :ivar always: those that are confirmed whatever words there are.
    """

    reads: tuple[str, ...]
    rules: Mapping[int, Wanted]
    places: Mapping[int, tuple[int, ...]]
    chains: Chains
    always: tuple[int, ...]


@frozen(eq=False)
class Prefilter:
    """The search for what rules want.

    :ivar left: the numbers of the rules that cannot be searched for.
    """

    left: tuple[int, ...]
    _groups: tuple[_Group, ...]
    _search: Search
    _asking: tuple[tuple[tuple[int, int], ...], ...] = field(repr=False)
    _bytes: Mapping[int, tuple[tuple[int, int], ...]] = field(repr=False)
    _others: bytes = field(repr=False)
    _complete: Mapping[int, int] = field(repr=False)

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Prefilter:
        """Of rules by their numbers."""
        found = [_best(rule) for rule in rules]
        asking: dict[bytes, list[tuple[int, int]]] = {}
        for number, each in enumerate(found):
            for place, several in enumerate(() if each is None else each.words):
                for word in several:
                    asking.setdefault(word, []).append((number, 1 << place))
        words = [word for word in asking if len(word) > 1]
        single = {word[0]: tuple(several) for word, several in asking.items() if len(word) == 1}
        return cls(
            tuple(number for number, each in enumerate(found) if each is None),
            tuple(_grouped(rules, found)),
            searching(words),
            tuple(tuple(asking[word]) for word in words),
            single,
            bytes(byte for byte in range(256) if byte not in single),
            {number: (1 << len(each.words)) - 1 for number, each in enumerate(found) if each is not None},
        )

    def find(self, run: Run, candidates: set[int]) -> Iterator[None]:
        """Add the numbers of the rules that may match, of those that are searched for; it yields whenever others
        should have their turn."""
        for group in self._groups:
            values: dict[bytes, None] = {}
            for name in group.reads:
                if name.startswith(_HEADER):
                    request = run.exchange.request
                    key = name.removeprefix(_HEADER).encode("ascii")
                    values.update(dict.fromkeys(() if request is None else request.fields.get(key, ())))
                    continue
                for _, value in run.read(name):
                    values[value] = None
            values.pop(b"", None)
            if values:
                yield from self._add(group, [*values], candidates, run)

    def _texts(self, group: _Group, values: Sequence[bytes], run: Run) -> Generator[None, None, Texts]:
        making = group.chains.texts(values)
        while True:
            try:
                run.work += _OF_TEXTS * next(making)
            except StopIteration as end:
                made: Texts = end.value
                return made
            if run.work > SLICE:
                run.work = 0
                yield

    def _add(self, group: _Group, values: Sequence[bytes], candidates: set[int], run: Run) -> Iterator[None]:
        texts = yield from self._texts(group, values, run)
        hits: set[int] = set()
        single: set[int] = set()
        search, others = self._search, self._others
        for text in texts.all:
            search(text, hits)
            single.update(text.translate(None, others))
            run.work += _OF_TEXTS * len(text)
            if run.work > SLICE:
                run.work = 0
                yield
        seen: dict[int, int] = {}
        asking = self._asking
        for several in (*[asking[hit] for hit in hits], *[self._bytes[byte] for byte in single]):
            for number, bit in several:
                seen[number] = seen.get(number, 0) | bit
        rules, complete, made, first = group.rules, self._complete, texts.made, texts.first
        found = [number for number, bits in seen.items() if bits == complete[number] and number in rules]
        for number in (*found, *group.always):
            if number in candidates:
                continue
            wanted = rules[number]
            confirm = wanted.confirm
            if confirm is None or (wanted.by_value and not texts.lines):
                candidates.add(number)
                continue
            for place in group.places[number]:
                text = made.get(place, first)
                run.work += len(text)
                if run.work > SLICE:
                    run.work = 0
                    yield
                if wanted.by_value and len(text) > _MANY:  # libinjection takes its time for each value
                    lines_of = text.split(b"\n")
                    for start in range(0, len(lines_of), _AT_ONCE):
                        if confirm(b"\n".join(lines_of[start : start + _AT_ONCE])):
                            candidates.add(number)
                            break
                        yield
                    continue
                if confirm(text) and (not texts.lines or any(map(confirm, text.split(b"\n")))):
                    candidates.add(number)
                    break


def _best(rule: Rule) -> Wanted | None:
    """What is most worth to be searched for of a rule and its chain."""
    found: list[Wanted] = []
    for link in (rule, *rule.chained):
        each = wanted(link)
        if each is not None:
            found.append(each)
        if link.set_vars:
            break  # what it sets stays set, if no more than it matches
    return max(found, key=lambda each: factors.weight(each.words[0]) if each.words else -1, default=None)


def _grouped(rules: Sequence[Rule], found: Sequence[Wanted | None]) -> Iterator[_Group]:
    for place in range(len(GROUPS)):
        wanting = {number: each for number, each in enumerate(found) if each is not None and place in each.groups}
        if not wanting:
            continue
        names = (_variable(target) for number in wanting for target in _targets(rules[number]))
        reads = sorted({name for name in names if _GROUP.get(name) == place})
        always = tuple(number for number, each in wanting.items() if not each.words)
        chains = Chains.of(chain for each in wanting.values() for chain in each.chains)
        numbered = {chain: number for number, chain in enumerate(chains.chains)}
        places = {number: tuple(numbered[chain] for chain in each.chains) for number, each in wanting.items()}
        yield _Group(tuple(reads), wanting, places, chains, always)


def _targets(rule: Rule) -> Iterable[Target]:
    return (target for link in (rule, *rule.chained) for target in link.targets if not target.excluded)
