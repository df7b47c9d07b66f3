"""What a rule wants of a text: the words that have to be in it, and what says more of it.

Law: what is not wanted cannot match; what is may still not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import factors, pcre
from edgenode.policy.contentfilter.directives import Operator, Rule, Target
from edgenode.policy.contentfilter.factors import SHORT, Words
from edgenode.policy.contentfilter.injections import INJECTIONS, of_lines
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.operators import OPERATORS, byte_set, lines, phrases
from edgenode.policy.contentfilter.texts import FROM_NOTHING, Chain, chain_of
from edgenode.policy.contentfilter.words import alone

SOME_HEADERS = "REQUEST_HEADERS:"
"""Those header fields that rules name, and of the rules those that look at no others."""

GROUPS: tuple[tuple[str, ...], ...] = (
    ("ARGS", "ARGS_NAMES", "XML", "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES"),
    ("REQUEST_FILENAME", "REQUEST_BASENAME", "PATH_INFO"),
    ("REQUEST_LINE", "REQUEST_URI", "REQUEST_URI_RAW", "QUERY_STRING"),
    ("FILES", "FILES_NAMES", "MULTIPART_FILENAME", "MULTIPART_NAME", "MULTIPART_PART_HEADERS"),
    ("REQUEST_BODY", "FILES_TMP_CONTENT", "FULL_REQUEST"),
    ("REQUEST_HEADERS", "REQUEST_HEADERS_NAMES"),
    (SOME_HEADERS,),
    ("RESPONSE_BODY",),
    ("RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES", "RESPONSE_CONTENT_TYPE", "RESPONSE_STATUS", "RESPONSE_PROTOCOL"),
)
"""Variables whose values are searched together."""

OF_BODIES = frozenset(
    (
        *("XML", "FILES", "FILES_NAMES", "MULTIPART_FILENAME", "MULTIPART_NAME", "REQUEST_BODY"),
        *("MULTIPART_PART_HEADERS", "FILES_TMP_CONTENT"),
    )
)
"""Variables that say nothing without a body."""

_SEARCHED = frozenset(name for names in GROUPS for name in names)

_WITH_MORE = {
    **dict.fromkeys(("ARGS_GET", "ARGS_POST"), "ARGS"),
    **dict.fromkeys(("ARGS_GET_NAMES", "ARGS_POST_NAMES"), "ARGS_NAMES"),
}
"""Variables all of whose values another has, which is searched in their place."""


_MOST_BYTES = 32


Test = Callable[[bytes], object]
"""Whether a text may match."""


@frozen
class Wanted:
    """What has to be in a text, so that a rule may match.

    :ivar variables: where it is looked for.
    :ivar words: sets of words of each of which one has to be there; none for an expression that says nothing of words.
    :ivar chains: the transformations that make the text, or each of several.
    :ivar confirm: what says more of such a text once the words are there; ``None`` if that is all.
    :ivar by_value: whether that takes each line for a value.
    :ivar fields: the header fields that it looks at, if it does not look at all.
    :ivar expression: what ``confirm`` searches for, if it is no more than that.
    :ivar within_lines: whether what it finds in a text cannot be on several lines.
    :ivar bytes_of: bytes of which one is in all that it finds; empty if that is not known.
    """

    variables: frozenset[str]
    words: tuple[Words, ...]
    chains: tuple[Chain, ...]
    confirm: Test | None
    by_value: bool = False
    fields: frozenset[bytes] = frozenset()
    expression: str = ""
    within_lines: bool = False
    bytes_of: bytes = b""


def wanted(link: Rule) -> Wanted | None:
    """What a link wants; ``None`` if that cannot be searched for."""
    operator, targets = link.operator, [each for each in link.targets if not each.excluded]
    if operator is None or operator.negated or "%{" in operator.argument:
        return None
    variables = frozenset(map(_variable, targets))
    if not targets or any(each.counted for each in targets) or not variables <= _SEARCHED:
        return None
    if not FROM_NOTHING.isdisjoint(link.transformations):
        return None
    try:
        words, confirm = _of_operator(operator)
    except InvalidValue:
        return None
    words = tuple(found for each in words if (found := _searchable(each)) is not None)
    if not words and (confirm is None or confirm(b"")):  # values without a byte are not in a text
        return None
    fields = frozenset(encoded(each.key) for each in targets if _variable(each) == SOME_HEADERS)
    if variables == {SOME_HEADERS} and min((len(word) for several in words for word in several), default=0) < SHORT:
        return None  # it is said sooner of a header field by itself
    chain, lowered = chain_of(link.transformations)
    by_value = operator.name in INJECTIONS or isinstance(confirm, _WithoutLineFeeds)
    if link.multi_match:
        several = [chain_of(link.transformations[:length]) for length in range(len(link.transformations) + 1)]
        chains = tuple(dict.fromkeys(chain for chain, _ in several))
        if confirm is not None and any(lowered for _, lowered in several):
            confirm = _in_any_case(confirm)
        return Wanted(variables, words, chains, confirm, by_value, fields)
    expression, within = (confirm.expression, confirm.within_lines) if isinstance(confirm, _Expression) else ("", False)
    if lowered and confirm is not None:
        confirm, expression = _lowered(confirm), ""
    return Wanted(variables, words, (chain,), confirm, by_value, fields, expression, within, _bytes_of(words))


def _variable(target: Target) -> str:
    """The variable that is searched for a target."""
    if target.collection == "REQUEST_HEADERS" and target.key and not target.pattern:
        return SOME_HEADERS
    return _WITH_MORE.get(target.collection, target.collection)


def _searchable(words: Words) -> Words | None:
    """Words as they are searched for; ``None`` if one says too little."""
    found = frozenset(map(factors.searchable, words))
    return None if b"" in found else found


def _bytes_of(words: tuple[Words, ...]) -> bytes:
    """Bytes of which one is in whatever has a word of each set; empty if all may be letters and digits."""
    for several in words:
        found = {factors.rarest(word) for word in several}
        if b"" not in found:
            return b"".join(sorted(found))
    return b""


def _in_any_case(confirm: Test) -> Test:
    return lambda text: confirm(text) or confirm(text.lower())


def _lowered(confirm: Test) -> Test:
    return lambda text: confirm(text.lower())


def _of_operator(operator: Operator) -> tuple[tuple[Words, ...], Test | None]:
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
            others = bytes(frozenset(range(256)) - refused)
            return (frozenset(bytes((byte,)) for byte in refused),), lambda text: text.translate(None, others)
    if operator.name == "validateurlencoding":
        compare = OPERATORS[operator.name](b"")
        return (frozenset((b"%",)),), lambda text: compare(text) is not None
    if operator.name in INJECTIONS:
        return ((frozenset((b"<", b"=")),) if operator.name == "detectxss" else ()), of_lines(operator.name)
    if operator.name == "validateutf8encoding":
        return (frozenset(bytes((byte,)) for byte in range(128, 256)),), lambda text: not text.isascii()
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
        test = _Expression(f"(?m){text}", alone(f"(?m){text}"), factors.within_lines(pattern))
    except InvalidValue:
        return None
    if not test(b"a\na") or _ANCHOR.search(_SET.sub("", text)) or test(b"a\x01a"):
        return test
    return _WithoutLineFeeds(test)


@frozen
class _Expression:
    """An expression that RE2 reads."""

    expression: str
    test: Callable[[bytes], bool]
    within_lines: bool

    def __call__(self, text: bytes) -> bool:
        return self.test(text)


@frozen
class _WithoutLineFeeds:
    """What separates values is no part of one, so it may be any byte that says nothing to the expression; where there
    are line feeds in values, it says nothing."""

    test: Callable[[bytes], bool]

    def __call__(self, text: bytes) -> bool:
        return self.test(text.replace(b"\n", b"\x01"))


_SET = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]")
_ANCHOR = re.compile(r"[\^$]")


def best(rule: Rule) -> Wanted | None:
    """What is most worth to be searched for of a rule and its chain."""
    found: list[Wanted] = []
    for link in (rule, *rule.chained):
        each = wanted(link)
        if each is not None:
            found.append(each)
        if link.set_vars:
            break  # what it sets stays set, if no more than it matches
    # Of several the last: the first ones often say only of what the last is asked.
    return max(reversed(found), key=lambda each: factors.weight(each.words[0]) if each.words else -1, default=None)
