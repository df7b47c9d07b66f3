r"""Regular expressions as ModSecurity has them, PCRE, written for RE2 and for Python.

Law: what is translated matches exactly the same texts. ModSecurity matches byte by byte, ``.`` is any byte, and ``^``
and ``$`` are those of lines (``PCRE2_DOTALL | PCRE2_MULTILINE``). An expression that RE2 does not read, such as one
that looks ahead, is matched by ``regex``; if it repeats without an end, only on values of at most
:data:`LONGEST_TRIED` bytes, and for no longer than :data:`LONGEST`. Beyond that a value counts as one that matches if
it matches what is left of the expression without all that RE2 does not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import re2

from edgenode.model.errors import InvalidValue

try:
    import regex
except ImportError:  # it is an extra
    regex = None

LONGEST_TRIED = 1024
"""Bytes of a value on which an expression is tried that RE2 does not read."""

LONGEST = 0.01
"""Seconds for which it is tried: ``(a+)+b`` takes twice as long for each letter more."""

_MEMORY = (1 << 20, 8 << 20, 64 << 20)
"""What RE2 may take for one expression, bytes: as little as it can be compiled with."""

Groups = tuple[bytes | None, ...]
Search = Callable[[bytes], "Groups | None"]
"""The groups of the first match, that of the whole first; ``None`` if there is none."""

_POSIX = {
    "alpha": r"A-Za-z", "digit": r"0-9", "alnum": r"A-Za-z0-9", "upper": r"A-Z", "lower": r"a-z",
    "space": r"\x09-\x0d\x20", "blank": r"\x09\x20", "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "cntrl": r"\x00-\x1f\x7f", "graph": r"\x21-\x7e", "print": r"\x20-\x7e", "xdigit": r"A-Fa-f0-9",
    "word": r"A-Za-z0-9_", "ascii": r"\x00-\x7f",
}  # fmt: skip
_SETS = {
    "d": r"0-9", "w": r"A-Za-z0-9_", "s": r"\x09-\x0d\x20", "h": r"\x09\x20\xa0", "v": r"\x0a-\x0d\x85",
    "D": r"\x00-\x2f\x3a-\xff", "W": r"\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\xff", "S": r"\x00-\x08\x0e-\x1f\x21-\xff",
    "H": r"\x00-\x08\x0a-\x1f\x21-\x9f\xa1-\xff", "V": r"\x00-\x09\x0e-\x84\x86-\xff",
    "N": r"\x00-\x09\x0b-\xff",
}  # fmt: skip
_CONTROLS = {"a": r"\x07", "e": r"\x1b", "f": r"\x0c", "n": r"\x0a", "r": r"\x0d", "t": r"\x09"}
_ANCHORS = {"b": r"\b", "B": r"\B", "A": r"\A", "z": r"\z", "Z": r"(?:$|\n?\z)"}

_TOKEN = re.compile(
    r"""\\Q(?P<quoted>.*?)(?:\\E|\Z)
    |   (?P<comment>\(\?\#[^)]*\))
    |   \\x\{(?P<braced>[0-9A-Fa-f]{1,2})\}
    |   \\x(?P<hex>[0-9A-Fa-f]{0,2})
    |   \\(?P<octal>0[0-7]{0,2})
    |   \\c(?P<control>.)
    |   \\(?P<escape>[A-Za-z0-9])
    |   \\(?P<literal>.)
    |   (?P<set>\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\])
    |   \(\?P?<(?P<name>\w+)>
    |   (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_SET = re.compile(
    r"""\[:(?P<not>\^?)(?P<posix>[a-z]+):\]
    |   \\x\{(?P<braced>[0-9A-Fa-f]{1,2})\}
    |   \\x(?P<hex>[0-9A-Fa-f]{0,2})
    |   \\(?P<octal>[0-7]{1,3})
    |   \\c(?P<control>.)
    |   \\(?P<escape>[A-Za-z])
    |   \\?(?P<literal>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def _byte(number: int) -> str:
    return rf"\x{number:02x}"


def _number(token: re.Match[str]) -> int | None:
    """The byte that an escape stands for; ``None`` if it stands for none."""
    kind = token.lastgroup
    if kind in ("braced", "hex"):
        return int(token[kind] or "0", 16)
    if kind == "octal":
        return int(token["octal"], 8) & 0xFF
    return ord(token["control"].upper()) ^ 0x40 if kind == "control" else None


def _set(text: str) -> str:
    """A class, in which only ranges and bytes are left."""
    negated = text.startswith("[^")
    inside, found, at = text[2 if negated else 1 : -1], [], 0
    while at < len(inside):
        token = _IN_SET.match(inside, at)
        if token is None:
            raise InvalidValue(f"a class of a regular expression cannot be read: {text}")
        at, kind, number = token.end(), token.lastgroup, _number(token)
        if number is not None:
            found.append(_byte(number))
        elif kind == "posix":
            if token["posix"] not in _POSIX or token["not"]:
                raise InvalidValue(f"no such class: {token[0]}")
            found.append(_POSIX[token["posix"]])
        elif kind == "escape" and token["escape"] in _SETS:
            found.append(_SETS[token["escape"]])
        elif kind == "escape" and token["escape"] == "b":
            found.append(_byte(8))
        elif kind == "escape":
            found.append(_CONTROLS.get(token["escape"], _byte(ord(token["escape"]))))
        elif token[0] == "-" and (found and token.start() and at < len(inside)) and _ranges(found, inside, at):
            found.append("-")
        else:
            found.append(_byte(ord(token["literal"])))
    return f"[{'^' if negated else ''}{''.join(found)}]"


def _ranges(found: list[str], inside: str, at: int) -> bool:
    """Whether a hyphen stands between two bytes, and is no byte itself."""
    single = len(found[-1]) == 4 and found[-1].startswith(r"\x") and (len(found) < 2 or found[-2] != "-")
    following = _IN_SET.match(inside, at)
    return (
        single
        and following is not None
        and not (following.lastgroup == "posix" or (following.lastgroup == "escape" and following["escape"] in _SETS))
    )


def translated(pattern: str) -> str:
    """An expression of PCRE as RE2 reads it, or Python, in which every class is written out.

    :raises InvalidValue: if something in it means nothing here.
    """
    written, at = [], 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise InvalidValue("a regular expression ends within an escape", at)
        at, kind, number = token.end(), token.lastgroup, _number(token)
        if number is not None:
            written.append(_byte(number))
        elif kind == "quoted":
            written += [_byte(ord(each)) for each in token["quoted"]]
        elif kind == "set":
            written.append(_set(token[0]))
        elif kind == "name":
            written.append(f"(?P<{token['name']}>")
        elif kind == "literal":
            written.append(_byte(ord(token["literal"])))
        elif kind == "escape":
            written.append(_escape(token["escape"], token.start()))
        elif kind == "other" and not token[0].isascii():
            written.append(_byte(ord(token[0])))
        elif kind != "comment":
            written.append(token[0])
    return "".join(written)


def _escape(letter: str, column: int) -> str:
    if letter in _SETS:
        return f"[{_SETS[letter]}]"
    if letter == "R":
        return r"(?:\r\n|[\x0a-\x0d\x85])"
    if letter in "123456789":
        return rf"\{letter}"
    found = _CONTROLS.get(letter) or _ANCHORS.get(letter)
    if found is None and letter.isalpha() and letter not in "imyYjJqOoFILMTUlu":
        raise InvalidValue(rf"\{letter} is nothing that a regular expression can have here", column)
    return found or _byte(ord(letter))


def bytewise(pattern: str) -> str:
    """An expression of which each character is one byte of UTF-8."""
    return pattern.encode("utf-8", "surrogateescape").decode("latin-1")


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = memory
    return options


def _linear(text: str, memory: int) -> Any:
    try:
        return re2.compile(f"(?m){text}".encode("latin-1"), _options(memory))
    except re2.error:
        return None


def linear(pattern: str) -> Any:
    """An expression compiled by RE2; ``None`` if RE2 does not read it.

    :raises InvalidValue: if it is none of PCRE's, as far as can be said.
    """
    text = translated(bytewise(pattern))
    return next((found for memory in _MEMORY if (found := _linear(text, memory)) is not None), None)


def search(pattern: str, *, negated: bool = False) -> Search:
    """What searches a value for an expression.

    :param negated: whether a rule is about values that do not match. Where a value is too long, or takes too long, for
        what RE2 does not read, it counts as one that the rule is about, whichever that is.
    :raises InvalidValue: if it cannot be read.
    """
    found = linear(pattern)
    if found is not None:
        return _searching(found.search, "^" in pattern)
    text = each_alone(translated(bytewise(pattern)))
    if regex is None:
        raise InvalidValue("RE2 does not read this expression; what does is not installed: pip install regex")
    try:
        flagged = f"(?sm){_flags_first(text)}".replace(r"\z", r"\Z")
        bounded = _is_bounded(_parser.parse(flagged))
        compiled = regex.compile(flagged.encode("latin-1"))
    except (re.error, regex.error, OverflowError) as error:
        raise InvalidValue(f"not a regular expression: {error}") from None
    if bounded:
        return _searching(compiled.search, "^" in text)
    rest = _linear(_relaxed(text), _MEMORY[-1])
    if rest is None:
        raise InvalidValue("neither is this a regular expression of RE2, nor what is left of it for long values")
    exact, roughly = (
        _searching(partial(compiled.search, timeout=LONGEST), "^" in text),
        _searching(rest.search, False),
    )

    def search_in_time(value: bytes) -> Groups | None:
        try:
            if len(value) <= LONGEST_TRIED:
                return exact(value)
        except TimeoutError:
            pass
        return None if negated else roughly(value)

    return search_in_time


def _is_bounded(tree: Any) -> bool:
    """Whether nothing in an expression that Python has parsed repeats without an end."""
    for kind, details in tree:
        if str(kind).endswith("REPEAT") and details[1] is _parser.MAXREPEAT:
            return False
        several = details if isinstance(details, list | tuple) else ()
        nested = [each for item in several for each in (item if isinstance(item, list) else [item])]
        if not all(_is_bounded(each) for each in nested if isinstance(each, _parser.SubPattern)):
            return False
    return True


def _group_end(text: str, at: int) -> int:
    """Where the group ends whose parenthesis stands there."""
    depth = 0
    for token in _PIECE.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    raise InvalidValue("a group of a regular expression has no end", at)


_PIECE = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_LOOKS = re.compile(r"\(\?<?[!=]")
_NOT_BEHIND = "(?<!"


def each_alone(text: str) -> str:
    """An expression in which alternatives that shall not stand before are looked for one by one: Python wants each of
    them to be of one length only."""
    at = text.find(_NOT_BEHIND)
    if at < 0:
        return text
    end, parts, depth = _group_end(text, at), [""], 0
    for token in _PIECE.finditer(text, at + len(_NOT_BEHIND), end - 1):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if token[0] == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += token[0]
    return text[:at] + "".join(f"(?<!{part})" for part in parts) + each_alone(text[end:])


def _relaxed(text: str) -> str:
    """An expression that matches whatever this one does, without looking ahead or behind, possessive repeats, atomic
    groups and references."""
    while (found := _LOOKS.search(text)) is not None:
        text = f"{text[: found.start()]}(?:){text[_group_end(text, found.start()) :]}"
    text = re.sub(r"\\([1-9])", ".*", text).replace("(?>", "(?:")
    return re.sub(r"(?<!\\)([*+?}])\+", r"\1", text)


def _flags_first(text: str) -> str:
    r"""``(?i)`` in the middle is none that Python reads; at the beginning it is."""
    return re.sub(r"\A\(\?([ims]+)\)(.*)\Z", r"(?\1:\2)", text, flags=re.DOTALL)


def _searching(tried: Callable[[bytes], Any], anchored: bool) -> Search:
    """What searches with a compiled expression.

    :param tried: its own search.
    :param anchored: whether it has a ``^``: behind a line feed that ends the value, PCRE begins no line.
    """

    def searched(value: bytes) -> Groups | None:
        match = tried(value)
        return None if match is None else (match[0], *match.groups())

    def searched_but_for_the_end(value: bytes) -> Groups | None:
        match = tried(value)
        if match is None or (match.start() == len(value) and value.endswith(b"\n")):
            return None
        return (match[0], *match.groups())

    return searched_but_for_the_end if anchored and tried(b"") is not None else searched
