"""How lists and datafeeds are written, and what they become."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.rules import lists
from edgenode.rules.feed_formats import LONGEST, Format
from edgenode.rules.filter_feeds import FeedCategory, members
from edgenode.rules.filter_feeds import formula as filter_formula
from edgenode.rules.formulas import Leaf
from edgenode.rules.json_paths import Step
from edgenode.rules.lists import Members
from tests.support.growth import grows_with_its_size


def read(format: str, data: str | bytes, *, words: bool = True) -> list[str]:
    """The values of a content."""
    return Format.from_text(format).read(data.encode() if isinstance(data, str) else data, words).texts


def refused(format: str, data: str | bytes) -> str:
    """Why a content is refused."""
    with pytest.raises(InvalidValue) as caught:
        read(format, data)
    return caught.value.sentence


# -- lines -----------------------------------------------------------------------------------------------------------


def test_lines() -> None:
    """One value a line; comments, empty lines and white space around a value count for nothing."""
    text = "\ufeff; Spamhaus\r\n192.0.2.0/24 ; SBL1\r\n\r\n  # none\n\t198.51.100.1\t# office \n203.0.113.9"
    values = Format().read(text.encode())
    assert values.texts == ["192.0.2.0/24", "198.51.100.1", "203.0.113.9"]
    assert list(values.places) == [2, 5, 6]
    assert values.annotations == {"192.0.2.0/24": "SBL1", "198.51.100.1": "office"}


def test_a_comment_needs_white_space_before_it() -> None:
    """Values may have # and ; in them, and those with spaces in them a ; behind one too."""
    assert read("lines", "a#b\nc;d") == ["a#b", "c;d"]
    assert read("lines", "Mozilla/5.0 (X ; Y)", words=False) == ["Mozilla/5.0 (X ; Y)"]
    assert read("lines", "two words # note", words=False) == ["two words"]


def test_lines_end_with_line_feeds_only() -> None:
    """What other readers take for the end of a line, Unicode's among them, is a part of it."""
    assert read("lines", "a\u2028b\x0bc\x85d\n", words=False) == ["a\u2028b\x0bc\x85d"]


@pytest.mark.parametrize("format", ["lines", "csv 1", "json [*]"])
def test_bytes_that_are_no_text_are_refused(format: str) -> None:
    """With the number of their line."""
    assert refused(format, b"a\nb\xff\n") == "line 2: not UTF-8"


@given(st.lists(st.from_regex(r"[!-~]{1,20}", fullmatch=True).filter(lambda text: text[0] not in "#;")))
def test_lines_read_what_was_written(values: list[str]) -> None:
    """Any words without white space in them."""
    assert read("lines", "\n".join(values)) == values


# -- CSV -------------------------------------------------------------------------------------------------------------


def test_a_column_by_number() -> None:
    """From 1; then there is no first row of names. Rows that begin with # are comments."""
    text = '# first,second\r\n1,"192.0.2.1"\r\n\r\n2, 192.0.2.2 ,"a, ""b"""\r\n'
    assert read("csv 2", text) == ["192.0.2.1", "192.0.2.2"]


def test_a_column_by_name() -> None:
    """As the first row has it; Cloudflare's own form of a list is one with two."""
    assert read("csv item", "item,description\n192.0.2.0/24,office\n198.51.100.1,\n") == [
        "192.0.2.0/24",
        "198.51.100.1",
    ]
    assert read("csv first seen", "# note\nip,first seen\na,b\n") == ["b"]


@pytest.mark.parametrize(
    ("format", "text", "sentence"),
    [
        ("csv 3", "a,b,c\na,b\n", "line 2: there is nothing in column 3"),
        ("csv 1", "a\n,b\n", "line 2: there is nothing in column 1"),
        ("csv ip", "a,b\n", 'line 1: the first row names no column "ip", or several'),
        ("csv a", "a,a\n", 'line 1: the first row names no column "a", or several'),
        ("csv 1", 'a\n"b"c\n', "line 2: not CSV: .*"),
        ("csv 1", 'a\n"b\nc', "line 2: not CSV: .*"),  # where the quote begins
        ("csv 1", "x" * 200_000, "line 1: not CSV: .*"),
        ("csv 1", "a\n" + "b," * LONGEST, "line 2: it has more than 262144 characters"),
        ("csv 1", '"b\n",' * LONGEST, "line [0-9]{5}: the row has more than 262144 characters"),
        ("lines", "a\n" + " " * LONGEST + "b", "line 2: it has more than 262144 characters"),
    ],
    ids=count(),
)
def test_no_csv(format: str, text: str, sentence: str) -> None:
    """What lacks its column, or its quotes, is refused with its line."""
    assert re.fullmatch(sentence, refused(format, text))


