"""What a rule wants of a text: the words that have to be in it, and what says more of it.

Law: what is not wanted cannot match; what is may still not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import factors, pcre
from edgenode.policy.contentfilter.digits import DIGITS, REGARDLESS, regardless, zeroed
from edgenode.policy.contentfilter.directives import Operator, Rule, Target
from edgenode.policy.contentfilter.factors import Words
from edgenode.policy.contentfilter.injections import of_lines
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.operators import byte_set, lines, phrases
from edgenode.policy.contentfilter.texts import FROM_NOTHING, Chain, chain_of
from edgenode.policy.contentfilter.words import alone

GROUPS: tuple[tuple[str, ...], ...] = (
    (
        *("ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_GET_NAMES", "ARGS_POST", "ARGS_POST_NAMES", "XML"),
        *("REQUEST_COOKIES", "REQUEST_COOKIES_NAMES", "FILES", "FILES_NAMES", "MULTIPART_FILENAME", "MULTIPART_NAME"),
    ),
    (*("REQUEST_LINE", "REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_FILENAME", "QUERY_STRING", "PATH_INFO"),),
    ("REQUEST_BASENAME",),
    ("REQUEST_HEADERS", "REQUEST_HEADERS_NAMES"),
    ("REQUEST_BODY", "MULTIPART_PART_HEADERS", "FILES_TMP_CONTENT", "FULL_REQUEST"),
    ("RESPONSE_BODY",),
    ("RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES", "RESPONSE_CONTENT_TYPE", "RESPONSE_STATUS", "RESPONSE_PROTOCOL"),
    ("REQUEST_HEADERS:user-agent", "REQUEST_HEADERS:referer"),
)
"""Variables whose values are searched together; the last are single headers, by their names."""

GROUP = {name: place for place, names in enumerate(GROUPS) for name in names}
"""The place of each variable."""

HEADER = "REQUEST_HEADERS:"
"""What stands before the name of a header that is searched by itself."""


def _variable(target: Target) -> str:
    """The variable that is searched for a target."""
    name = f"{target.collection}:{target.key}"
    return name if name in GROUP else target.collection


_MOST_BYTES = 32


@frozen
class Wanted:
    """What has to be in a text, so that a rule may match.

    :ivar variables: where it is looked for.
    :ivar words: sets of words of each of which one has to be there; none for an expression that says nothing of words.
    :ivar chains: the transformations that make the text, or each of several.
    :ivar confirm: what says more of such a text once the words are there; ``None`` if that is all.
    :ivar by_value: whether that takes each line for a value.
    :ivar of_digits: whether it matters which digits there are.
    """

    variables: frozenset[str]
    words: tuple[Words, ...]
    chains: tuple[Chain, ...]
    confirm: Callable[[bytes], object] | None
    by_value: bool = False
    of_digits: bool = False


def wanted(link: Rule) -> Wanted | None:
    """What a link wants; ``None`` if that cannot be searched for."""
    operator, targets = link.operator, [each for each in link.targets if not each.excluded]
    if operator is None or operator.negated or "%{" in operator.argument:
        return None
    if not targets or any(each.counted or _variable(each) not in GROUP for each in targets):
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
    variables = frozenset(map(_variable, targets))
    of_digits = operator.name not in _REGARDLESS or not REGARDLESS.issuperset(chain_of(link.transformations)[0])
    if link.multi_match:
        names = link.transformations
        chains = tuple(dict.fromkeys(chain_of(names[:length])[0] for length in range(len(names) + 1)))
        return Wanted(variables, words, chains, None if confirm is None else _in_any_case(confirm), by_value, of_digits)
    if lowered and confirm is not None:
        return Wanted(variables, words, (chain,), _lowered(confirm), by_value, of_digits)
    return Wanted(variables, words, (chain,), confirm, by_value, of_digits)


def _searchable(words: Words) -> Words | None:
    """Words that are not too short to be searched for; ``None`` if one says too little."""
    found = set()
    for word in words:
        if len(word) < factors.SHORT and not (word := factors.rare(word)):
            return None
        found.add(zeroed(word))
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
        return (words,), alone(f"(?m){regardless(form.format(''.join(f'{chr(92)}x{byte:02x}' for byte in word)))}")
    if operator.name in ("rx", "rxglobal") and argument:
        return factors.required(operator.argument), _confirming(operator.argument)
    if operator.name == "validatebyterange":
        refused = frozenset(range(256)) - frozenset(byte_set(argument))
        if not refused & {10, *DIGITS} and len(refused) <= _MOST_BYTES and not any(65 <= byte < 91 for byte in refused):
            return (frozenset(bytes((byte,)) for byte in refused),), None
    if operator.name == "validateurlencoding":
        return (frozenset((b"%",)),), None
    if operator.name in ("detectsqli", "detectxss"):
        return ((frozenset((b"<", b"=")),) if operator.name == "detectxss" else ()), of_lines(operator.name)
    if operator.name == "validateutf8encoding":
        return (frozenset(bytes((byte,)) for byte in range(128, 256)),), None
    return (), None


_REGARDLESS = frozenset(
    (
        *("rx", "rxglobal", "pm", "pmfromfile", "pmf", "contains", "containsword", "strmatch", "streq", "beginswith"),
        *("endswith", "validatebyterange", "validateurlencoding", "validateutf8encoding"),
    )
)
"""Operators of which is asked here what does not depend on which digits there are."""

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
        test = alone(f"(?m){regardless(text)}")
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


def best(rule: Rule) -> Wanted | None:
    """What is most worth to be searched for of a rule and its chain."""
    found: list[Wanted] = []
    for link in (rule, *rule.chained):
        each = wanted(link)
        if each is not None:
            found.append(each)
        if link.set_vars:
            break  # what it sets stays set, if no more than it matches
    return max(found, key=lambda each: factors.weight(each.words[0]) if each.words else -1, default=None)
