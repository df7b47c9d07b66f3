"""How entries are written: what is wrong is said with its column, and what is right reads back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.config import ini
from edgenode.model.errors import InvalidValue
from edgenode.rules.categories import CATEGORIES, WORDS, entry, format, parse, sought_of, value_of, written_name
from edgenode.rules.countries import COUNTRIES, country_code
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.formatting import format as format_expression
from edgenode.rules.language.nodes import Each, Index
from edgenode.rules.networks import Range
from edgenode.rules.sections import Entry
from tests.support.strategies import entries

UNWRITABLE = "a name behind {}. has no = and no white space at its ends: write them %3D and %20"
AUTONOMOUS_SYSTEM = "expected the number of an autonomous system, such as 64496 or AS64496"
NO_COUNTRY, WRITE_COUNTRY = "there is no country", ": write its ISO 3166-1 code, DE, or its name"
SEED = {
    "argument", "asn", "authority", "cookie", "country", "header", "ip", "method", "organization", "path",
    "path-matching-name", "query", "region", "security-policy-name", "subregion", "tag", "uri",
}  # fmt: skip
"""The categories that the seed names."""


@pytest.mark.parametrize(
    ("key", "value", "sentence", "column"),
    [
        ("pth", "x", "there is no category pth; did you mean path?", None),
        ("zzz", "x", f"there is no category zzz; there are {', '.join(WORDS)}", None),
        ("zzz.x", "x", f"there is no category zzz; there are {', '.join(WORDS)}", None),
        ("path.x", "x", "path takes no name: write path", None),
        ("path.", "x", "path takes no name: write path", None),
        ("header", "x", "header needs a name: header.NAME", None),
        ("header.", "x", "header needs a name: header.NAME", None),
        ("header.user agent", "x", "user agent is no name of a header (RFC 9110, section 5.6.2)", None),
        ("argument", "x", "argument needs a name: argument.NAME", None),
        ("argument.a=b", "x", UNWRITABLE.format("argument"), None),
        ("cookie. a", "x", UNWRITABLE.format("cookie"), None),
        ("cookie.a\nb", "x", UNWRITABLE.format("cookie"), None),
        ("certificate.sbject", "x", "there is no category certificate.sbject; did you mean certificate.subject?", None),
        ("path", "", "a value is missing", 0),
        ("path", "!", "a value is missing", 0),
        ("path", "!!x", r"a value is negated once; for a text that begins with ! write \!", 1),
        ("path", "a\nb", "a value is a single line", 1),
        ("path", "a #b", r"a # here would begin an annotation: write \#", 2),
        ("path", "#b", r"a # here would begin an annotation: write \#", 0),
        ("ip", "10.0.0.1/8", "host bits are set: the network is 10.0.0.0/8", 9),
        ("ip", "!10.0.0.1/8", "host bits are set: the network is 10.0.0.0/8", 10),
        ("ip", "10.0.0.0/33", "the length of the prefix is a number from 0 to 32", 9),
        ("ip", "10.0.0.0/255.0.0.0", "the length of the prefix is a number from 0 to 32", 9),
        ("ip", "10.0.0.0/", "the length of the prefix is a number from 0 to 32", 9),
        ("ip", "2001:db8::/129", "the length of the prefix is a number from 0 to 128", 11),
        ("ip", "10.0.0", "expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0),
        ("ip", "010.0.0.1", "expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0),
        ("ip", "fe80::1%eth0", "an address in a rule has no zone", 7),
        ("tag", "Team DevOps", "a tag has only a-z, 0-9, colons and hyphens; this one would be team-devops", 0),
        ("tag", "ip:1.2.3.4", "a tag has only a-z, 0-9, colons and hyphens; this one would be ip:1-2-3-4", 4),
        ("asn", "AS4294967296", AUTONOMOUS_SYSTEM, 0),
        ("asn", "!ASX", AUTONOMOUS_SYSTEM, 1),
        ("country", "ZZ", "there is no country ZZ: write its ISO 3166-1 code, DE, or its name", 0),
        ("country", "! Germny", f"{NO_COUNTRY} Germny{WRITE_COUNTRY}; did you mean Germany?", 2),
        ("path-matching-name", "a b", "expected the name of a section: ASCII letters, digits, '.', '_' and '-'", 0),
        ("certificate.serial", "0x", "expected a serial number in hexadecimal, with colons or without", 0),
        ("certificate.serial", "xyz", "expected a serial number in hexadecimal, with colons or without", 0),
        ("certificate.fingerprint", "ab:cd", "expected 64 digits in hexadecimal, with colons or without", 0),
        ("certificate.fingerprint-sha1", "g" * 40, "expected 40 digits in hexadecimal, with colons or without", 0),
        ("certificate.ski", "abc", "expected whole bytes in hexadecimal, with colons or without", 0),
        ("certificate.verified", "no", "expected yes, or !yes where it shall not be", 0),
        ("certificate.key-bits", "9..1", "a range goes from the lower number to the higher", 0),
        ("certificate.key-bits", "..", "expected a whole number, or a range such as 1..9, 3072.. or ..30", 0),
        ("certificate.key-bits", "", "a value is missing", 0),
        ("certificate.key-type", "EC", "expected RSA, ECDSA, Ed25519, Ed448, DSA, or a dotted number", 0),
        (
            "certificate.eku",
            "clientauht",
            "expected a dotted number or a well-known name, such as clientAuth; did you mean clientAuth?",
            0,
        ),
        ("certificate.san-ip", "10.0.0.1/8", "host bits are set: the network is 10.0.0.0/8", 9),
        ("path", "(", "not a regular expression of RE2: missing ): (", 0),
        ("path", "(a)(b", "not a regular expression of RE2: missing ): (a)(b", 3),
        ("path", "  (a)(b", "not a regular expression of RE2: missing ): (a)(b", 5),
        ("path", "! (a)(b", "not a regular expression of RE2: missing ): (a)(b", 5),
        ("path", "ab[z-a]", "not a regular expression of RE2: invalid character class range: z-a", 3),
        ("path", "a**", "not a regular expression of RE2: bad repetition operator: **", 1),
        ("path", r"a(?=b)", "not a regular expression of RE2: invalid perl operator: (?=", 1),
        ("path", r"(a)\1", r"not a regular expression of RE2: invalid escape sequence: \1", 3),
        ("path", "a\\", "not a regular expression of RE2: trailing \\", 1),
        ("path", "a{1001}", "not a regular expression of RE2: invalid repetition size: {1001}", 1),
        ("path", "/café", r"text is matched byte by byte: write (?:\xC3\xA9) for é", 4),
        ("path", r"a\pL", "text is matched byte by byte: there are no Unicode classes", 1),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_column(
    key: str, value: str, sentence: str, column: int | None
) -> None:
    """Every mistake has its sentence, and a column that points at it in the value as given."""
    with pytest.raises(InvalidValue) as refused:
        entry(key, value)
    assert (refused.value.sentence, refused.value.column) == (sentence, column)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("header.User-Agent", " ^curl/ ", Entry("header", "user-agent", "^curl/")),
        ("path", r"\\pL", Entry("path", "", r"\\pL")),
        ("path", r"\!x", Entry("path", "", r"\!x")),
        ("path", r"a \#b", Entry("path", "", r"a \#b")),
        ("path", "a#b", Entry("path", "", "a#b")),
        ("ip", "10.0.0.1", Entry("ip", "", "10.0.0.1")),
        ("ip", "! 2001:db8::/32", Entry("ip", "", "! 2001:db8::/32")),
        ("tag", "protocol:https", Entry("tag", "", "protocol:https")),
    ],
)
def test_an_entry_keeps_its_value_as_written(key: str, value: str, expected: Entry) -> None:
    """A name is put into lower case, white space around a value goes, and nothing else changes."""
    assert entry(key, value) == expected


@pytest.mark.parametrize(
    ("value", "negated", "pattern"), [("x", False, "x"), ("!x", True, "x"), ("! x", True, "x"), (r"\!x", False, r"\!x")]
)
def test_an_exclamation_mark_in_front_negates(value: str, negated: bool, pattern: str) -> None:
    """What is looked for is the value without its negation."""
    found = entry("path", value)
    assert (found.negated, found.pattern) == (negated, pattern)


@given(entries())
def test_an_entry_reads_back_as_it_is_written(written: Entry) -> None:
    """``parse(*format(entry)) == entry``."""
    assert parse(*format(written)) == written


@given(st.sampled_from(("path", "ip", "tag", "header.x", *CATEGORIES)), st.text(), st.text())
def test_whatever_is_accepted_reads_back_as_it_was(key: str, value: str, annotation: str) -> None:
    """Of any text at all, an entry either comes to be that reads back, or its mistake is named with a column in it."""
    column: int | None = None
    try:
        found = entry(key, value, annotation)
    except InvalidValue as refused:
        column = refused.column
    else:
        assert parse(*format(found)) == found
    assert column is None or 0 <= column <= len(value)


def test_an_annotation_begins_at_the_first_hash_behind_white_space() -> None:
    """The value may have a ``#`` of its own, and the annotation too."""
    assert parse("path", "^/a#b  # the # label ") == Entry("path", "", "^/a#b", "the # label")


