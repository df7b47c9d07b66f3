"""``[geo]``: databases that say where an address is, and whose it is, in MaxMind's format.

Law: what was read stays as it was read, whatever becomes of the file; and nothing that a record holds, or lacks, can
disturb a request: what it does not say in a way that is understood is unknown.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define, frozen
from twisted.logger import Logger

from edgenode.model.errors import InvalidValue, Problem
from edgenode.model.exchange import Geography
from edgenode.model.settings import File, setting
from edgenode.tls.certificates import read
from edgenode.tls.problems import in_words

if TYPE_CHECKING:
    from maxminddb import Reader

_REMEMBERED = 4096
"""Addresses whose place is remembered: a client asks more than once."""

_PROBES = (*(f"{first}.0.0.1" for first in range(1, 224)), *(f"2{first:03x}:db8::1" for first in range(0, 0x1000, 16)))
"""Addresses from everywhere that are looked up in a new database: what is damaged shows, as far as it can be told."""

_log = Logger()


@frozen
class Geo:
    """Databases of the places and networks of addresses, in MaxMind's format (GeoLite2, GeoIP2, DB-IP, IPinfo). They
    need the package ``maxminddb``. The section has no name and may be left out."""

    kind: ClassVar[str] = "geo"

    country: File | None = setting("The country and continent of an address; not needed beside ``city``.", None)
    city: File | None = setting("The country, continent, regions, city and coordinates of an address.", None)
    asn: File | None = setting("The autonomous system of an address, by number and organization.", None)

    def __bool__(self) -> bool:
        """Whether it names a database."""
        return any((self.country, self.city, self.asn))


Step = str | int
"""The key of a map in a record, or the place in a list."""


def _text(value: object) -> str:
    """A text; a number as it is written."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _code(value: object) -> str:
    """A code of two letters."""
    return value if isinstance(value, str) and re.fullmatch("[A-Z]{2}", value) else ""


def _name(value: object) -> str:
    """A name; where it may stand, some databases have the code."""
    return "" if _code(value) else _text(value)


def _number(value: object) -> int:
    """The number of an autonomous system (RFC 6793), with or without ``AS``."""
    digits = re.fullmatch("(?:AS)?([0-9]{1,10})", _text(value))
    number = int(digits[1]) if digits is not None else 0
    return number if number < 1 << 32 else 0


_Wanted = Mapping[str, tuple[Callable[[object], Any], tuple[tuple[Step, ...], ...]]]
"""By attribute of :class:`Geography` how to read it, and where it may stand: MaxMind's place first, then others'."""

_COUNTRY: _Wanted = {
    "country": (_code, (("country", "iso_code"), ("country_code",), ("country",))),
    "country_name": (_name, (("country", "names", "en"), ("country_name",), ("country",))),
    "continent": (_code, (("continent", "code"), ("continent_code",), ("continent",))),
    "in_european_union": (lambda value: value is True, (("country", "is_in_european_union"),)),
}
_CITY: _Wanted = {
    **_COUNTRY,
    "region": (_text, (("subdivisions", 0, "names", "en"), ("region",))),
    "region_code": (_text, (("subdivisions", 0, "iso_code"), ("region_code",))),
    "subregion": (_text, (("subdivisions", 1, "names", "en"),)),
    "subregion_code": (_text, (("subdivisions", 1, "iso_code"),)),
    "city": (_text, (("city", "names", "en"), ("city",))),
    "postal_code": (_text, (("postal", "code"), ("postal_code",))),
    "metro_code": (_text, (("location", "metro_code"),)),
    "latitude": (_text, (("location", "latitude"), ("latitude",), ("lat",))),
    "longitude": (_text, (("location", "longitude"), ("longitude",), ("lng",))),
    "timezone": (_text, (("location", "time_zone"), ("timezone",))),
}
_ASN: _Wanted = {
    "asn": (_number, (("autonomous_system_number",), ("traits", "autonomous_system_number"), ("asn",))),
    "organization": (
        _text,
        (("autonomous_system_organization",), ("traits", "autonomous_system_organization"), ("as_name",), ("name",)),
    ),
}

_KINDS: Mapping[str, tuple[_Wanted, tuple[str, ...]]] = {
    "city": (_CITY, ("city", "location", "enterprise")),
    "country": (_COUNTRY, ("country", "city", "location", "enterprise")),
    "asn": (_ASN, ("asn", "isp", "enterprise")),
}
"""By key of the section what is wanted of its records, and the words by which such a database calls itself; of what
two of them say, the first is taken."""

