"""``[geo]`` in a node: rules and path maps that go by where a client is, and databases that change under it."""

from __future__ import annotations

import pathlib
import shutil
import textwrap

import pytest
from attrs import evolve

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Exchange
from tests.node.test_watch import Said, looks
from tests.node.test_watch import said as said
from tests.support.databases import write_database, write_databases
from tests.support.node import PKI, Changes, Node, Origin, get, in_thread, ini, started, until
from tests.support.strategies import CONNECTION

PLACES = {
    "192.0.2.0/24": {"country": "DE", "region": ("BW", "Baden-Wurttemberg")},
    "198.51.100.0/24": {"country": "FR"},
}
OWNERS = {"192.0.2.0/24": (64500, "Example AG"), "127.0.0.0/8": (64501, "Loop")}

GEO: Changes = {
    "edge": {"trusted-proxies": "127.0.0.0/8", "watch-interval": "20ms"},
    "geo": {"city": "city.mmdb", "asn": "asn.mmdb"},
}
RULES: Changes = {
    **GEO,
    "global-filter french": {"action": "block", "country": "FR"},
    "global-filter swabian": {"tags": "swabian", "region": "^Baden"},
    "global-filter examples": {"tags": "example", "expression": 'ip.src.asnum eq 64500 and ip.src.continent eq "EU"'},
    "global-filter not-swabian": {"tags": "not-swabian", "region": "!^Baden"},
    "global-filter not-german": {"tags": "not-german", "country": "!DE"},
}


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """The certificates, and the databases beside them."""
    write_databases(tmp_path, PLACES, OWNERS)
    return PKI.make(tmp_path)


def ask(node: Node, *clients: str) -> list[int]:
    """The status for a request of each of these clients, on one connection."""
    with node.client() as client:
        return [client.ask(get("/", "open.test", f"X-Forwarded-For: {address}")).status for address in clients]


def geo_tags(event: dict[str, list[str]]) -> set[str]:
    """The tags of an event that say where the client is."""
    return {tag for tag in event["tags"] if tag.startswith("geo-")}


# -- what rules see --------------------------------------------------------------------------------------------------


async def test_rules_go_by_where_the_client_is(pki: PKI, origin: Origin) -> None:
    """The one that a trusted proxy reports; whose country is not known is of every country but those that are named."""
    async with started(pki, origin, RULES) as node:
        assert await in_thread(ask, node, "192.0.2.7", "198.51.100.7", "203.0.113.7") == [200, 403, 200]
        german, french, unknown = await node.events.take(3)
    assert {"swabian", "example"} <= set(german["tags"])
    assert "not-german" in french["tags"]
    assert {"swabian", "example", "not-swabian"}.isdisjoint(unknown["tags"])
    assert "not-german" in unknown["tags"]
    assert geo_tags(german) == {
        "geo-continent-code:eu",
        "geo-country:germany",
        "geo-region:bw",
        "geo-subregion:nil",
        "geo-city:nil",
        "geo-asn:64500",
        "geo-org:example-ag",
    }
    assert {tag.partition(":")[2] for tag in geo_tags(unknown)} == {"nil"}


async def test_path_maps_go_by_where_the_client_is(pki: PKI, origin: Origin) -> None:
    """It is known before one is chosen."""
    changes: Changes = {
        **GEO,
        "security-policy all": {"path-maps": "german, all"},
        "path-map german": {"origin": "origin", "country": "Germany"},
    }
    async with started(pki, origin, changes) as node:
        await in_thread(ask, node, "192.0.2.7", "198.51.100.7")
        events = await node.events.take(2)
    assert [event["path_map"] for event in events] == ["german", "all"]


async def test_without_databases_nothing_is_said(pki: PKI, origin: Origin) -> None:
    """A client is nowhere then, and not even unknown."""
    async with started(pki, origin, {"edge": GEO["edge"]}) as node:
        assert await in_thread(ask, node, "192.0.2.7") == [200]
        (event,) = await node.events.take()
    assert geo_tags(event) == set()


def test_a_pipeline_by_itself_sees_the_same(pki: PKI) -> None:
    """Who embeds it hands over an address, and nothing of geography."""
    pipeline = Configuration.from_text(ini(1, RULES), pki.folder, {}).pipeline("all")
    for client, action in (("192.0.2.7", None), ("198.51.100.7", "block"), ("203.0.113.7", None), ("", None)):
        decision = pipeline.decide(Exchange(CONNECTION, client=client))
        assert isinstance(decision, Decision)
        assert (decision.action.name if decision.action else None) == action


def test_the_example_of_the_page_is_right(pki: PKI) -> None:
    """What docs/geo.rst shows can be used as it stands, but for its paths."""
    page = (pathlib.Path(__file__).parent.parent.parent / "docs" / "geo.rst").read_text()
    shown = textwrap.dedent(page.partition(".. code-block:: ini\n")[2].partition("\nThe client's address")[0])
    shown = shown.replace("/var/lib/GeoIP/GeoLite2-", "").replace("City", "city").replace("ASN", "asn")
    text = f"{ini(1, {'edge': {'events': '-'}})}\n{shown}"
    configuration = Configuration.from_text(text, pki.folder, {})
    assert configuration.global_filters.keys() >= {"embargo", "hosted-scripts", "elsewhere"}
    assert configuration.warnings == ()


