"""The recipes of the documentation and the system-managed feeds read what their sources publish.

The excerpts are in the real format of each feed; addresses and names in them are for documentation.
"""

from __future__ import annotations

import pathlib
import re
import textwrap

import pytest

from edgenode.config.load import Configuration
from edgenode.feeds.contents import Content, Fed, read_download
from edgenode.feeds.store import Stored
from edgenode.policy.globalfilters import GlobalFilter
from tests.support.node import PKI, ini

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs" / "datafeeds.rst"

TOR = "192.0.2.1\n192.0.2.2\n198.51.100.7\n"
DROP = (
    '{"cidr":"192.0.2.0/24","sblid":"SBL256894","rir":"apnic"}\n'
    '{"cidr":"198.51.100.0/24","sblid":"SBL434604","rir":"ripencc"}\n'
    '{"cidr":"198.51.100.0/24","sblid":"SBL434604","rir":"ripencc"}\n'
    '{"type":"metadata","timestamp":1790072042,"size":104461,"records":3,"copyright":"(c) The Spamhaus Project SLU"}\n'
)
DROP_V6 = (
    '{"cidr":"2001:db8::\\/32","sblid":"SBL301771","rir":"ripencc"}\n'
    '{"type":"metadata","timestamp":1790072042,"size":5752,"records":1}\n'
)
ASNDROP = (
    '{"asn":64496,"rir":"arin","domain":"example.com","cc":"US","asname":"EXAMPLE"}\n'
    '{"asn":64497,"rir":"ripencc","domain":"example.net","cc":"DE","asname":"EXAMPLE-2"}\n'
    '{"type":"metadata","timestamp":1790072042,"size":19000,"records":2}\n'
)
FIREHOL = (
    "#\n# firehol_level1\n#\n# ipv4 hash:net ipset\n#\n# Maintainer      : FireHOL\n# Entries : 3\n#\n"
    "0.0.0.0/8\n10.0.0.0/8\n192.0.2.77\n"
)
AWS = """{
  "syncToken": "1758700000",
  "createDate": "2026-09-24-10-00-00",
  "prefixes": [
    {"ip_prefix": "192.0.2.0/24", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"},
    {"ip_prefix": "198.51.100.0/24", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}
  ],
  "ipv6_prefixes": [
    {"ipv6_prefix": "2001:db8::/36", "region": "us-east-1", "service": "AMAZON", "network_border_group": "us-east-1"},
    {"ipv6_prefix": "2001:db9::/36", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}
  ]
}"""
GOOGLE = """{
  "syncToken": "1693209970630",
  "creationTime": "2026-08-28T01:06:10.63098",
  "prefixes": [{
    "ipv4Prefix": "192.0.2.0/24",
    "service": "Google Cloud",
    "scope": "europe-west6"
  }, {
    "ipv6Prefix": "2001:db8::/44",
    "service": "Google Cloud",
    "scope": "europe-west6"
  }, {
    "ipv4Prefix": "198.51.100.0/24",
    "service": "Google Cloud",
    "scope": "africa-south1"
  }]
}"""
AZURE = """{
  "changeNumber": 361,
  "cloud": "Public",
  "values": [
    {
      "name": "ActionGroup",
      "id": "ActionGroup",
      "properties": {
        "changeNumber": 50, "region": "", "regionId": 0, "platform": "Azure", "systemService": "ActionGroup",
        "addressPrefixes": ["203.0.113.0/24"], "networkFeatures": ["API", "NSG"]
      }
    },
    {
      "name": "AzureFrontDoor.Backend",
      "id": "AzureFrontDoor.Backend",
      "properties": {
        "changeNumber": 61, "region": "", "regionId": 0, "platform": "Azure", "systemService": "AzureFrontDoor",
        "addressPrefixes": ["192.0.2.0/24", "2001:db8::/48"], "networkFeatures": ["API", "NSG", "UDR", "FW"]
      }
    }
  ]
}"""
GITHUB = """{
  "verifiable_password_authentication": false,
  "ssh_key_fingerprints": {"SHA256_ED25519": "example"},
  "hooks": ["192.0.2.0/22", "2001:db8::/29"],
  "web": ["198.51.100.0/24"],
  "domains": {"website": ["*.github.com"]}
}""".replace("192.0.2.0/22", "192.0.2.0/24")
FASTLY = '{"addresses":["192.0.2.0/24","198.51.100.0/24"],"ipv6_addresses":["2001:db8::/32"]}'
MISP_LIST = """{
  "description": "Event contains one or more public IPv4 DNS resolvers as attribute with an IDS flag set",
  "list": ["192.0.2.53", "198.51.100.53"],
  "matching_attributes": ["ip-src", "ip-dst", "domain|ip"],
  "name": "List of known IPv4 public DNS resolvers",
  "type": "string",
  "version": 20260101
}"""
MISP_CSV = (
    "uuid,event_id,category,type,value,comment,to_ids,date\n"
    '"5f2d-1","17","Network activity","ip-src","192.0.2.1","",1,20260101\n'
    '"5f2d-2","17","Network activity","domain","bad.example","",1,20260101\n'
    '"5f2d-3","17","Network activity","ip-src","198.51.100.1","seen, twice",1,20260101\n'
)
MISP_EVENT = """{"Event": {"info": "x", "uuid": "5f2d", "Attribute": [
  {"type": "ip-src", "category": "Network activity", "to_ids": true, "value": "192.0.2.1"},
  {"type": "md5", "category": "Payload delivery", "to_ids": true, "value": "d41d8cd98f00b204e9800998ecf8427e"}],
  "Object": [{"name": "file", "Attribute": [{"type": "md5", "value": "d41d8cd98f00b204e9800998ecf8427e"}]},
             {"name": "ip-port", "Attribute": [{"type": "ip-src", "value": "198.51.100.1"}]}]}}"""
