"""A whole configuration: what its sections mean together, and every way in which they may not."""

from __future__ import annotations

import datetime
import gc
import pathlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.config.compiled_rules import Formulas
from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Address, Connection, Exchange, Request
from edgenode.policy.actions import Block
from edgenode.rules.section_formulas import SectionFormulas
from tests.support.certificates import SERVER, make_authority, new_key, now, write_pem
from tests.support.configurations import MINIMAL, changed

Load = Callable[[str], Configuration]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Certificates, good and bad, as files."""
    folder = tmp_path_factory.mktemp("pki")
    ca, other = make_authority("CA"), make_authority("Other CA")
    ca.issue("shop", eku=(SERVER,), sans=("DNS:shop.example", "DNS:*.wild.example", "IP:::1")).write(folder, "server")
    ca.issue("twin", eku=(SERVER,), sans=("DNS:shop.example",)).write(folder, "twin")
    ca.issue("rsa", eku=(SERVER,), sans=("DNS:shop.example",), key=new_key("rsa")).write(folder, "rsa")
    ca.issue("edge").write(folder, "client")
    day = datetime.timedelta(days=1)
    ca.issue("old", not_before=now() - 9 * day, not_after=now() - day).write(folder, "expired")
    ca.issue("young", not_before=now() + day, not_after=now() + 9 * day).write(folder, "future")
    ca.issue("open").write(folder, "open")[1].chmod(0o644)
    ca.issue("secret").write(folder, "secret", passphrase=b"s3cret")
    write_pem(folder / "ca.pem", [ca])
    write_pem(folder / "other.pem", [other])
    write_pem(folder / "ca.crl", [ca.crl()])
    write_pem(folder / "forged.crl", [ca.crl(key=other.key)])
    return folder


@pytest.fixture
def load(folder: pathlib.Path) -> Load:
    """Read a text in that folder; one variable is set."""
    return lambda text: Configuration.from_text(text, folder, {"PASSPHRASE": "s3cret"})


def printed(load: Load, text: str) -> tuple[list[str], bool]:
    """Every problem as it is printed, and whether the configuration can be used."""
    try:
        return [str(problem) for problem in load(text).warnings], True
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems], False


def test_formulas_are_not_kept_once_they_are_compiled(load: Load) -> None:
    """They are shared while a configuration is loaded, and take no memory afterwards."""
    configuration = load(MINIMAL)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Formulas | SectionFormulas)]
    assert configuration.rules.definitions.sections == {}


def test_a_configuration_holds_every_section_by_name(load: Load) -> None:
    """Sections are read into their classes and mapped by name; what is left out has its default."""
    configuration = load(MINIMAL)
    assert configuration.warnings == ()
    assert configuration.edge.name == "edgenode"
    assert configuration.listeners["public"].server_groups == ("shop",)
    assert configuration.origins["shop"].servers[0].port == 8080
    assert configuration.credentials.certificates["server"].key_type == "ECDSA"
    in_file = [header for header, _ in configuration.written() if not header.startswith("global-filter system.")]
    assert in_file == [
        "edge",
        "geo",
        "challenge",
        "masking",
        "state",
        "admin",
        "journal",
        "traces",
        "listener public",
        "server-group shop",
        "certificate server",
        "security-policy shop",
        "path-map all",
        "origin shop",
    ]


FILTER = "[global-filter f]\naction = block\n"
MTLS = "certificate = server\nmtls = on\ntrust-store = clients"
CLIENTS = "[trust-store clients]\nauthorities = ca.pem\n"

ERRORS: dict[str, tuple[dict[str, str], list[str]]] = {
    "unknown kind": (
        {"[origin shop]": "[orign shop]"},
        [
            "[path-map all] origin: there is no [origin shop]\n    shop\n    ^",
            '[orign shop]: unknown kind of section "orign"; did you mean "origin"?',
        ],
    ),
    "no name": ({"": "[action]\ntype = block"}, ["[action]: a name is missing: [action NAME]"]),
    "edge with a name": ({"": "[edge east]\nname = east"}, ["[edge east]: the section [edge] has no name"]),
    "no listener": (
        {"[listener public]": "", "endpoint = tcp:0": "", "server-groups = shop": ""},
        ["there is no [listener NAME], and so nothing to do"],
    ),
    "dangling reference": (
        {"path-maps = all": "path-maps = all, al"},
        ['[security-policy shop] path-maps: there is no [path-map al]; did you mean "all"?\n    all, al\n         ^'],
    ),
    "a list of nothing": (
        {"certificate = server": f"{MTLS}\nallow-dns =", "": CLIENTS},
        ["[server-group shop] allow-dns: a value is missing"],
    ),
    "a wildcard alone": (
        {"certificate = server": f"{MTLS}\nallow-dns = a.test, *", "": CLIENTS},
        ["[server-group shop] allow-dns: expected a DNS name, or *. and a DNS name\n    a.test, *\n            ^"],
    ),
    "a trust domain in two spellings": (
        {"certificate = server": f"{MTLS}\nallow-uri = spiffe://A.test/*", "": CLIENTS},
        [
            "[server-group shop] allow-uri: expected a trust domain: a-z, 0-9, dots, hyphens and underscores\n"
            "    spiffe://A.test/*\n             ^"
        ],
    ),
    "a subject that is none": (
        {"certificate = server": f"{MTLS}\nallow-subject =\n  CN=Alice,O=Acme\n  CN=Bob, O=Acme", "": CLIENTS},
        [
            "[server-group shop] allow-subject: expected TYPE=value as events write it, such as CN=Alice,O=Example\n"
            "    CN=Bob, O=Acme\n           ^"
        ],
    ),
    "a pin that is none": (
        {"certificate = server": f"{MTLS}\npin-certificate = {'ab' * 32}, {'ab' * 20}", "": CLIENTS},
        [
            "[server-group shop] pin-certificate: expected a SHA-256: 64 hexadecimal digits, with or without colons\n"
            f"    {'ab' * 32}, {'ab' * 20}\n    {' ' * 66}^"
        ],
    ),
    "a pin in two spellings": (
        {"certificate = server": f"{MTLS}\npin-spki = {'ab' * 32}, {':'.join(['AB'] * 32)}", "": CLIENTS},
        [
            "[server-group shop] pin-spki: this is written twice\n"
            f"    {'ab' * 32}, {':'.join(['AB'] * 32)}\n    {' ' * 66}^"
        ],
    ),
    "lists and nobody who is asked": (
        {"certificate = server": "certificate = server\nallow-dns = a.test\nminimum-rsa-bits = 4096"},
        [
            "[server-group shop] allow-dns: asks nobody while mtls is off: every client is let in",
            "[server-group shop] minimum-rsa-bits: asks nobody while mtls is off: every client is let in",
        ],
    ),
    "lists and others who are let in": (
        {"certificate = server": f"{MTLS}\nallow-ip = 192.0.2.0/24".replace("= on", "= optional-no-ca"), "": CLIENTS},
        [
            "[server-group shop] allow-ip: asks verified clients alone, while optional-no-ca lets in others too; "
            "use optional or on"
        ],
    ),
    "pins and no authority": (
        {"certificate = server": f"certificate = server\nmtls = on\npin-spki = {'ab' * 32}"},
        ["[server-group shop] trust-store: mtls = on needs a trust store"],
    ),
    "a tag that a trust store may not set": (
        {"certificate = server": MTLS, "": f"{CLIENTS}tags = partner mtls:verified"},
        [
            "[trust-store clients] tags: the tag mtls:verified is set by the node alone\n"
            "    partner mtls:verified\n            ^"
        ],
    ),
    "an origin that is judged strictly": (
        {
            "certificate = server": MTLS,
            "servers = http://127.0.0.1:8080": "servers = https://127.0.0.1:8443\ntrust-store = clients",
            "": f"{CLIENTS}verification = strict",
        },
        [
            '[origin shop] trust-store: "clients" says verification = strict, which is asked of clients and not of '
            "servers"
        ],
    ),
    "no time at all": (
        {"endpoint = tcp:0": "endpoint = tcp:0\nheader-timeout = 0"},
        ["[listener public] header-timeout: a timeout of 0 would leave no time at all"],
    ),
    "the value of a setting": (
        {"endpoint = tcp:0": "endpoint = tcp:0\nheader-timeout = 15"},
        ["[listener public] header-timeout: expected a duration such as 250ms, 5s, 10m, 24h or 7d\n    15\n    ^"],
    ),
    "an endpoint within another": (
        {"endpoint = tcp:0": "endpoint = tcp:443", "": "[listener b]\nendpoint = tcp6:443\nserver-groups = shop"},
        ["[listener b] endpoint: [listener public] listens on port 443 too, and one of them on all addresses"],
    ),
    "a key of another section": (
        {"endpoint = tcp:0": "endpoint = tcp:0\nwatch-interval = 1s"},
        ["[listener public] watch-interval: unknown key; it is a key of [edge]"],
    ),
    "same endpoint": (
        {"endpoint = tcp:0": "endpoint = tcp:443", "": "[listener b]\nendpoint = tcp:443\nserver-groups = shop"},
        ["[listener b] endpoint: [listener public] has the same endpoint"],
    ),
    "foreign default": (
        {
            "endpoint = tcp:0": "endpoint = tcp:0\ndefault-server-group = b",
            "": "[server-group b]\nhosts = b.wild.example\ncertificate = server\nsecurity-policy = shop\n"
            "[listener b]\nendpoint = tcp:0\nserver-groups = b",
        },
        ['[listener public] default-server-group: "b" is not among the server-groups of this listener'],
    ),
    "same host": (
        {
            "server-groups = shop": "server-groups = shop, b",
            "": "[server-group b]\nhosts = shop.example\ncertificate = server\nsecurity-policy = shop",
        },
        ['[listener public] server-groups: "b" and "shop" both serve the host shop.example'],
    ),
    "host in capitals": (
        {"hosts = shop.example": "hosts = shop.example, Shop.example"},
        [
            '[server-group shop] hosts: host names are written in lower case: "shop.example"\n'
            "    shop.example, Shop.example\n"
            "                  ^"
        ],
    ),
    "mtls without a trust store": (
        {"certificate = server": "certificate = server\nmtls = optional"},
        ["[server-group shop] trust-store: mtls = optional needs a trust store"],
    ),
    "name of the node": (
        {"": "[edge]\nname = münchen"},
        [
            "[edge] name: expected ASCII letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, section 5.6.2)\n"
            "    münchen\n"
            "    ^"
        ],
    ),
    "names of an origin": (
        {"servers = http://127.0.0.1:8080": "servers = https://a, https://.z\nserver-name = a/b\nhost = a:b"},
        [
            "[origin shop] servers: expected a host name or an IP address\n    .z\n    ^",
            "[origin shop] server-name: expected a host name or an IP address\n    a/b\n    ^",
            "[origin shop] host: expected client, server, or a host with or without a port\n    a:b\n    ^",
        ],
    ),
    "http and https mixed": (
        {"servers = http://127.0.0.1:8080": "servers = http://127.0.0.1, https://127.0.0.1"},
        ["[origin shop] servers: http and https servers cannot be mixed in one origin"],
    ),
    "HTTP and a stream mixed": (
        {
            "servers = http://127.0.0.1:8080": "servers = http://127.0.0.1",
            "": "[origin log]\nservers = tcp://a:601, https://b",
        },
        ["[origin log] servers: https and tcp servers cannot be mixed in one origin"],
    ),
    "syslog to a server of HTTP, and a webhook to a stream": (
        {
            "": "[journal]\nfolder = .\n[origin log]\nservers = tls://a:6514\n"
            "[exporter a]\ntype = webhook\norigin = log\nsecret = a\n[exporter b]\ntype = syslog\norigin = shop"
        },
        [
            "[exporter a] origin: [origin log] has tls://a:6514, and what is sent here goes to servers with https:// "
            "or http://\n    log\n    ^",
            "[exporter b] origin: [origin shop] has http://127.0.0.1:8080, and what is sent here goes to servers with "
            "tls:// or tcp://\n    shop\n    ^",
        ],
    ),
    "a path map that forwards to a stream": (
        {"servers = http://127.0.0.1:8080": "servers = tls://127.0.0.1:6514"},
        [
            "[path-map all] origin: [origin shop] has tls://127.0.0.1:6514, and what is sent here goes to servers with "
            "https:// or http://\n    shop\n    ^"
        ],
    ),
    "credentials for a stream without TLS": (
        {"": f"[origin log]\nservers = tcp://a:601\ntrust-store = clients\n{CLIENTS}"},
        ["[origin log] trust-store: has no meaning over tcp; the servers would have to be tls"],
    ),
    "credentials for http": (
        {
            "servers = http://127.0.0.1:8080": "servers = http://a\ncertificate = client\ntrust-store = clients",
            "": f"[certificate client]\nchain = client.pem\nkey = client.key\nauthorities = ca.pem\n{CLIENTS}",
        },
        [
            "[origin shop] certificate: has no meaning over http; the servers would have to be https",
            "[origin shop] trust-store: has no meaning over http; the servers would have to be https",
        ],
    ),
    "off with others": (
        {"servers = http://127.0.0.1:8080": "servers = http://127.0.0.1:8080\nnext-upstream = off timeout"},
        ['[origin shop] next-upstream: "off" stands alone'],
    ),
    "action of the wrong type": (
        {"": "[action a]\ntype = close\nstatus = 403\n[global-filter f]\naction = a\npath = x"},
        ["[action a] status: has no meaning for an action of type close\n    403\n    ^"],
    ),
    "tag of a filter": (
        {"": "[global-filter f]\ntags = Bot\npath = x"},
        ["[global-filter f] tags: a tag has only a-z, 0-9, colons and hyphens; this one would be bot\n    Bot\n    ^"],
    ),
    "a bound of nothing": (
        {"origin = shop": "origin = shop\ninspect-body-size = 0"},
        ["[path-map all] inspect-body-size: of 0 bytes no rule could see anything\n    0\n    ^"],
    ),
    "no body at all": (
        {"origin = shop": "origin = shop\nmax-body-size = 0"},
        [
            "[path-map all] max-body-size: 0 would refuse every body; where nginx has 0 for no limit, write one that "
            "nobody reaches: 1000g\n    0\n    ^"
        ],
    ),
    "a method that is no token": (
        {"origin = shop": "origin = shop\nmethods = GET G@T"},
        ["[path-map all] methods: no method: G@T\n    GET G@T\n    ^"],
    ),
    "a method in lower case": (
        {"origin = shop": "origin = shop\nmethods = get"},
        ["[path-map all] methods: methods are case-sensitive: GET\n    get\n    ^"],
    ),
    "a method for tunnels": (
        {"origin = shop": "origin = shop\nmethods = GET connect"},
        ["[path-map all] methods: CONNECT asks for a tunnel, and there is none\n    GET connect\n    ^"],
    ),
    "a category without a source": (
        {"": "[global-filter f]\ntags = a\nfeed = ip"},
        ["[global-filter f] feed: has no meaning without a source\n    ip\n    ^"],
    ),
    "tag of a policy": (
        {"path-maps = all": "path-maps = all\ntags = mtls:verified"},
        ["[security-policy shop] tags: the tag mtls:verified is set by the node alone\n    mtls:verified\n    ^"],
    ),
    "path map that looks for a tag": (
        {"origin = shop": "origin = shop\nsections = a", "": "[section a]\nsections = b\n[section b]\ntag = all"},
        [
            "[path-map all] sections: looks for a tag and never finds one: tags are put on only after a path map "
            "is chosen\n    a\n    ^"
        ],
    ),
    "sections in a circle": (
        {"": "[section a]\nsections = b\n[section b]\nsections = a\n[global-filter f]\ntags = t\nsections = b"},
        ["[section a] sections: sections stand inside one another in a circle: a → b → a"],
    ),
    "tags in a circle": (
        {"": "[global-filter a]\ntags = one\ntag = two\n[global-filter b]\ntags = two\ntag = one"},
        ["[global-filter a] tags: the tags go round in a circle: a → (one) → b → (two) → a\n    one\n    ^"],
    ),
    "key of another certificate": (
        {"key = server.key": "key = twin.key"},
        [
            "[certificate server] key: FOLDER/twin.key is not the key of the first certificate in "
            "FOLDER/server.pem, CN=shop"
        ],
    ),
    "missing file": (
        {"chain = server.pem": "chain = nowhere.pem"},
        [
            "[certificate server] chain: cannot read FOLDER/nowhere.pem: No such file or directory\n"
            "    nowhere.pem\n"
            "    ^"
        ],
    ),
    "no certificate in a file": (
        {"chain = server.pem": "chain = server.key"},
        ["[certificate server] chain: FOLDER/server.key holds no PEM certificate"],
    ),
    "wrong passphrase": (
        {"key = server.key": "key = server.key\npassphrase = ${PASSPHRASE}"},
        ["[certificate server] key: FOLDER/server.key cannot be used: it is not encrypted, but a passphrase is given"],
    ),
    "unset variable": (
        {"key = server.key": "key = server.key\npassphrase = pa55${NOWHERE}"},
        ["[certificate server] passphrase: the environment variable NOWHERE is not set"],
    ),
    "two keys of one type": (
        {
            "certificate = server": "certificate = server, twin",
            "": "[certificate twin]\nchain = twin.pem\nkey = twin.key",
        },
        ["[server-group shop] certificate: server and twin both hold ECDSA; only the last would be presented"],
    ),
    "ciphers that encrypt nothing": (
        {"certificate = server": "certificate = server\nciphers = eNULL:@SECLEVEL=0"},
        [
            "[server-group shop] ciphers: the cipher suite ECDHE-ECDSA-NULL-SHA authenticates or encrypts nothing",
        ],
    ),
    "ciphers": (
        {"certificate = server": "certificate = server\nciphers = nonsense"},
        ["[server-group shop] ciphers: OpenSSL knows no cipher suite in 'nonsense'"],
    ),
    "client certificate without clientAuth": (
        {
            "servers = http://127.0.0.1:8080": "servers = https://127.0.0.1\ncertificate = c",
            "": "[certificate c]\nchain = rsa.pem\nkey = rsa.key\nauthorities = ca.pem\n"
            "[origin b]\nservers = https://127.0.0.2\ncertificate = c",
        },
        ["[certificate c] chain: CN=rsa is presented to an origin but lacks the extended key usage clientAuth"],
    ),
    "client certificate of another issuer": (
        {
            "servers = http://127.0.0.1:8080": "servers = https://127.0.0.1\ncertificate = c",
            "": "[certificate c]\nchain = client.pem\nkey = client.key\nauthorities = other.pem",
        },
        ["[certificate c] authorities: FOLDER/other.pem lacks the issuer of FOLDER/client.pem: CN=CA"],
    ),
    "forged revocation list": (
        {"certificate = server": MTLS, "": f"{CLIENTS}crl = forged.crl"},
        [
            "[trust-store clients] crl: FOLDER/forged.crl: "
            "the revocation list of CN=CA is not signed with that authority's key"
        ],
    ),
}


@pytest.mark.parametrize(("changes", "problems"), ERRORS.values(), ids=ERRORS)
def test_every_error_is_printed_with_its_place(
    changes: dict[str, str], problems: list[str], load: Load, folder: pathlib.Path
) -> None:
    """A configuration that cannot work is refused, in exactly these words and no others."""
    found, usable = printed(load, changed(changes))
    assert not usable
    assert [text.replace(str(folder), "FOLDER") for text in found if not text.startswith("warning: ")] == problems


WARNINGS: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing refers to a section": (
        {
            "": "[origin b]\nservers = http://b\n[action a]\ntype = block\n[section s]\npath = x\n"
            "[path-map p]\norigin = shop\npath = x\n"
        },
        [
            f"[{header}]: nothing refers to this section"
            for header in ("origin b", "action a", "section s", "path-map p")
        ],
    ),
    "a server group without a listener": (
        {"": "[server-group b]\nhosts = b.wild.example\ncertificate = server\nsecurity-policy = shop"},
        ["[server-group b]: nothing refers to this section"],
    ),
    "a server group without a host": (
        {"hosts = shop.example": ""},
        [
            '[listener public] server-groups: "shop" is never served: '
            "it has no hosts, and it is not the default-server-group"
        ],
    ),
    "a server group with addresses that nobody connects to": (
        {
            "endpoint = tcp:0": "endpoint = tcp:0:interface=127.0.0.1",
            "server-groups = shop": "server-groups = shop, b, c, d",
            "": CLIENTS
            + "".join(
                f"[server-group {name}]\nhosts = {hosts}\ncertificate = server\nsecurity-policy = shop\n{more}\n"
                for name, hosts, more in (
                    ("b", "[::1]", "mtls = on\ntrust-store = clients"),
                    ("c", "192.0.2.2", ""),
                    ("d", "127.0.0.1", "mtls = optional\ntrust-store = clients"),
                )
            ),
        },
        [
            '[listener public] server-groups: "b" is never served: its hosts are addresses, and nobody connects to '
            "them at 127.0.0.1:0, and it is not the default-server-group",
            *(
                f'[server-group {name}] certificate: the certificate "server" does not name the host {host}; clients '
                "will refuse it"
                for name, host in (("c", "192.0.2.2"), ("d", "127.0.0.1"))
            ),
        ],
    ),
    "keys of HTTP for a stream": (
        {
            "": "[journal]\nfolder = .\n[origin log]\nservers = tls://a:6514\nprotocol = h2\nmax-idle = 3\n"
            "[exporter log]\ntype = syslog\norigin = log"
        },
        [f"[origin log] {key}: has no effect: no HTTP is spoken to tls://a:6514" for key in ("protocol", "max-idle")],
    ),
    "a trust store for nothing": (
        {"certificate = server": "certificate = server\ntrust-store = clients\nmtls-refusal = 403", "": CLIENTS},
        [
            f"[server-group shop] {key}: has no effect while mtls is off: no client certificate is asked for"
            for key in ("trust-store", "mtls-refusal")
        ],
    ),
    "a host that the certificate does not name": (
        {"hosts = shop.example": "hosts = shop.example, a.wild.example, [::1], *.wild.example, a.b.wild.example"},
        [
            '[server-group shop] certificate: the certificate "server" does not name the host a.b.wild.example; '
            "clients will refuse it"
        ],
    ),
    "a path map behind everything": (
        {"path-maps = all": "path-maps = all, late", "": "[path-map late]\norigin = shop\npath = ^/late"},
        ['[security-policy shop] path-maps: "late" can never be reached: "all" before it matches the same requests'],
    ),
    "a path map that matches nothing": (
        {"path-maps = all": "path-maps = never, all", "": "[path-map never]\norigin = shop\nrelation = or"},
        [
            '[security-policy shop] path-maps: "never" can never be reached: '
            "an or without entries and sections matches nothing"
        ],
    ),
    "an origin that is not verified": (
        {"servers = http://127.0.0.1:8080": "servers = https://127.0.0.1\nverify = no"},
        ["[origin shop] verify: neither certificate nor name of this origin is verified"],
    ),
    "a filter without effect": (
        {"": "[global-filter f]\npath = x"},
        ["[global-filter f]: has neither tags nor an action, and so no effect"],
    ),
    "readings without effect": (
        {
            "": f"{FILTER}path = x\nmethod = x\nreadings = json method-override any-case\n"
            f"[global-filter g]\naction = block\ncookie.a = x\nreadings = json any-case"
        },
        ["[global-filter g] readings: has no effect: none of its entries has the reading json"],
    ),
    "readings of a path map": (
        {"[path-map all]": "[path-map all]\nreadings = json"},
        [
            "[path-map all] readings: has no effect: none of its entries has the reading json; "
            "filters have readings of their own"
        ],
    ),
    "a filter for everything": (
        {"": FILTER},
        ["[global-filter f]: has neither entries nor sections, and so matches every request"],
    ),
    "a filter for nothing": (
        {"": f"{FILTER}relation = or"},
        ["[global-filter f]: has neither entries nor sections, and so matches nothing"],
    ),
    "a tag that nothing sets": (
        {"": f"{FILTER}tag =\n  bto\n  all\n  mtls:none"},
        ["[global-filter f] tag: nothing sets the tag bto\n    bto\n    ^"],
    ),
    "a tag that only an inactive filter sets": (
        {"": f"{FILTER}tag = bot\n[global-filter g]\nactive = no\ntags = bot\npath = x"},
        ["[global-filter f] tag: nothing sets the tag bot\n    bot\n    ^"],
    ),
    "a human where nobody is challenged": (
        {"": f"{FILTER}tag = human\n[global-filter g]\nactive = no\naction = challenge\npath = x"},
        ["[global-filter f] tag: nothing sets the tag human\n    human\n    ^"],
    ),
    "a difficulty where nobody is challenged": (
        {"": "[challenge]\ndifficulty = 20"},
        ["[challenge]: has no effect: nothing takes an action of type challenge"],
    ),
    "a policy on old lists without a list": (
        {"certificate = server": MTLS, "": f"{CLIENTS}crl-stale = accept"},
        ["[trust-store clients] crl-stale: has no effect without crl: there is no list to be out of date"],
    ),
    "a greatest age of lists without a list": (
        {"certificate = server": MTLS, "": f"{CLIENTS}crl-max-age = 7d"},
        ["[trust-store clients] crl-max-age: has no effect without crl: there is no list to be out of date"],
    ),
    "more for each client than for all": (
        {"endpoint = tcp:0": "endpoint = tcp:0\nmax-requests = 5\nmax-requests-per-client = 6\nmax-connections = 7"},
        ["[listener public] max-requests-per-client: has no effect: it is more than max-requests, 5"],
    ),
    "a private key that others can read": (
        {"key = server.key": "key = open.key", "chain = server.pem": "chain = open.pem", "hosts = shop.example": ""},
        [
            '[listener public] server-groups: "shop" is never served: '
            "it has no hosts, and it is not the default-server-group",
            "[certificate server] key: FOLDER/open.key is open to others than its owner and group; chmod 600 or 640 it",
        ],
    ),
}


@pytest.mark.parametrize(("changes", "problems"), WARNINGS.values(), ids=WARNINGS)
def test_every_warning_is_printed_with_its_place(
    changes: dict[str, str], problems: list[str], load: Load, folder: pathlib.Path
) -> None:
    """What is only of no use, or doubtful, is a warning in exactly these words."""
    found, _ = printed(load, changed(changes))
    warnings = [text.removeprefix("warning: ").replace(str(folder), "FOLDER") for text in found if "warning: " in text]
    assert warnings == problems


@pytest.mark.parametrize(
    ("file", "words"), [("expired", "CN=old expired on"), ("future", "CN=young is not valid before")]
)
def test_certificates_outside_their_validity_are_warnings(
    file: str, words: str, load: Load, folder: pathlib.Path
) -> None:
    """An expired certificate, or one that is not valid yet, is told with file, name and date."""
    found, usable = printed(
        load, changed({"chain = server.pem": f"chain = {file}.pem", "key = server.key": f"key = {file}.key"})
    )
    assert usable
    assert any(f"warning: [certificate server] chain: {folder}/{file}.pem: {words} " in problem for problem in found)


def test_rsa_and_ecdsa_stand_side_by_side(load: Load) -> None:
    """One certificate for each type of key is what a server group may have."""
    text = changed(
        {"certificate = server": "certificate = server, rsa", "": "[certificate rsa]\nchain = rsa.pem\nkey = rsa.key"}
    )
    assert printed(load, text) == ([], True)


def test_secrets_come_from_the_environment_and_are_never_printed(load: Load) -> None:
    """A passphrase may name a variable; what it holds is in no text of the configuration."""
    configuration = load(
        changed(
            {
                "chain = server.pem": "chain = secret.pem",
                "key = server.key": "key = secret.key\npassphrase = ${PASSPHRASE}",
            }
        )
    )
    assert configuration.certificates["server"].passphrase == "s3cret"
    assert "s3cret" not in repr(configuration)


PATH_MAPS = {
    "the same entries": ("path = ^/a\nmethod = GET", "method = GET\npath = ^/a # again", True),
    "fewer conditions first": ("path = ^/a", "path = ^/a\nmethod = GET", True),
    "more conditions first": ("path = ^/a\nmethod = GET", "path = ^/a", False),
    "fewer alternatives later": ("relation = or\npath =\n  ^/a\n  ^/b", "path = ^/b", True),
    "more alternatives later": ("path = ^/b", "relation = or\npath =\n  ^/a\n  ^/b", False),
    "one of the alternatives and more": ("relation = or\npath =\n  ^/a\n  ^/b", "path = ^/b\nmethod = GET", True),
    "all alternatives share a condition": ("method = GET", "relation = or\nmethod = GET\npath = ^/a", False),
    "every path": ("path = ^/", "path = ^/b", True),
    "every path but one method": ("path = ^/\nmethod = GET", "path = ^/b", False),
    "every path or one method": ("relation = or\npath = ^/\nmethod = GET", "path = ^/b", True),
    "every path and a section": ("path = ^/\nsections = s", "path = ^/b", False),
    "the same section": ("sections = s", "sections = s\npath = ^/b", True),
    "another negation": ("path = !^/a", "path = ^/a", False),
}


@pytest.mark.parametrize(("first", "second", "hidden"), PATH_MAPS.values(), ids=PATH_MAPS)
def test_path_maps_that_can_never_be_reached(first: str, second: str, hidden: bool, load: Load) -> None:
    """A path map is reported if one before it certainly matches all that it matches, and not otherwise."""
    found, usable = printed(
        load,
        changed(
            {
                "path-maps = all": "path-maps = first, second",
                "[path-map all]": f"[path-map second]\n{second}",
                "": f"[path-map first]\n{first}\norigin = shop\n[section s]\nip = 192.0.2.1",
            }
        ),
    )
    sentence = '"second" can never be reached: "first" before it matches the same requests'
    assert usable
    assert (f"warning: [security-policy shop] path-maps: {sentence}" in found) == hidden


def test_all_problems_of_a_file_are_reported_at_once_in_its_order(load: Load) -> None:
    """Ten errors in ten places of a file are ten problems, in the order of the file."""
    text = changed(
        {
            "endpoint = tcp:0": "endpoint = udp:0\nheader-timeout = soon",
            "hosts = shop.example": "hosts = a..b",
            "key = server.key": "key = twin.key\ncolour = red",
            "path-maps = all": "path-maps = all, gone\npath-maps = all",
            "origin = shop": "path = (",
            "servers = http://127.0.0.1:8080": "servers = http://127.0.0.1, https://127.0.0.1",
            "": "garbage\n[orign x]",
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    assert [f"{problem.section}/{problem.key}" for problem in caught.value.problems] == [
        "/",
        "listener public/endpoint",
        "listener public/header-timeout",
        "server-group shop/hosts",
        "certificate server/colour",
        "security-policy shop/path-maps",
        "security-policy shop/path-maps",
        "path-map all/path",
        "path-map all/origin",
        "origin shop/servers",
        "orign x/",
    ]


def test_files_are_judged_with_everything_else(load: Load) -> None:
    """A certificate's fault does not wait until the faults of the notation are mended."""
    found, _ = printed(
        load, changed({"key = server.key": "key = twin.key", "origin = shop": "origin = shop\ncolour = red"})
    )
    assert len(found) == 2


