"""The databases of addresses: what is read of them, whoever made them, and what becomes of what is wrong with them."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import asdict, fields
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from edgenode.feeds.geo import UNKNOWN, Geo, load
from edgenode.model.exchange import Geography
from edgenode.model.settings import File
from tests.support.databases import write_database

MAXMIND_CITY = {
    "continent": {"code": "EU", "names": {"en": "Europe", "de": "Europa"}},
    "country": {"iso_code": "DE", "is_in_european_union": True, "names": {"en": "Germany", "de": "Deutschland"}},
    "registered_country": {"iso_code": "FR", "names": {"en": "France"}},
    "subdivisions": [
        {"iso_code": "BW", "names": {"en": "Baden-Wurttemberg"}},
        {"iso_code": "KA", "names": {"en": "Karlsruhe"}},
    ],
    "city": {"names": {"en": "Rheinstetten"}},
    "postal": {"code": "76287"},
    "location": {"latitude": 48.97, "longitude": -8.5, "time_zone": "Europe/Berlin", "metro_code": 501},
}
GERMANY = {"country": "DE", "country_name": "Germany", "continent": "EU"}
OWNER = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example AG"}

Write = Callable[..., File]


@implementer(ILogObserver)
class Said(list[str]):
    """What has been logged, a sentence each."""

    def __call__(self, event: LogEvent) -> None:
        """Log it."""
        self.append(formatEvent(event))


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Write:
    """Writes a database with a record for 192.0.2.0/24 and, unless it is one of IPv4, for 2001:db8::/32."""

    def write(record: Mapping[str, Any], name: str = "some.mmdb", kind: str = "Test", version: int = 6) -> File:
        networks = ["192.0.2.0/24", "2001:db8::/32"] if version == 6 else ["192.0.2.0/24"]
        write_database(tmp_path / name, dict.fromkeys(networks, record), kind, version)
        return File(tmp_path / name)

    return write


def located(address: str = "192.0.2.7", /, **files: File) -> dict[str, Any]:
    """What is known of an address, without what is not."""
    databases, problems = load(Geo(**files))
    assert databases is not None, problems
    found = databases.locate(address)
    return {name: value for name, value in asdict(found).items() if value}


# -- what is read ----------------------------------------------------------------------------------------------------


def test_everything_that_a_city_record_says_is_read(write: Write) -> None:
    """MaxMind's own places, by their English names; where an address is registered is not where it is."""
    found = located(city=write(MAXMIND_CITY), asn=write(OWNER, "asn.mmdb"))
    assert found == {
        **GERMANY,
        "region": "Baden-Wurttemberg",
        "region_code": "BW",
        "subregion": "Karlsruhe",
        "subregion_code": "KA",
        "city": "Rheinstetten",
        "postal_code": "76287",
        "metro_code": "501",
        "latitude": "48.97",
        "longitude": "-8.5",
        "timezone": "Europe/Berlin",
        "in_european_union": True,
        "asn": 64500,
        "organization": "Example AG",
    }
    assert found.keys() == {field.name for field in fields(Geography)}