FEODO = (
    "################################################################\r\n"
    "# Feodo Tracker Botnet C2 IP Blocklist (CSV format)            #\r\n"
    "################################################################\r\n"
    "#\r\n"
    '"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"\r\n'
    '"2026-05-16 19:49:33","192.0.2.204","443","offline","2026-06-01","Emotet"\r\n'
    '"2026-05-17 19:49:33","198.51.100.204","443","online","2026-06-01","QakBot"\r\n'
    "# END 2 entries\r\n"
)
SSLBL = (
    "# abuse.ch SSLBL Botnet C2 IP Blacklist (CSV)\r\n#\r\n# Firstseen,DstIP,DstPort\r\n"
    "2026-07-01 10:00:00,192.0.2.222,443\r\n2026-07-02 11:00:00,198.51.100.60,447\r\n"
)
URLHAUS = (
    "################################################################\r\n"
    "# abuse.ch URLhaus Host file                                   #\r\n"
    "################################################################\r\n"
    "#\r\n127.0.0.1\t123.example.net\r\n127.0.0.1\t198-macros.example\r\n127.0.0.1\tnot_-a..name\r\n"
)
DSHIELD = (
    "#\n#   DShield.org Recommended Block List \n#\n#    Columns (tab delimited):\n#\n#    (1) start of netblock  \n"
    "Start\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n"
    "192.0.2.0\t192.0.2.255\t24\t4218\tEXAMPLE\tNL\tabuse@example.net\n"
    "198.51.100.0\t198.51.100.255\t24\t1876\t\t\t\n"
)
CRAWLERS = r"""[
  {
    "pattern": "Googlebot\\/",
    "url": "http://www.google.com/bot.html",
    "instances": ["Googlebot/2.1 (+http://www.google.com/bot.html)"]
  }
  ,
  {
    "pattern": "AdsBot-Google([^-]|$)",
    "instances": ["AdsBot-Google (+http://www.google.com/adsbot.html)"]
  }
  ,
  {
    "pattern": "(?=look)ahead",
    "instances": []
  }
  ,
  {
    "pattern": "[wW]get",
    "instances": ["Wget/1.14 (linux-gnu)"]
  }
]"""
GOOGLEBOT = """{
  "creationTime": "2026-01-05T23:00:38.000000",
  "prefixes": [
    {"ipv6Prefix": "2001:db8:1::/64"},
    {"ipv4Prefix": "192.0.2.0/27"}
  ]
}"""
BINGBOT = GOOGLEBOT.replace("192.0.2", "198.51.100")
ORACLE = """{"last_updated_timestamp": "2026-01-01T00:00:00.000000", "regions": [
  {"region": "eu-zurich-1", "cidrs": [{"cidr": "192.0.2.0/24", "tags": ["OCI"]}]},
  {"region": "us-ashburn-1", "cidrs": [{"cidr": "198.51.100.0/24", "tags": ["OCI", "OSN"]}]}]}"""
DIGITALOCEAN = "192.0.2.0/24,NL,NL-NH,Amsterdam,1105\n2001:db8::/32,US,US-NY,New York,10011\n"
CLOUDFLARE = "192.0.2.0/24\n198.51.100.0/24"
CLOUDFLARE_V6 = "2001:db8::/32"