def test_a_line_feed_in_quotes_is_part_of_the_value() -> None:
    """So that no two lines become one value, which no list has."""
    assert read("csv 1", '"192.0.2.1\r\n92",a\nb,c') == ["192.0.2.1\r\n92", "b"]
    with pytest.raises(InvalidValue, match="no control characters"):
        lists.members("$a", "string", ["a\nb"])


cells = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).map(str.strip).filter(bool)


@given(st.lists(st.tuples(cells.filter(lambda text: text[0] != "#"), cells)))
def test_csv_reads_what_was_written(rows: list[tuple[str, str]]) -> None:
    """Any column, whatever is in it."""
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    for column in (1, 2):
        assert read(f"csv {column}", file.getvalue()) == [row[column - 1] for row in rows]


@pytest.mark.parametrize(
    ("format", "text", "values"),
    [
        ("separated tab 2", "# a\tb\n1\t192.0.2.1\tx y\n\n; c\n2\t192.0.2.2\n", ["192.0.2.1", "192.0.2.2"]),
        ("separated tab 1", " a\tb\nc\t\t\n", ["a", "c"]),
        ("separated space 2", "127.0.0.1   a.example\r\n0.0.0.0\tb.example\r\n", ["a.example", "b.example"]),
        ("separated | 3", "64496  |  EXAMPLE  |  192.0.2.1  |  x\n", ["192.0.2.1"]),
        ("separated tab Start/Netmask", "Start\tEnd\tNetmask\n192.0.2.0\t192.0.2.255\t24\n", ["192.0.2.0/24"]),
        ("separated ; 1-2", "192.0.2.0;192.0.2.9\n", ["192.0.2.0-192.0.2.9"]),
        ("csv a-b", "a-b,c\n1,2\n", ["1"]),
        ('csv value[type="ip-src"]', "type,value\nip-src,192.0.2.1\nmd5,x\n,\n", ["192.0.2.1"]),
        ('separated ; 1[3="on"]', "a;b;on\nc;d;off\ne\n", ["a"]),
        ("csv 2", '"a", "192.0.2.1", "x"\n', ["192.0.2.1"]),
    ],
)
def test_columns_and_rows_of_them(format: str, text: str, values: list[str]) -> None:
    """Between any separators; of two columns one value; and only the rows in which another column says so."""
    assert read(format, text) == values


# -- JSON ------------------------------------------------------------------------------------------------------------

AMAZON = json.dumps(
    {
        "syncToken": "1",
        "prefixes": [{"ip_prefix": "192.0.2.0/24", "region": "a"}, {"ip_prefix": "198.51.100.0/24"}],
        "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32"}],
    }
)
GOOGLE = json.dumps({"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv6Prefix": "2001:db8::/32"}]})