def test_a_file_that_cannot_be_read_is_one_problem(folder: pathlib.Path) -> None:
    """A missing file, or a folder, is named with the reason."""
    for name, reason in (("gone.ini", "No such file or directory"), (".", "Is a directory")):
        with pytest.raises(ConfigurationError, match=f"cannot read .*: {reason}"):
            Configuration.load(folder / name)


def test_a_file_is_read_relative_to_itself(folder: pathlib.Path) -> None:
    """Relative paths start at the folder of the file, wherever the process was started."""
    (folder / "edge.ini").write_text(MINIMAL)
    assert Configuration.load(folder / "edge.ini").certificates["server"].chain == folder / "server.pem"
    (folder / "latin.ini").write_bytes(MINIMAL.encode() + b"# M\xfcnchen\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        Configuration.load(folder / "latin.ini")


def exchange(path: bytes) -> Exchange:
    """A request for a path."""
    address = Address("192.0.2.1", 1)
    return Exchange(
        Connection(address, address),
        Request(b"GET", b"https", b"shop.example", path, path, None, path),
        "192.0.2.1",
        security_policy="shop",
        path_map="all",
    )


def test_the_pipeline_of_a_path_map_tags_and_filters(load: Load) -> None:
    """A pipeline puts on the automatic tags and those of the policy, and applies the filters and their actions."""
    configuration = load(
        changed(
            {
                "path-maps = all": "path-maps = all\ntags = customer",
                "": "[action teapot]\ntype = block\nstatus = 418\n"
                "[global-filter f]\naction = teapot\npath = ^/tea\ntag = customer",
            }
        )
    )
    pipeline = configuration.pipeline("all")
    served, refused = pipeline.decide(exchange(b"/coffee")), pipeline.decide(exchange(b"/tea"))
    assert isinstance(served, Decision)
    assert isinstance(refused, Decision)
    assert served.action is None
    assert {"all", "customer", "securitypolicy:shop", "securitypolicy-entry:all"} <= served.tags
    assert isinstance(refused.action, Block)
    assert refused.action.status == 418
    assert [stage for stage, _ in refused.timings] == ["tagging", "global-filters"]


def test_predefined_actions_need_no_section_and_can_be_replaced(load: Load) -> None:
    """``block`` exists without being written, and a section of that name replaces it."""
    text = changed({"": "[global-filter f]\naction = block\npath = x"})
    assert load(text).rules.actions["block"].name == "block"
    replaced = load(f"{text}\n[action block]\ntype = block\nstatus = 410").rules.actions["block"]
    assert isinstance(replaced, Block)
    assert replaced.status == 410


def test_there_is_no_pipeline_for_an_unknown_path_map(load: Load) -> None:
    """A name that is no path map raises KeyError."""
    with pytest.raises(KeyError):
        load(MINIMAL).pipeline("gone")


PIECES = st.sampled_from(
    """[edge]
[section a]
sections = a, b
  indented
path = ^/(
header.x = y # z
tag = !x
[action a]
type = redirect
location = //x
[global-filter g]
tags = A
mtls = on
# x
\x00
verify = no""".splitlines()
    + MINIMAL.splitlines()
)


@given(st.lists(PIECES, max_size=30).map("\n".join) | st.text())
def test_any_text_is_a_configuration_or_a_configuration_error(text: str) -> None:
    """Whatever the text: it can be used, or there is a ConfigurationError with at least one error."""
    try:
        problems = list(Configuration.from_text(text, "/nowhere", {}).warnings)
        usable = True
    except ConfigurationError as error:
        problems, usable = list(error.problems), False
    assert usable == all(problem.warning for problem in problems)


def test_rules_that_stay_are_not_compiled_again(folder: pathlib.Path) -> None:
    """A configuration that succeeds another takes from it what is written the same: all rules, or each that stays."""
    file = folder / "edge.ini"
    written = MINIMAL + "\n[global-filter one]\npath = ^/one/\n[global-filter two]\nmethod = ^PUT$\n"
    file.write_text(written)
    first = Configuration.load(file)
    again = Configuration.load(file, first)
    assert again.rules is first.rules
    file.write_text(written.replace("^/one/", "^/three/"))
    changed = Configuration.load(file, first)
    assert changed.rules is not first.rules
    assert changed.global_filters["two"] is first.global_filters["two"]
    assert changed.global_filters["one"].entries[0].value == "^/three/"
    assert Configuration.load(file).global_filters == changed.global_filters


def test_filters_in_another_order_are_other_rules(folder: pathlib.Path) -> None:
    """Of equal actions that of the earlier filter wins, so their order counts."""
    file = folder / "edge.ini"
    one, two = "\n[global-filter one]\npath = ^/\n", "\n[global-filter two]\npath = ^/\n"
    written = MINIMAL
    file.write_text(written + one + two)
    first = Configuration.load(file)
    file.write_text(written + two + one)
    assert Configuration.load(file, first).rules is not first.rules


def test_entries_in_another_order_are_told_in_that_order(folder: pathlib.Path) -> None:
    """Of several entries that match the first is told as the reason, after a reload as after a start."""
    file = folder / "edge.ini"
    uri, path = "uri = ^/\n", "path = ^/\n"
    file.write_text(f"{MINIMAL}\n[global-filter one]\naction = block\n{uri}{path}")
    first = Configuration.load(file)
    file.write_text(f"{MINIMAL}\n[global-filter one]\naction = block\n{path}{uri}")
    told = [
        each.pipeline("all").decide(exchange(b"/"))
        for each in (Configuration.load(file, first), Configuration.load(file))
    ]
    assert told[0] == told[1]


def test_a_name_that_is_gone_is_missed_in_a_filter_that_stays(folder: pathlib.Path) -> None:
    """What is written the same may be wrong all the same, for what it names is no more."""
    file = folder / "edge.ini"
    written = MINIMAL + "\n[global-filter one]\nsections = named\n"
    file.write_text(written + "\n[section named]\npath = ^/\n")
    first = Configuration.load(file)
    file.write_text(written)
    with pytest.raises(ConfigurationError, match="named"):
        Configuration.load(file, first)