@pytest.mark.parametrize(
    ("key", "record", "found"),
    [
        ("country", MAXMIND_CITY, {**GERMANY, "in_european_union": True}),
        ("country", {"country": "DE", "country_name": "Germany", "continent": "EU"}, GERMANY),
        (
            "country",
            {"country": "Germany", "country_code": "DE", "continent": "Europe", "continent_code": "EU"},
            GERMANY,
        ),
        (
            "city",
            {"city": "Rheinstetten", "region": "BW", "country": "DE", "lat": "48.9", "lng": "8.3", "postal_code": "7"},
            {
                "city": "Rheinstetten",
                "region": "BW",
                "country": "DE",
                "latitude": "48.9",
                "longitude": "8.3",
                "postal_code": "7",
            },
        ),
        ("asn", OWNER, {"asn": 64500, "organization": "Example AG"}),
        ("asn", {"asn": "AS64500", "as_name": "Example AG"}, {"asn": 64500, "organization": "Example AG"}),
        (
            "asn",
            {"asn": "AS64500", "name": "Example AG", "country": "DE"},
            {"asn": 64500, "organization": "Example AG"},
        ),
        ("asn", {"traits": OWNER}, {"asn": 64500, "organization": "Example AG"}),
    ],
)
def test_records_of_other_makers_are_read(
    write: Write, key: str, record: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    """Each key takes what it is for, wherever MaxMind, DB-IP or IPinfo put it."""
    assert located(**{key: write(record)}) == found


def test_what_the_city_does_not_say_the_country_may(write: Write) -> None:
    """Of what both say the city's word is taken."""
    city = write({"country": {"iso_code": "DE"}, "city": {"names": {"en": "Rheinstetten"}}}, "city.mmdb")
    country = write({"country": {"iso_code": "FR"}, "continent": {"code": "EU"}}, "country.mmdb")
    assert located(city=city, country=country) == {"country": "DE", "city": "Rheinstetten", "continent": "EU"}


@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db9::1", "", "nonsense", "192.0.2.7:80", "fe80::1%eth0"])
def test_an_address_that_is_nowhere_is_unknown(write: Write, address: str) -> None:
    """Whether no record has it, or it is none at all."""
    assert located(address, country=write(MAXMIND_CITY)) == {}


def test_both_versions_of_ip_are_found(write: Write) -> None:
    """In a database of IPv4 an address of IPv6 is unknown."""
    assert located("2001:db8::7", country=write(MAXMIND_CITY))["country"] == "DE"
    old = write(MAXMIND_CITY, "old.mmdb", version=4)
    assert located("192.0.2.7", country=old)["country"] == "DE"
    assert located("2001:db8::7", country=old) == {}


_KEYS = st.sampled_from(
    ("country", "country_code", "country_name", "continent", "names", "en", "iso_code", "subdivisions", "city", "asn",
     "location", "latitude", "autonomous_system_number", "traits", "postal", "code", "is_in_european_union")
)  # fmt: skip
_VALUES = st.recursive(
    st.sampled_from(["DE", "Germany", "AS1", "", "\u2028x", 5, -7, 2**31, 1.5, True, False, "a" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_no_record_can_disturb(write: Write, record: Mapping[str, Any]) -> None:
    """Whatever stands where something else is looked for: it is of the right type, or unknown."""
    file = write(record)
    databases, _ = load(Geo(country=file, city=file, asn=file))
    assert databases is not None
    found = databases.locate("192.0.2.7")
    assert all(type(getattr(found, field.name)) is type(getattr(UNKNOWN, field.name)) for field in fields(Geography))
    assert 0 <= found.asn < 1 << 32
    assert len(found.country) in (0, 2)


def test_the_slow_reader_finds_the_same(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``maxminddb`` was built without its extension, its Python is used."""
    fast = located(city=write(MAXMIND_CITY))
    monkeypatch.setattr("maxminddb._extension", None)
    assert located(city=write(MAXMIND_CITY)) == fast


# -- files that change or are wrong ----------------------------------------------------------------------------------


def test_what_was_read_stays_as_it_was_read(write: Write) -> None:
    """The file may be emptied, overwritten or removed: requests go on with what was in it."""
    file = write(MAXMIND_CITY)
    databases, _ = load(Geo(country=file))
    assert databases is not None
    file.write_bytes(b"")
    assert databases.locate("192.0.2.7").country == "DE"
    file.write_bytes(b"\xff" * 10_000)
    assert databases.locate("192.0.2.8").country == "DE"
    file.unlink()
    assert databases.locate("2001:db8::9").country == "DE"


def broken(file: File) -> list[str]:
    """The problems of a database that cannot be used."""
    databases, problems = load(Geo(asn=file))
    assert databases is None
    assert all((problem.section, problem.key, problem.warning) == ("geo", "asn", False) for problem in problems)
    return [problem.sentence for problem in problems]


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_half_a_file_is_no_database(write: Write, part: float) -> None:
    """As one looks while it is being copied."""
    file = write(OWNER)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    (sentence,) = broken(file)
    assert sentence.startswith(f"{file} is no database in MaxMind's format, or damaged")


def test_damage_inside_a_file_is_found(write: Write) -> None:
    """Though its end, which says what it is, is whole: addresses from everywhere are looked up in it."""
    file = write(OWNER)
    write_database(file, {f"{first}.0.0.0/8": {"autonomous_system_number": first} for first in range(1, 200)})
    data = bytearray(file.read_bytes())
    end = data.rindex(b"\xab\xcd\xefMaxMind.com")
    data[end // 4 : end] = b"\xff" * (end - end // 4)
    file.write_bytes(data)
    (sentence,) = broken(file)
    assert "is no database" in sentence


def test_damage_that_was_not_found_is_told_once(write: Write) -> None:
    """Addresses under it are unknown, one line in the log says why, and the others are found as ever."""
    file = write(OWNER)
    write_database(
        file, {f"192.0.2.{last}/32": {"asn": f"AS{last + 1}", "as_name": f"Owner {last}"} for last in range(8)}
    )
    data = file.read_bytes()
    for last in (3, 4):  # a text that claims to be longer than the file
        at = data.index(b"Owner %d" % last) - 1
        data = data[:at] + b"\x5f\xff\xff\xff" + data[at + 4 :]
    file.write_bytes(data)
    said = Said()
    databases, _ = load(Geo(asn=file))
    assert databases is not None
    globalLogPublisher.addObserver(said)
    try:
        found = [databases.locate(f"192.0.2.{last}").asn for last in range(8)]
    finally:
        globalLogPublisher.removeObserver(said)
    assert found == [1, 2, 3, 0, 0, 6, 7, 8]
    assert [line.partition(": ")[0] for line in said] == ["[geo] asn"]


def test_a_text_that_is_none_is_told(write: Write) -> None:
    """A record with bytes that are no UTF-8 is damage too, and not an address without a record."""
    file = write(OWNER)
    data = file.read_bytes()
    file.write_bytes(data.replace(b"Example AG", b"Example \xff\xff"))
    said = Said()
    databases, _ = load(Geo(asn=file))
    assert databases is not None
    globalLogPublisher.addObserver(said)
    try:
        assert databases.locate("192.0.2.7") == UNKNOWN
        assert databases.locate("no address") == UNKNOWN
    finally:
        globalLogPublisher.removeObserver(said)
    assert [line.partition(": ")[0] for line in said] == ["[geo] asn"]


def test_what_is_no_file_is_no_database(tmp_path: pathlib.Path) -> None:
    """A folder, a named pipe, nothing at all: it is said, and nobody waits."""
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("", "Is a directory"), ("pipe", "no regular file"), ("nothing", "No such file")):
        (sentence,) = broken(File(tmp_path / name))
        assert reason in sentence


def test_without_the_package_it_is_said_what_to_install(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else needs it, so it may be missing."""
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    assert broken(write(OWNER)) == ["a database of addresses needs the package maxminddb: pip install maxminddb"]


@pytest.mark.parametrize(
    ("key", "kind", "doubtful"),
    [
        ("country", "GeoLite2-Country", False),
        ("country", "GeoLite2-City", False),
        ("country", "GeoLite2-ASN", True),
        ("city", "DBIP-City-Lite", False),
        ("city", "GeoLite2-Country", True),
        ("city", "GeoIP2-Enterprise", False),
        ("asn", "GeoLite2-ASN", False),
        ("asn", "GeoIP2-ISP", False),
        ("asn", "GeoLite2-City", True),
        ("asn", "ipinfo generic_bundled.mmdb", False),
    ],
)
def test_a_database_of_another_kind_is_doubtful(write: Write, key: str, kind: str, doubtful: bool) -> None:
    """It goes by how it calls itself; a name that says nothing is not doubted."""
    databases, problems = load(Geo(**{key: write(MAXMIND_CITY, kind=kind)}))
    assert databases is not None
    assert [(problem.key, problem.warning) for problem in problems] == [(key, True)] * doubtful