@pytest.mark.parametrize(
    ("path", "text", "values"),
    [
        ("prefixes[*].ip_prefix", AMAZON, ["192.0.2.0/24", "198.51.100.0/24"]),
        (
            "prefixes[*].ip_prefix, ipv6_prefixes[*].ipv6_prefix",
            AMAZON,
            ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"],
        ),
        ("prefixes[*].ipv4Prefix?,prefixes[*].ipv6Prefix?", GOOGLE, ["192.0.2.0/24", "2001:db8::/32"]),
        ("[*]", '[1, 64496, "AS1"]', ["1", "64496", "AS1"]),
        ('["a b"].c[1]', '{"a b": {"c": ["x", "y"]}}', ["y"]),
        ("[*][*]", '{"a": {"x": 1}, "b": {"y": 2, "z": 3}}', ["1", "2", "3"]),
        ("a[*]", '{"a": []}', []),
        ('prefixes[region="a"].ip_prefix', AMAZON, ["192.0.2.0/24"]),
        ('prefixes[region="b"]?.ip_prefix', AMAZON, []),
        (
            '["a b"][n="1"].v, ["a b"][n="true"].v',
            '{"a b": {"x": {"n": 1, "v": "y"}, "z": {"n": true, "v": 2}}}',
            ["y", "2"],
        ),
    ],
)
def test_json(path: str, text: str, values: list[str]) -> None:
    """A path leads to all values: of every element, of a key, of an index; several paths one after another."""
    assert read(f"json {path}", text) == values


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        ("a", "{", "line 1: not JSON: .*"),
        ("a", '{"a":\n"b",}', "line 2: not JSON: .*"),
        ("a", "[" * 100_000, "not JSON that can be read: .*"),
        ("a", f'{{"a": {"9" * 5000}}}', "not JSON that can be read: .*"),
        ("a", "{}", 'the path leads nowhere: there is no "a"'),
        ("a.b", '{"a": "b"}', 'the path leads nowhere: there is no "b"'),
        ("[*].a", '[{"a": 1}, {}]', 'the path leads nowhere: there is no "a"'),
        ("[2]", "[1, 2]", r"the path leads nowhere: there is no \[2\]"),
        ("a[*]", '{"a": "text"}', r"the path leads nowhere: there is no \[\*\]"),
        ('[a="b"]', '[{"a": "c"}, "b"]', 'the path leads nowhere: there is no element whose "a" is "b"'),
        ('[a="b"]', '"b"', 'the path leads nowhere: there is no element whose "a" is "b"'),
        ("[*]", "[1, true]", "value 2: expected a text or a whole number"),
        ("[*]", "[1.5]", "value 1: expected a text or a whole number"),
        ("[*]", "[null]", "value 1: expected a text or a whole number"),
        ("[*]", "[[1]]", "value 1: expected a text or a whole number"),
        ("[*]", '["a", " "]', "value 2: it is empty, too long, or no text"),
        ("[*]", '["\\ud800"]', "value 1: it is empty, too long, or no text"),
        ("[*]", '["a\\u0000b"]', "value 1: it is empty, too long, or no text"),
        ("[*]", '["a' + "b" * LONGEST + '"]', "value 1: it is empty, too long, or no text"),
    ],
    ids=count(),
)
def test_no_json(path: str, text: str, sentence: str) -> None:
    """What the path does not find is an error, unless it says that it may be missing."""
    assert re.fullmatch(sentence, refused(f"json {path}", text))


def test_json_lines() -> None:
    """A document each; what one lacks may be missing; the place is the line."""
    text = '{"cidr":"192.0.2.0/24"}\n\n{"cidr":"192.0.2.9"}\n{"type":"metadata"}\n'
    values = Format.from_text("json-lines cidr?").read(text.encode())
    assert (values.texts, list(values.places)) == (["192.0.2.0/24", "192.0.2.9"], [1, 3])
    assert refused("json-lines cidr", text) == 'line 4: the path leads nowhere: there is no "cidr"'
    assert refused("json-lines cidr?", text + "{").startswith("line 5: not JSON: ")


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("xml", 0), ("", 0), ("lines 2", 6), ("csv", 3), ("csv 0", 4), ("json", 4), ("json .a", 5), ("json a..b", 6),
        ("json a b", 6), ("json a,", 7), ("json a[b]", 6), ("json a[-1]", 6), ('json a["b', 6), ("json a.[*]", 6),
        ("json [*]a", 8), ("json a??", 7), ("json ,a", 5), ("json a[b=c]", 6),
        ("separated", 9), ("separated 2", 10), ("separated tab 0", 14), ("separated x 1", 10), ("csv 0-1", 4),
        ('csv 1[name="x"]', 4), ('csv a[2="x"]', 4), ("json-lines", 10), ("json-lines a b", 12),
    ],
)  # fmt: skip
def test_no_format(text: str, column: int) -> None:
    """A format that is none is refused where the trouble begins."""
    with pytest.raises(InvalidValue) as caught:
        Format.from_text(text)
    assert caught.value.column == column