# -- what can be wrong with the section ------------------------------------------------------------------------------


def problems(pki: PKI, changes: Changes) -> list[str]:
    """Every problem of a configuration, warnings too."""
    try:
        return [str(problem) for problem in Configuration.from_text(ini(1, changes), pki.folder, {}).warnings]
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]


def test_the_section_is_checked_with_the_rest(pki: PKI) -> None:
    """Files that are missing or no databases, and names that it does not have."""
    (pki.folder / "half.mmdb").write_bytes((pki.folder / "city.mmdb").read_bytes()[:-50])
    found = problems(pki, {"geo": {"city": "half.mmdb", "asn": "none.mmdb"}})
    assert any(line.startswith("[geo] asn: cannot read") for line in found)
    (line,) = problems(pki, {"geo": {"city": "half.mmdb"}})
    assert line.startswith(f"[geo] city: {pki.folder / 'half.mmdb'} is no database in MaxMind's format")
    assert problems(pki, {"geo here": {}}) == ["[geo here]: the section [geo] has no name"]
    (line,) = problems(pki, {"geo": {"country": "asn.mmdb"}})
    assert line.startswith("warning: [geo] country: ")
    assert problems(pki, {"geo": {}}) == []


@pytest.mark.parametrize(
    ("header", "keys"),
    [
        ("global-filter embargo", {"action": "block", "country": "KP"}),
        ("global-filter embargo", {"action": "block", "expression": 'ip.src.country eq "KP"'}),
        ("global-filter embargo", {"action": "block", "tag": "geo-country:north-korea"}),
        ("global-filter embargo", {"action": "block", "sections": "inner"}),
        ("path-map all", {"asn": "64500"}),
    ],
)
def test_a_rule_that_could_never_match_is_an_error(pki: PKI, header: str, keys: dict[str, str]) -> None:
    """Without a database nobody would be kept out by it; with one it is good, and so it is while it is inactive."""
    inner: Changes = {"section inner": {"relation": "or", "path": "^/a$", "organization": "^Example"}}
    named = {**(inner if "sections" in keys else {}), header: keys}
    (line,) = problems(pki, named)
    assert line == f"[{header}]: looks at where a client is, which nobody knows: no database is named in [geo]"
    assert problems(pki, {**named, "geo": {"city": "city.mmdb", "asn": "asn.mmdb"}}) == []
    if header.startswith("global-filter"):
        assert problems(pki, {**named, header: {**keys, "active": "no"}}) == []


# -- databases that change -------------------------------------------------------------------------------------------


async def test_a_new_database_is_taken_over(pki: PKI, origin: Origin, said: Said) -> None:
    """Without a reload, and on open connections too."""
    async with started(pki, origin, RULES) as node:
        with await in_thread(node.client) as client:
            french = get("/", "open.test", "X-Forwarded-For: 198.51.100.7")
            assert (await in_thread(client.ask, french)).status == 403
            assert (await in_thread(client.ask, french)).status == 403
            configuration = node.service.configuration
            write_databases(pki.folder, {"198.51.100.0/24": {"country": "DE"}}, OWNERS)
            await until(lambda: node.service.configuration is not configuration)
            assert (await in_thread(client.ask, french)).status == 200
        assert "read anew: [geo]" in said


async def test_half_a_database_leaves_the_old_one(pki: PKI, origin: Origin, said: Said) -> None:
    """It is reported, once; and when it is whole it is taken."""
    write_database(pki.folder / "new.mmdb", {"198.51.100.0/24": {"country": {"iso_code": "DE"}}}, "GeoLite2-City")
    new = (pki.folder / "new.mmdb").read_bytes()
    async with started(pki, origin, RULES) as node:
        configuration = node.service.configuration
        (pki.folder / "city.mmdb").write_bytes(new[: len(new) // 2])
        await until(lambda: [line for line in said if "is no database in MaxMind's format" in line])
        await looks()
        assert node.service.configuration is configuration
        assert await in_thread(ask, node, "198.51.100.7") == [403]
        assert said.count("the old files stay in use: [geo]") == 1
        shutil.move(pki.folder / "new.mmdb", pki.folder / "city.mmdb")
        await until(lambda: node.service.configuration is not configuration)
        assert await in_thread(ask, node, "198.51.100.7") == [200]


def test_what_has_not_changed_is_not_read_again(pki: PKI) -> None:
    """The databases stay when a certificate is renewed, and the certificates when a database is."""
    before = Configuration.from_text(ini(1, RULES), pki.folder, {})
    after, _ = before.refreshed(["certificate edge"])
    assert after.credentials.databases is before.credentials.databases
    again, _ = after.refreshed(["geo"])
    assert again.credentials.databases is not after.credentials.databases
    assert again.credentials.certificates == after.credentials.certificates
    assert evolve(again.credentials, databases=None) == evolve(after.credentials, databases=None)
