"""Databases of addresses in MaxMind's format, made for tests by ``mmdb-writer``."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

COUNTRIES = {"DE": ("Germany", "EU", True), "FR": ("France", "EU", True), "JP": ("Japan", "AS", False)}


def write_databases(folder: pathlib.Path, places: Mapping[str, Any], owners: Mapping[str, tuple[int, str]]) -> None:
    """Write ``city.mmdb`` and ``asn.mmdb``.

    :param places: by network its country (ISO code), and its region and subregion as pairs of code and name.
    :param owners: by network the number and the organization of its autonomous system.
    """
    write_database(folder / "city.mmdb", {network: _city(place) for network, place in places.items()}, "GeoLite2-City")
    records = {
        network: {"autonomous_system_number": number, "autonomous_system_organization": organization}
        for network, (number, organization) in owners.items()
    }
    write_database(folder / "asn.mmdb", records, "GeoLite2-ASN")


def write_database(
    file: pathlib.Path, records: Mapping[str, Mapping[str, Any]], kind: str = "Test", version: int = 6
) -> None:
    """Write a database.

    :param records: by network.
    :param kind: what it calls itself.
    :param version: of IP: one of 6 has addresses of IPv4 too.
    """
    database = MMDBWriter(version, kind, languages=["en"], ipv4_compatible=version == 6, description="for tests")
    for network, record in records.items():
        database.insert_network(IPSet([network]), dict(record))
    database.to_db_file(str(file))


def _city(place: Mapping[str, Any]) -> dict[str, Any]:
    name, continent, in_union = COUNTRIES[place["country"]]
    subdivisions = [
        {"iso_code": code, "names": {"en": text}}
        for code, text in (place[key] for key in ("region", "subregion") if key in place)
    ]
    return {
        "continent": {"code": continent, "names": {"en": continent}},
        "country": {"iso_code": place["country"], "names": {"en": name}, "is_in_european_union": in_union},
        "subdivisions": subdivisions,
    }