def test_a_format_is_written_as_it_is_read() -> None:
    """The text of a format reads as the same."""
    for text in (
        "lines",
        "separated tab a/b",
        "separated || 2",
        'csv a[b="c d"]',
        'json-lines a[b="c"].d',
        "csv 2",
        "csv first seen",
        'json a["b c"][*].d?, e[0]',
    ):
        assert str(Format.from_text(text)) == text
    assert Format.from_text('json a["b"][*][3].c?').paths == (
        (Step("a"), Step("b"), Step(None), Step(3), Step("c", True)),
    )


# -- lists -----------------------------------------------------------------------------------------------------------


def test_lists_of_addresses() -> None:
    """Addresses and networks of both families."""
    members = lists.members("$a", "ip", ["192.0.2.0/24", "2001:db8::1", "::ffff:198.51.100.1"])
    assert (members.name, members.type) == ("$a", "ip")
    versions = [(each.version, each.first if each.version == 4 else 0) for each in members.networks.ranges()]
    assert versions == [(4, 0xC0000200), (4, 0xC6336401), (6, 0)]


def test_lists_of_ranges() -> None:
    """From the first address to the last, both in it; IPv4 within IPv6 is IPv4."""
    ranges = ["192.0.2.1-192.0.2.9", "2001:db8::1 - 2001:db8::3", "::ffff:198.51.100.1-::ffff:198.51.100.1"]
    networks = lists.members("$a", "ip", ranges).networks
    assert [tuple(each) for each in networks.ranges()] == [
        (4, 0xC0000201, 0xC0000209),
        (4, 0xC6336401, 0xC6336401),
        (6, (0x20010DB8 << 96) + 1, (0x20010DB8 << 96) + 3),
    ]


def test_lists_of_texts() -> None:
    """Each exactly as it is written, in UTF-8."""
    assert lists.members("$a", "string", ["a b", "ä", "A"]).words == {b"a b", "ä".encode(), b"A"}


def test_lists_of_host_names() -> None:
    """In lower case; those below a name stand aside."""
    members = lists.members("$a", "hostname", ["Example.com", "*.example.org", ".Example.net"])
    assert members.words == {b"example.com", b"example.net"}
    assert members.suffixes == {b".example.org", b".example.net"}


def test_lists_of_autonomous_systems() -> None:
    """With AS or without."""
    assert lists.members("$a", "asn", ["64496", "AS64497", "as4294967295"]).numbers == {64496, 64497, 4294967295}


@pytest.mark.parametrize(
    ("type", "value", "column"),
    [
        ("ip", "192.0.2.1/24", 10), ("ip", "192.0.2", 0), ("ip", "example.com", 0), ("ip", "10.0.0.9-10.0.0.1", 0),
        ("ip", "10.0.0.0/8-10.0.0.9", 0), ("ip", "10.0.0.1-::1", 0),
        ("ip", "::-::ffff:0:9", 0), ("ip", "10.0.0.1-", 0),
        ("hostname", "..a", 1), ("hostname", ".*.a", 1), ("hostname", ".", 1),
        ("hostname", "a..b", 2), ("hostname", "a*.b", 0), ("hostname", "ä.de", None), ("hostname", "*.", 2),
        ("asn", "ASN1", 0), ("asn", "4294967296", 0), ("asn", "-1", 0), ("string", "a\x00", 1), ("asn", "\u0661", 0),
    ],
)  # fmt: skip
def test_what_is_in_no_list(type: str, value: str, column: int | None) -> None:
    """A value of another kind is found among the others, with its column."""
    values = ["192.0.2.9"] if type == "ip" else ["1"]
    with pytest.raises(InvalidValue):
        lists.members("$a", type, [*values, value, *values])
    ((index, problem),) = lists.faults(lists.TYPES[type].check, [*values, value, *values])
    assert (index, problem.column) == (1, column)


@pytest.mark.parametrize("name", ["a", "_", "0", "a.b_c.9"])
def test_names_of_lists(name: str) -> None:
    """What expressions can call."""
    lists.check_name(name)


@pytest.mark.parametrize("name", ["", "A", "a-b", ".a", "a.", "a b", "ä"])
def test_no_names_of_lists(name: str) -> None:
    """What they cannot."""
    with pytest.raises(InvalidValue):
        lists.check_name(name)