UNKNOWN = Geography()


@define
class _Database:
    """One open database."""

    key: str
    reader: Reader
    complained: bool = False

    def find(self, address: str) -> object:
        """The record of an address, ``None`` if there is none that can be read."""
        try:
            return self.reader.get(address)
        except Exception as error:
            no_address = isinstance(error, ValueError) and not isinstance(error, UnicodeError)
            if no_address:  # or one of IPv6 in a database of IPv4
                return None
            if not self.complained:  # the next addresses are likely to meet the same
                self.complained = True
                _log.error("[geo] {key}: a record cannot be read: {error}", key=self.key, error=in_words(error))
            return None


@frozen(eq=False)
class Databases:
    """The databases of ``[geo]``, open.

    :ivar locate: where an address is, and whose; it is given in text, and never is an error.
    :ivar built: when each was built, seconds since 1970, and how many nodes it has, by its key in the section.
    """

    locate: Callable[[str], Geography]
    built: Mapping[str, tuple[int, int]]


def _locate(databases: tuple[_Database, ...], address: str) -> Geography:
    found: dict[str, Any] = {}
    for database in databases:
        record = database.find(address)
        if isinstance(record, dict):
            for attribute, value in _read(record, _KINDS[database.key][0]):
                found.setdefault(attribute, value)
    return Geography(**found) if found else UNKNOWN


def _read(record: object, wanted: _Wanted) -> Iterator[tuple[str, Any]]:
    """What a record says, without what it leaves open."""
    for attribute, (convert, places) in wanted.items():
        for place in places:
            value = convert(_at(record, place))
            if value:
                yield attribute, value
                break


def _at(record: object, place: tuple[Step, ...]) -> object:
    value: Any = record
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def load(section: Geo) -> tuple[Databases | None, tuple[Problem, ...]]:
    """Open the databases of a section.

    :returns: ``None`` if one of them cannot be used, or none is named; and every problem, warnings too.
    """
    databases: list[_Database] = []
    problems: list[Problem] = []
    for key, (_, words) in _KINDS.items():
        path = getattr(section, key)
        if path is None:
            continue
        try:
            reader = _open(read(path))
            for address in _PROBES:
                if ":" not in address or reader.metadata().ip_version == 6:
                    reader.get(address)
        except InvalidValue as problem:
            problems.append(Problem(Geo.kind, key, problem.sentence))
        except ImportError:
            sentence = "a database of addresses needs the package maxminddb: pip install maxminddb"
            problems.append(Problem(Geo.kind, key, sentence))
        except Exception:  # whatever a reader of damaged files may raise; its words name a descriptor, not the file
            problems.append(Problem(Geo.kind, key, f"{path} is no database in MaxMind's format, or damaged"))
        else:
            databases.append(_Database(key, reader))
            called = reader.metadata().database_type
            if _is_another(called, words):
                sentence = f"{path} calls itself {called}, so it may not say what is looked for in it"
                problems.append(Problem(Geo.kind, key, sentence, warning=True))
    locate = functools.lru_cache(_REMEMBERED)(functools.partial(_locate, tuple(databases)))
    whole = databases and all(problem.warning for problem in problems)
    built = {each.key: (each.reader.metadata().build_epoch, each.reader.metadata().node_count) for each in databases}
    return Databases(locate, built) if whole else None, tuple(problems)


def _open(data: bytes) -> Reader:
    """A reader over bytes: its fast one takes a file only, and a file of ours nobody else can change or cut short."""
    import maxminddb

    descriptor = os.memfd_create("edgenode geo", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        try:
            return maxminddb.open_database(f"/proc/self/fd/{descriptor}", maxminddb.MODE_MMAP_EXT)
        except ValueError:  # there is only the slow one
            return maxminddb.open_database(f"/proc/self/fd/{descriptor}", maxminddb.MODE_MEMORY)


def _is_another(called: str, words: tuple[str, ...]) -> bool:
    """Whether the name of a kind of database is that of another kind; one that says nothing may be any."""
    every = {word for _, known in _KINDS.values() for word in known}
    said = {word for word in every if word in called.lower()}
    return bool(said) and said.isdisjoint(words)