EXCERPTS: dict[str, tuple[tuple[str, ...], int]] = {
    "global-filter tor-exits": ((TOR,), 3),
    "list spamhaus_drop": ((DROP, DROP_V6), 3),
    "list spamhaus_asndrop": ((ASNDROP,), 2),
    "list firehol_level1": ((FIREHOL,), 3),
    "list aws_cloudfront": ((AWS,), 2),
    "list google_cloud_zurich": ((GOOGLE,), 2),
    "list azure_front_door": ((AZURE,), 2),
    "list cloudflare": ((CLOUDFLARE, CLOUDFLARE_V6), 3),
    "list github_hooks": ((GITHUB,), 2),
    "list fastly": ((FASTLY,), 3),
    "list misp_resolvers": ((MISP_LIST,), 2),
    "list misp_ip_src": ((MISP_CSV,), 2),
    "list misp_event": ((MISP_EVENT,), 2),
    "list abuse_ch_feodo": ((FEODO,), 2),
    "list abuse_ch_sslbl": ((SSLBL,), 2),
    "list abuse_ch_urlhaus": ((URLHAUS,), 2),
    "list dshield": ((DSHIELD,), 2),
    "global-filter crawlers": ((CRAWLERS,), 3),
    "list search_engines": ((GOOGLEBOT, BINGBOT), 3),
    "global-filter system.tor-exits": ((TOR,), 3),
    "global-filter system.spamhaus-drop": ((DROP, DROP_V6), 3),
    "global-filter system.aws": ((AWS,), 4),
    "global-filter system.google-cloud": ((GOOGLE,), 3),
    "global-filter system.oracle-cloud": ((ORACLE,), 2),
    "global-filter system.digitalocean": ((DIGITALOCEAN,), 2),
    "global-filter system.cloudflare": ((CLOUDFLARE, CLOUDFLARE_V6), 3),
    "global-filter system.fastly": ((FASTLY,), 3),
    "global-filter system.crawlers": ((CRAWLERS,), 3),
    "global-filter system.search-engines": ((GOOGLEBOT, BINGBOT), 3),
}
"""By the header: what each source holds, and how many values that are."""


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fed]:
    """Every section with a source: of the recipes, in one configuration, and the system-managed ones."""
    pki = PKI.make(tmp_path_factory.mktemp("recipes"))
    (pki.folder / "state").mkdir(mode=0o700)
    (pki.folder / "ServiceTags_Public.json").write_text(AZURE)
    recipes = DOCS.read_text().split("\nRecipes\n-------\n")[1]
    (block,) = re.findall(r"\.\. code-block:: ini\n\n((?:    .*\n|\n)+)", recipes)
    text = ini(1, {"edge": {"state": "state"}}) + "\n" + textwrap.dedent(block)
    configuration = Configuration.from_text(text, pki.folder, {})
    return {header: section for header, section in configuration.fed() if section.sources}


def read(sections: dict[str, Fed], header: str) -> Content:
    """What a section makes of its excerpts."""
    section = sections[header]
    data, _ = EXCERPTS[header]
    parts = [Stored(str(source), each.encode()) for source, each in zip(section.sources, data, strict=True)]
    return read_download(header, section, parts, None)


def test_every_recipe_has_an_excerpt(sections: dict[str, Fed]) -> None:
    """And so has every feed that is shipped."""
    assert set(sections) == set(EXCERPTS)


@pytest.mark.parametrize("header", EXCERPTS)
def test_a_recipe_reads_what_its_source_publishes(sections: dict[str, Fed], header: str) -> None:
    """All values of the excerpt, and nothing else."""
    assert read(sections, header).size == EXCERPTS[header][1]


def test_recipes_read_the_right_values(sections: dict[str, Fed]) -> None:
    """Those of the service, the tag, the type and the columns that they name."""

    def networks(header: str) -> list[tuple[int, int]]:
        return [(each.first, each.last - each.first) for each in read(sections, header).members.networks.ranges()]

    v4, v6 = (0xC6336400, 255), (0x20010DB9 << 96, (1 << 92) - 1)
    assert networks("list aws_cloudfront") == [v4, v6]
    assert networks("list azure_front_door") == [(0xC0000200, 255), (0x20010DB8 << 96, (1 << 80) - 1)]
    assert networks("list dshield") == [(0xC0000200, 255), (0xC6336400, 255)]
    assert networks("list misp_ip_src") == networks("list misp_event") == [(0xC0000201, 0), (0xC6336401, 0)]
    nameless = [Stored("https://feeds.dshield.org/block.txt", DSHIELD.replace("Start\tEnd", "#").encode())]
    assert read_download("list dshield", sections["list dshield"], nameless, None).size == 2
    assert read(sections, "list spamhaus_asndrop").members.numbers == {64496, 64497}
    assert read(sections, "list abuse_ch_urlhaus").members.words == {b"123.example.net", b"198-macros.example"}
    assert set(read(sections, "global-filter system.crawlers").members.regexes) == {
        r"(?i:Googlebot\/)",
        "(?i:AdsBot-Google([^-]|$))",
        "(?i:[wW]get)",
    }


def test_feeds_are_shipped_switched_off(sections: dict[str, Fed]) -> None:
    """With source, format and refresh; none asks anybody before it is switched on."""
    shipped = [each for header, each in sections.items() if " system." in header]
    assert len(shipped) == 10
    for each in shipped:
        assert isinstance(each, GlobalFilter)
        assert (each.active, each.action, each.remote, each.refresh > 0) == (False, None, True, True)
    assert all(not isinstance(each, GlobalFilter) or each.tags for each in sections.values())