def test_many_lines_take_time_in_proportion() -> None:
    """From bytes to members; the lookup has a test of its own."""

    def read(lines: int) -> Callable[[], None]:
        data = b"".join(b"%d.%d.%d.0/24\n" % (i >> 16, i >> 8 & 255, i & 255) for i in range(lines))

        def work() -> None:
            members = lists.members("$a", "ip", Format().read(data).texts)
            assert [each.first for each in members.networks.ranges()] == [0]  # they are neighbours

        return work

    assert grows_with_its_size(read, 20_000)


# -- feeds of filters ------------------------------------------------------------------------------------------------


def fed(category: str, *values: str, match_case: bool | None = True) -> Members:
    """The members of a feed of a category."""
    return members("f", FeedCategory.from_text(category), values, match_case)


def test_lines_of_a_filter_are_entries_of_its_category() -> None:
    """In the form that the category compares with."""
    assert fed("country", "DE", "France").words == {b"DE", b"FR"}
    assert fed("asn", "AS1", "2").numbers == {1, 2}
    assert fed("header.User-Agent", "^curl/", "^Wget").regexes == ("^curl/", "^Wget")
    assert fed("header.user-agent", "^curl/", match_case=None).regexes == ("(?i:^curl/)",)
    assert fed("path", "^/a", match_case=None).regexes == ("^/a",)
    assert fed("path", "^/a", match_case=False).regexes == ("(?i:^/a)",)
    assert [each.last for each in fed("ip", "10.0.0.0/8").networks.ranges()] == [0x0AFFFFFF]
    assert FeedCategory.from_text("ip").words
    assert not FeedCategory.from_text("header.user-agent").words


def test_lines_in_either_case() -> None:
    """What is equal by itself becomes an expression; and the formula looks for that."""
    found = fed("certificate.eku", "clientAuth", match_case=False)
    formula = filter_formula(FeedCategory.from_text("certificate.eku"), found, "https://a/?key=secret")
    assert isinstance(formula, Leaf)
    assert (formula.predicate.match, found.words, len(found.regexes)) == ("regex", frozenset(), 1)
    assert str(formula.evidence[0]) == "certificate.eku: https://a/"


def test_lines_look_where_their_filter_looks() -> None:
    """A feed of a category has the readings of its filter, and needs what they need."""
    category, found = FeedCategory.from_text("argument.a"), fed("argument.a", "^evil$")
    formula = filter_formula(category, found, "https://a/", ("json",))
    assert isinstance(formula, Leaf)
    assert "structures" in formula.predicate.subject.needs == category.needs(("json",))
    assert "structures" not in category.needs(())


@pytest.mark.parametrize(
    ("key", "value"), [("path", "("), ("ip", "x"), ("asn", "x"), ("country", "ZZ"), ("path", "!a")]
)
def test_a_line_that_is_no_entry(key: str, value: str) -> None:
    """Is refused, and so is a negation: nobody else may say what does not match."""
    with pytest.raises(InvalidValue):
        fed(key, value)
    with pytest.raises(InvalidValue):
        FeedCategory.from_text(key).check(value)


NASTY = "(?:[a-h]*%c%c[a-h]{50}){2}x"


def test_expressions_of_a_feed_cost_a_request_little() -> None:
    """What others write may not be large, alone or all together; texts may be many, for they cost nothing."""
    category = FeedCategory.from_text("header.user-agent")
    category.check("[a-h]{400}")
    with pytest.raises(InvalidValue, match=r"it has [0-9]{3,4} instructions, and 500 is the most"):
        category.check("(?:[a-h]{100}){10}")
    nasty = [NASTY % (first, second) for first in b"abcdefghijklmnop" for second in b"abcdefghijklmnop"]
    assert len(fed("header.user-agent", *nasty[:20]).regexes) == 20
    with pytest.raises(InvalidValue, match="more than 3000 instructions in all"):
        fed("header.user-agent", *nasty)
    words = [rf"^Robot/{number}\.0\b" for number in range(5000)]
    assert len(fed("header.user-agent", *words, match_case=False).regexes) == 5000


@pytest.mark.parametrize("key", ["tag", "path-matching-name", "header", "ip.x", "nothing", "certificate.verified"])
def test_categories_that_are_not_fed(key: str) -> None:
    """Those of the configuration itself, and those that are none."""
    with pytest.raises(InvalidValue):
        FeedCategory.from_text(key)
