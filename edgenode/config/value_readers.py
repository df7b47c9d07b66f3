"""How single values are written: durations, sizes, networks, files, secrets, names.

The module owns one function for each type of ``edgenode.model.settings``, from text to value, and where numbers have
units the function back. Its law: what is written has one meaning, or it is refused with an ``InvalidValue``. The first
paragraph of a reader's docstring is what the reference says of the type.
"""

from __future__ import annotations

import difflib
import ipaddress
import pathlib
import re
from collections.abc import Collection, Mapping

from attrs import field, frozen

from edgenode.model import durations
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import File, Folder, Secret, Source, check_dns_name
from edgenode.model.urls import read_address
from edgenode.policy.contentfilter.contentfilter import BUILTIN, CRS, RuleSource
from edgenode.rules import networks

_POWERS = (("g", 1024**3), ("m", 1024**2), ("k", 1024))
_SIZE = re.compile(r"([0-9]{1,15})([kmg]?)")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@frozen
class Scope:
    """What a value may refer to.

    :ivar folder: where relative paths start.
    :ivar environment: the variables that a secret may name.
    :ivar names: the names of the sections there are, by kind.
    :ivar homes: the kinds of section that have a key, by the key.
    :ivar in_use: the files that a running node has read already: that one is gone is not the fault of what is written.
    """

    folder: pathlib.Path
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    names: Mapping[str, Collection[str]] = field(factory=dict)
    homes: Mapping[str, Collection[str]] = field(factory=dict)
    in_use: Collection[pathlib.Path] = ()


def seconds(text: str, scope: Scope) -> float:
    """``250ms``, ``5s``, ``10m``, ``24h``, ``7d``; a whole number and a unit."""
    return durations.seconds(text)


def size(text: str, scope: Scope) -> int:
    """A number of bytes: ``512``, ``16k``, ``8m``, ``1g``, in powers of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidValue("expected a number of bytes such as 512, 16k, 8m or 1g")
    return int(match[1]) * dict(_POWERS).get(match[2], 1)


def write_size(value: int) -> str:
    """Write a number of bytes in its largest unit."""
    unit, factor = next(((unit, factor) for unit, factor in _POWERS if value % factor == 0), ("", 1))
    return f"{value // factor}{unit}" if value else "0"


def network(text: str, scope: Scope) -> str:
    """An IP address, or a network without host bits: ``10.0.0.0/8``, ``2001:db8::/32``.

    An IPv4-mapped IPv6 one is the IPv4 one it maps, as in rules.
    """
    return str(networks.network(text))


def _path(text: str, scope: Scope) -> pathlib.Path:
    if not text.isprintable():
        raise InvalidValue("this is no name of a file")
    return scope.folder / text


def file(text: str, scope: Scope) -> pathlib.Path:
    """A file that can be read. A relative path starts at the configuration's own folder."""
    path = _path(text, scope)
    if path in scope.in_use:
        return path
    try:
        if path.exists() and not path.is_file():
            raise InvalidValue(f"cannot read {path}: not a regular file")
        path.open("rb").close()
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from None
    return path


def output(text: str, scope: Scope) -> pathlib.Path | None:
    """A file in a folder that exists; ``-`` is standard output, ``off`` is none. A relative path starts at the
    configuration's own folder."""
    if text in ("-", "off"):
        return pathlib.Path("-") if text == "-" else None
    path = _path(text, scope)
    try:
        if path.is_dir():
            raise InvalidValue(f"cannot write {path}: it is a folder")
        if not path.parent.is_dir():
            raise InvalidValue(f"cannot write {path}: there is no such folder")
    except OSError as error:
        raise InvalidValue(f"cannot write {path}: {error.strerror}") from None
    return path


def awaited(text: str, scope: Scope) -> pathlib.Path:
    """A file that need not be there, in a folder that is. A relative path starts at the configuration's own folder."""
    path = _path(text, scope)
    try:
        if not path.parent.is_dir():
            raise InvalidValue(f"cannot look for {path}: there is no such folder")
    except OSError as error:
        raise InvalidValue(f"cannot look for {path}: {error.strerror}") from None
    return path


def folder(text: str, scope: Scope) -> pathlib.Path:
    """A folder that exists. A relative path starts at the configuration's own folder."""
    path = _path(text, scope)
    try:
        if not path.is_dir():
            raise InvalidValue(f"there is no such folder: {path}")
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from None
    return path