def test_the_tables_name_what_exists() -> None:
    """Every category reads a field that exists, whose values it can compare; the seed's eighteen are among them."""
    types = {"regex": "Bytes", "equal": "Bytes", "network": "Ip", "range": "Int", "true": "Bool"}
    for name, category in CATEGORIES.items():
        type = FIELDS[category.field].type
        while type.of is not None:
            type = type.of
        assert name == category.name
        assert types[category.match] == type.name, name
        assert category.named == (FIELDS[category.field].type.name == "Map")
        assert category.help
    assert set(WORDS) >= SEED
    assert len(SEED) == 17, "the eighteenth row of the seed is the head of its table"


@pytest.mark.parametrize(
    ("key", "value", "looks_at", "sought"),
    [
        ("argument.Debug", "^1$", 'edge.arguments["Debug"][*]', r"^1(?:$|\n\z)"),
        ("argument.a[b]", "x", 'edge.arguments["a[b]"][*]', "x"),
        ("argument.a%3Db%25", "x", 'edge.arguments["a=b%"][*]', "x"),
        ("argument.user name", "x", 'edge.arguments["user name"][*]', "x"),
        ("argument.50%", "x", 'edge.arguments["50%"][*]', "x"),
        ("cookie.Session.id", "x", 'edge.cookies["Session.id"][*]', "x"),
        ("header.User-Agent", "x", 'http.request.headers["user-agent"][*]', "x"),
        ("ip", "10.0.0.0/8", "ip.src", Range(4, 10 << 24, (11 << 24) - 1)),
        ("ip", "!::ffff:10.0.0.1", "ip.src", Range(4, (10 << 24) + 1, (10 << 24) + 1)),
        ("asn", "as64500", "ip.src.asnum", (64500, 64500)),
        ("asn", "0", "ip.src.asnum", (0, 0)),
        ("country", "de", "ip.src.country", b"DE"),
        ("country", "united  STATES", "ip.src.country", b"US"),
        ("country", "Türkiye", "ip.src.country", b"TR"),
        ("country", "XX", "ip.src.country", b"XX"),
        ("region", "^B", "edge.region[*]", "^B"),
        ("subregion", "^K", "edge.subregion[*]", "^K"),
        ("organization", "LLC$", "edge.organization[*]", "LLC$"),
        ("query", "a=", "edge.query[*]", "a="),
        ("uri", r"^/\?a", "edge.uri[*]", r"^/\?a"),
        ("path-matching-name", "login", "edge.path_map", b"login"),
        ("security-policy-name", "all", "edge.security_policy", b"all"),
        ("tag", "bot", "edge.tags[*]", "bot"),
        ("certificate.subject", "^CN=", "cf.tls_client_auth.cert_subject_dn", "^CN="),
        ("certificate.serial", "0x00:00:1a:b", "cf.tls_client_auth.cert_serial", b"01AB"),
        ("certificate.serial", "00", "cf.tls_client_auth.cert_serial", b"00"),
        (
            "certificate.fingerprint",
            "AB:" * 31 + "CD",
            "cf.tls_client_auth.cert_fingerprint_sha256",
            b"ab" * 31 + b"cd",
        ),
        ("certificate.ski", "ab:cd", "cf.tls_client_auth.cert_ski", b"ABCD"),
        ("certificate.eku", "CLIENTAUTH", "edge.tls_client_auth.eku[*]", b"clientAuth"),
        ("certificate.eku", "1.2.3", "edge.tls_client_auth.eku[*]", b"1.2.3"),
        ("certificate.key-type", "ed25519", "edge.tls_client_auth.key_type", b"Ed25519"),
        ("certificate.key-bits", "..2047", "edge.tls_client_auth.key_bits", (-(1 << 63), 2047)),
        ("certificate.days-to-expiry", "-3..30", "edge.tls_client_auth.days_to_expiry", (-3, 30)),
        ("certificate.crl-age", "86400..", "edge.tls_client_auth.crl_age", (86400, (1 << 63) - 1)),
        ("certificate.last-error", "10", "edge.tls_client_auth.last_error", (10, 10)),
        ("certificate.san-ip", "10.0.0.0/8", "edge.tls_client_auth.san_ip[*]", Range(4, 10 << 24, (11 << 24) - 1)),
        ("certificate.verified", "!yes", "cf.tls_client_auth.cert_verified", None),
    ],
)
def test_an_entry_looks_at_what_an_expression_would(key: str, value: str, looks_at: str, sought: object) -> None:
    """Both notations have one subject, and a value is brought into the form in which the field has it."""
    found = entry(key, value)
    assert format_expression(value_of(found)) == looks_at
    assert sought_of(found) == sought
    assert parse(*format(found)) == found


@given(st.binary(min_size=1, max_size=8), st.sampled_from(("argument", "cookie")))
def test_any_name_can_be_written(name: bytes, word: str) -> None:
    """What a key of a file cannot hold is percent-encoded, and looked for as it was; also through a file."""
    key = f"{word}.{written_name(name)}"
    found = entry(key, "x")
    value = value_of(found)
    assert isinstance(value, Each)
    assert isinstance(value.value, Index)
    assert value.value.key == name
    sections, problems = ini.read(f"[section s]\n{key} = x\n", ("section",))
    assert (problems, dict(sections[0].values)) == ([], {key: "x"})


def test_countries_are_those_of_iso_3166() -> None:
    """249 of them, Kosovo and the unknown; every name in use leads to its code, and no two to different ones."""
    assert len(COUNTRIES) == 251
    assert all(country_code(code.lower()) == code == country_code(name) for code, name in COUNTRIES.items())
