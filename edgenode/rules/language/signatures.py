"""What functions demand of their arguments beyond type and kind, checked when a rule is loaded.

Law: a literal that a function could not use as its author meant it is an error with its column, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.dialect import checked
from edgenode.rules.language.nodes import Call, FieldValue, Literal, Node, walk
from edgenode.rules.language.replacing import check_template, groups, stars
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, Type

PRIMITIVES = (BOOL, INT, BYTES, IP)
QUERIES = ("http.request.uri.query", "raw.http.request.uri.query")
REWRITING = ("regex_replace", "wildcard_replace")

Types = tuple[Type, ...]


# -- literals ----------------------------------------------------------------------------------------------------------


def between(lowest: int, highest: int) -> Callable[[int], None]:
    """A check that a number is in a range, both ends included."""

    def check(number: int) -> None:
        if not lowest <= number <= highest:
            raise InvalidValue(f"expected a number from {lowest} to {highest}", 0)

    return check


def flags(letters: str) -> Callable[[bytes], None]:
    """A check that a text has none but these letters, each at most once."""
    known = " and ".join(f'"{letter}"' for letter in letters)

    def check(text: bytes) -> None:
        for column, byte in enumerate(text):
            if chr(byte) not in letters or byte in text[:column]:
                raise InvalidValue(
                    f"the flags are {known}, each once" if len(letters) > 1 else f"the flag is {known}", 0
                )

    return check


def some(text: bytes) -> None:
    """Check that a text is not empty."""
    if not text:
        raise InvalidValue("expected a text that is not empty", 0)


def regex(text: bytes) -> None:
    """Check a regular expression, as that of ``matches`` is checked."""
    checked(text.decode("latin-1"))


# -- arguments together ------------------------------------------------------------------------------------------------


def alike(types: Types) -> Type:
    """The one type of all arguments."""
    if len(set(types)) > 1:
        raise InvalidValue(f"expected arguments of one type, not {' and '.join(map(str, dict.fromkeys(types)))}")
    return types[0]


def joinable(types: Types) -> Type:
    """The type of ``concat``: that of its arguments, a text or an array."""
    if types[0] != BYTES and types[0].name != "Array":
        raise InvalidValue(f"expected texts (Bytes) or arrays, not {types[0]}")
    return alike(types)


def measurable(types: Types) -> Type:
    """The type of ``len``."""
    if types[0] != BYTES and types[0].name != "Array":
        raise InvalidValue(f"expected a text (Bytes) or an array, not {types[0]}")
    return INT


def keyed(types: Types) -> Type:
    """The type of ``has_key``."""
    if types[0].name != "Map":
        raise InvalidValue(f"expected a map, not {types[0]}")
    return BOOL


def member(types: Types) -> Type:
    """The type of ``has_value``: its second argument is of the type of the elements of the first."""
    collection, value = types
    if collection.of not in PRIMITIVES:
        raise InvalidValue(f"expected an array or a map of Bool, Int, Bytes or Ip, not {collection}")
    if collection.of != value:
        raise InvalidValue(f"the elements of {collection} are never {value}")
    return BOOL


def increasing(arguments: tuple[Node, ...]) -> None:
    """Check that the second argument of ``hash_in_range`` is greater than the first."""
    lowest, end = arguments[:2]
    if isinstance(lowest, Literal) and isinstance(end, Literal) and not _number(lowest) < _number(end):
        raise InvalidValue("the second number must be greater than the first", end.column)


def query(arguments: tuple[Node, ...]) -> None:
    """Check that the first argument of ``remove_query_args`` is a query string."""
    first = arguments[0]
    if not isinstance(first, FieldValue) or first.name not in QUERIES:
        raise InvalidValue(f"expected {' or '.join(QUERIES)}", first.column)


def regex_groups(arguments: tuple[Node, ...]) -> None:
    """Check that the replacement of ``regex_replace`` refers to groups that its expression has."""
    source, pattern, template = arguments
    _not_rewritten(source)
    _refers(template, groups(_text(pattern)), "groups in the expression")


def wildcard_groups(arguments: tuple[Node, ...]) -> None:
    """Check that the replacement of ``wildcard_replace`` refers to stars that its pattern has."""
    source, pattern, template, *_ = arguments
    _not_rewritten(source)
    _refers(template, stars(_text(pattern)), "stars in the pattern")


def _not_rewritten(source: Node) -> None:
    """A text rewritten several times over could grow without measure, eightfold each time."""
    for node in walk(source):
        if isinstance(node, Call) and node.function in REWRITING:
            raise InvalidValue(f"{' and '.join(REWRITING)} do not stand inside one another", node.column)


def _refers(template: Node, count: int, what: str) -> None:
    highest = check_template(_text(template))
    if highest > count:
        raise InvalidValue(f"there is no ${{{highest}}}: there are {count} {what}", template.column)


def _number(node: Node) -> int:
    assert isinstance(node, Literal)
    assert isinstance(node.value, int)
    return node.value


def _text(node: Node) -> bytes:
    assert isinstance(node, Literal)
    assert isinstance(node.value, bytes)
    return node.value
