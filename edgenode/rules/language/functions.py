"""The functions of the Rules language: signature, implementation and help of each in one line of the table.

Law: a function that is given what is missing is itself missing, unless its help says otherwise; no call that the
checker accepts raises, and none takes longer than in proportion to its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import contains
from typing import Any

from attrs import frozen

from edgenode.rules.language import digests, jsontexts, replacing, signatures, texts
from edgenode.rules.language.nodes import Node
from edgenode.rules.language.patterns import read_wildcard
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRINGS, Type, array
from edgenode.rules.networks import cidr


@frozen
class Parameter:
    """One parameter.

    :ivar types: the types it may have; an empty tuple is any.
    :ivar kind: ``literal``, ``field`` (anything but a literal: a field, an index, a call, a condition) or ``any``.
    :ivar check: of a literal: raises :class:`~edgenode.model.errors.InvalidValue` if it is out of bounds; the column
        points into its value.
    """

    types: tuple[Type, ...]
    kind: str = "any"
    check: Callable[[Any], object] | None = None


@frozen
class Function:
    """One function.

    :ivar name: as written.
    :ivar parameters: its parameters; the last may be repeated if ``repeated``.
    :ivar required: how many arguments it needs at least.
    :ivar returns: its type, or a function from the types of the arguments to it, which raises
        :class:`~edgenode.model.errors.InvalidValue`, without a column, if they do not go together. An argument that is
        mapped over with ``[*]`` counts with the type of its elements.
    :ivar call: computes it from the values of the arguments; ``None`` is missing, in both directions.
    :ivar help: a phrase for the reference.
    :ivar repeated: whether the last parameter may be given any number of times.
    :ivar takes_missing: whether it is called with missing arguments; else it is missing without a call.
    :ivar key_of: the name of a map, if a call is but another spelling of its value for a key, the only argument; then
        it is never called.
    :ivar check: of all arguments together, once each has been checked by itself: raises
        :class:`~edgenode.model.errors.InvalidValue`, whose column is that of the argument.
    """

    name: str
    parameters: tuple[Parameter, ...]
    required: int
    returns: Type | Callable[[tuple[Type, ...]], Type]
    call: Callable[..., Any]
    help: str
    repeated: bool = False
    takes_missing: bool = False
    check: Callable[[tuple[Node, ...]], None] | None = None
    key_of: str = ""


_TEXT = Parameter((BYTES,))
_TEXT_FIELD = Parameter((BYTES,), "field")
_TEXT_LITERAL = Parameter((BYTES,), "literal")
_NUMBER = Parameter((INT,))
_CONDITIONS = Parameter((array(BOOL),), "field")
_PRIMITIVE = Parameter(signatures.PRIMITIVES)
_V4_BITS = Parameter((INT,), "literal", signatures.between(1, 32))
_V6_BITS = Parameter((INT,), "literal", signatures.between(1, 128))
_STEP = Parameter((BYTES, INT), "literal")
_WILDCARD = Parameter((BYTES,), "literal", read_wildcard)
_REGEX = Parameter((BYTES,), "literal", signatures.regex)
_TEMPLATE = Parameter((BYTES,), "literal", replacing.check_template)
_ANYTHING = Parameter((), "field")
_INT64 = (1 << 63) - 1


def _flags(letters: str) -> Parameter:
    return Parameter((BYTES,), "literal", signatures.flags(letters))


def _spelling(_: bytes) -> None:
    """What stands in the place of a call that is another spelling: it is never made."""


def _literal(lowest: int, highest: int) -> Parameter:
    return Parameter((INT,), "literal", signatures.between(lowest, highest))


_TABLE = (
    Function(
        "any", (_CONDITIONS,), 1, BOOL, lambda found: found is not None and any(found),
        "Whether a condition on ``[*]`` is true of any element; false of a missing array.", takes_missing=True,
    ),
    Function(
        "all", (_CONDITIONS,), 1, BOOL, lambda found: found is not None and all(found),
        "Whether a condition on ``[*]`` is true of every element; true if there is none. See :ref:`missing`.",
        takes_missing=True,
    ),
    Function(
        "cidr", (Parameter((IP,), "field"), _V4_BITS, _V6_BITS), 3, IP, cidr,
        "The first address of the network of an address, by the prefix length of its family.",
    ),
    Function(
        "cidr6", (Parameter((IP,), "field"), _V6_BITS), 2, IP, lambda address, bits: cidr(address, 32, bits),
        "The first address of the network of an IPv6 address, by the prefix length; an IPv4 address stays "
"as it is.",
    ),
    Function(
        "coalesce", (_PRIMITIVE,), 2, signatures.alike, texts.coalesce,
        "The first argument that is not missing.", repeated=True, takes_missing=True,
    ),
    Function(
        "concat", (Parameter(()),), 2, signatures.joinable, texts.concat,
        "All arguments joined into one, texts or arrays; those that are missing are left out.", repeated=True,
        takes_missing=True,
    ),
    Function(
        "decode_base64", (_TEXT_FIELD,), 1, BYTES, digests.decode_base64,
        "The text decoded from Base64, in either alphabet; other characters are ignored. Missing if it "
"cannot be decoded.",
    ),
    Function(
        "encode_base64", (_TEXT, _flags("up")), 1, BYTES, digests.encode_base64,
        "The text in Base64, without padding; ``u``: in the alphabet for URLs, ``p``: padded.",
    ),
    Function(
        "ends_with", (_TEXT_FIELD, _TEXT), 2, BOOL, bytes.endswith, "Whether the text ends with another.",
    ),
    Function(
        "has_key", (_ANYTHING, _TEXT), 2, signatures.keyed, contains, "Whether the map has the key.",
    ),
    Function(
        "has_value", (_ANYTHING, _PRIMITIVE), 2, signatures.member, texts.has_value,
        "Whether the array has an element, or the map a value, that is equal.",
    ),
    Function(
        "hash_in_range",
        (_literal(-_INT64 - 1, _INT64), _literal(-_INT64 - 1, _INT64), Parameter(signatures.PRIMITIVES, "field")),
        3, INT, digests.hash_in_range,
        "A number from the first up to, but not including, the second; always the same for the same values.",
        repeated=True, check=signatures.increasing,
    ),
    Function(
        "is_jwt_present", (_TEXT_LITERAL,), 1, BOOL, _spelling,
        "Whether the request has a token, valid or not, where the token configuration ``[jwt NAME]`` looks for it.",
        key_of="edge.jwt.present",
    ),
    Function(
        "is_jwt_valid", (_TEXT_LITERAL,), 1, BOOL, _spelling,
        "Whether the request has a valid token by the token configuration ``[jwt NAME]``.", key_of="edge.jwt.valid",
    ),
    Function(
        "is_timed_hmac_valid_v0",
        (_TEXT_LITERAL, _TEXT_FIELD, _literal(0, _INT64), _NUMBER, _literal(0, _INT64), _flags("s")),
        4, BOOL, digests.is_timed_hmac_valid,
        "Whether a token (message, separator, ten digits of seconds, ``-``, code) is authentic under a key and not "
        "older than so many seconds at a time, usually ``http.request.timestamp.sec``. The separator's length is 0 "
        "unless given; ``s``: the code is in Base64 for URLs, without padding, else in percent-encoded Base64.",
    ),
    Function(
        "join", (Parameter((STRINGS,), "field"), _TEXT_LITERAL), 2, BYTES,
        lambda items, separator: separator.join(items),
        "The texts of an array joined into one, with a separator between them.",
    ),
    Function(
        "len", (_ANYTHING,), 1, signatures.measurable, len, "The bytes of a text, or the elements of an array.",
    ),
    Function(
        "lookup_json_integer", (_TEXT_FIELD, _STEP), 2, INT, jsontexts.lookup_integer,
        "The integer in a JSON text at a path of names and indexes from 0; of a repeated name the last.", repeated=True,
    ),
    Function(
        "lookup_json_string", (_TEXT_FIELD, _STEP), 2, BYTES, jsontexts.lookup_string,
        "The string in a JSON text at a path of names and indexes from 0; of a repeated name the last.", repeated=True,
    ),
    Function("lower", (_TEXT_FIELD,), 1, BYTES, bytes.lower, "The text with A to Z in lower case."),
    Function(
        "regex_replace", (_TEXT, _REGEX, _TEMPLATE), 3, BYTES, replacing.regex_replace,
        "The text with the first match replaced; ``${1}`` to ``${8}`` are its groups, ``$$`` is a dollar sign.",
        check=signatures.regex_groups,
    ),
    Function(
        "remove_bytes", (_TEXT_FIELD, _TEXT), 2, BYTES, lambda text, unwanted: text.translate(None, unwanted),
        "The text without any of these bytes.",
    ),
    Function(
        "remove_query_args", (_TEXT_FIELD, _TEXT_LITERAL), 2, BYTES, texts.remove_query_args,
        "The query string without the arguments of these names; a name is compared as it is written in it.",
        repeated=True, check=signatures.query,
    ),
    Function("sha256", (_TEXT,), 1, BYTES, digests.sha256, "The SHA-256 of a text: 32 bytes."),
    Function(
        "split",
        (_TEXT_FIELD, Parameter((BYTES,), "literal", signatures.some), _literal(1, 128)), 3, STRINGS,
        lambda text, separator, limit: tuple(text.split(separator, limit - 1)),
        "The parts of a text between separators, at most as many as given; the last has the rest.",
    ),
    Function(
        "starts_with", (_TEXT_FIELD, _TEXT), 2, BOOL, bytes.startswith, "Whether the text begins with another.",
    ),
    Function(
        "substring", (_TEXT_FIELD, _NUMBER, _NUMBER), 2, BYTES, lambda text, start, end=None: text[start:end],
        "The bytes from one index up to, but not including, another; negative ones count from the end.",
    ),
    Function(
        "to_string", (Parameter((INT, BOOL, IP), "field"),), 1, BYTES, texts.to_string,
        "A number in decimal, ``true`` or ``false``, or an address in its shortest form.",
    ),
    Function("upper", (_TEXT_FIELD,), 1, BYTES, bytes.upper, "The text with a to z in upper case."),
    Function(
        "url_decode", (_TEXT_FIELD, _flags("ru")), 1, BYTES, texts.url_decode,
        "The text with percent-escapes decoded and ``+`` as a space; ``r``: until nothing is left to decode, ``u``: "
        "``%uXXXX`` too.",
    ),
    Function(
        "uuidv4", (_TEXT_FIELD,), 1, BYTES, digests.uuidv4,
        "A UUID of version 4 made of a text, always the same for the same text.",
    ),
    Function(
        "wildcard_replace", (_TEXT_FIELD, _WILDCARD, _TEMPLATE, _flags("s")), 3, BYTES, replacing.wildcard_replace,
        "The replacement if the whole text matches a wildcard, else the text; letter case matters with "
"``s`` only; ``${1}`` to ``${8}`` are what the stars stand for, each as short as possible.",
        check=signatures.wildcard_groups,
    ),
)  # fmt: skip

SPELLINGS: Mapping[str, str] = {function.key_of: function.name for function in _TABLE if function.key_of}
"""The maps whose value for a key is spelt as a call, with the function."""

FUNCTIONS: Mapping[str, Function] = {function.name: function for function in _TABLE}
"""Every function by its name; ``any`` and ``all`` among them."""

REFUSED: Mapping[str, str] = {
    "bit_slice": "it reads packets, and rules see requests",
}
"""Cloudflare's functions that are no function here, and why."""