def rule_source(text: str, scope: Scope) -> RuleSource:
    """``crs:FOLDER`` with the rules of a Core Rule Set, ``builtin``, or a file in SecLang."""
    if text == BUILTIN:
        return RuleSource(BUILTIN)
    if not text.startswith(CRS):
        try:
            return RuleSource("file", File(file(text, scope)))
        except InvalidValue as problem:
            if "://" in text:
                raise InvalidValue(f"an address is no source of rules: {BUILTIN}, {CRS}FOLDER, or a file") from None
            hint = f'; did you mean "{BUILTIN}"?' if difflib.get_close_matches(text, (BUILTIN,)) else ""
            raise InvalidValue(f"{problem.sentence}{hint}", problem.column or 0) from None
    try:
        named = _path(text.removeprefix(CRS), scope)
        return RuleSource("crs", Folder(named if named in scope.in_use else folder(text.removeprefix(CRS), scope)))
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, len(CRS)) from None


_PREFIX = "file:"


def source(text: str, scope: Scope) -> Source:
    """``https://HOST/PATH``, ``file:PATH``, or ``self-managed`` for none. ``http`` is not accepted."""
    if text == "self-managed":
        return Source()
    if text.startswith(_PREFIX):
        name = text.removeprefix(_PREFIX)
        if name.startswith("//") and not name.startswith("///"):
            raise InvalidValue("a file has no host: write file:PATH", len(_PREFIX))
        return Source(path=file(name.removeprefix("//"), scope))
    if text.lower().startswith("http:"):
        raise InvalidValue("without TLS anybody on the way could write this list; the source must be https")
    read_address(text)
    return Source(url=text)


def secret(text: str, scope: Scope) -> Secret:
    """A text; ``${NAME}`` in it is replaced by that environment variable.

    No sentence about it quotes anything but the name of a variable.
    """
    for match in _VARIABLE.finditer(text):
        name, closed = match.groups()
        if not closed or not _VARIABLE_NAME.fullmatch(name):
            raise InvalidValue("expected the name of an environment variable, as in ${NAME}")
        if name not in scope.environment:
            raise InvalidValue(f"the environment variable {name} is not set")
    secret = _VARIABLE.sub(lambda match: scope.environment[match[1]], text)
    if not secret:
        raise InvalidValue("the secret is empty")
    return Secret(secret)


def word(text: str, scope: Scope) -> str:
    """A text without white space."""
    space = re.search(r"\s", text)
    if space is not None:
        raise InvalidValue("expected a single word", space.start())
    return text


def host_name(text: str, scope: Scope) -> str:
    """A host name or an address, in lower case: ``example.com``, ``*.example.com``, ``192.0.2.1``, ``[2001:db8::1]``.

    As in RFC 1123, section 2.1; an underscore is accepted, as in browsers.
    """
    if text.startswith("[") or ":" in text:
        _bracketed(text)
        return text
    if text.endswith(".") and text.isascii() and text == text.lower():
        raise InvalidValue("a host name is written without a final dot", len(text) - 1)
    check_dns_name(text, "host name", "a host name, *.example.com, or an IP address, without a port")
    _dotted(text)
    return text


def _bracketed(text: str) -> None:
    try:
        right = f"[{ipaddress.IPv6Address(text.removeprefix('[').removesuffix(']'))}]"
    except ValueError:
        raise InvalidValue("expected a host name, *.example.com, or an IP address, without a port") from None
    if text != right:
        raise InvalidValue(f"an IPv6 address is written in brackets, in its canonical form: {right}")


def _dotted(text: str) -> None:
    """A name whose last label is a number is read as an IPv4 address by browsers (WHATWG URL, section 3.5)."""
    if text.rpartition(".")[2].isdigit():
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            raise InvalidValue("this is no IPv4 address, and a name may not end in a number") from None


def boolean(text: str, scope: Scope) -> bool:
    """``yes`` or ``no``; also ``true``, ``on``, ``false``, ``off``."""
    if text not in _BOOLEANS:
        raise InvalidValue("expected yes or no")
    return _BOOLEANS[text]


def integer(text: str, scope: Scope) -> int:
    """A whole number."""
    if not _INTEGER.fullmatch(text):
        raise InvalidValue("expected a number")
    return int(text)


def text(text: str, scope: Scope) -> str:
    """Any text, also on several lines."""
    return text
