"""Any bytes are a content in any format, or refused in a sentence; and nothing is read that was not there."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from attrs import evolve

from edgenode.feeds.contents import Refused, read_download
from edgenode.feeds.store import Stored
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Source
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.proxy.origin.bounded_body import NoAnswer, unpack
from edgenode.rules.feed_formats import Format
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.lists import TYPES, List

_URL = "https://feeds.example.net/feed"
_FORMATS = (
    "separated tab a/b",
    "separated ; 1-2",
    'json-lines a[b="c"]?',
    "lines",
    "csv 2",
    "csv item",
    "json [*]",
    "json prefixes[*].ip_prefix?, hosts[*]",
    'json ["a b"][0].c',
)
_CATEGORIES = ("ip", "asn", "country", "path", "header.user-agent", "certificate.fingerprint")

_LISTS = tuple(
    List(type=type, source=(Source(_URL),), format=Format.from_text(format)) for format in _FORMATS for type in TYPES
)
_FILTERS = tuple(
    GlobalFilter(source=(Source(_URL),), feed=FeedCategory.from_text(category), format=Format.from_text(format))
    for format in _FORMATS
    for category in _CATEGORIES
)
_SECTIONS: tuple[List | GlobalFilter, ...] = (*_LISTS, *_FILTERS)
_MOST = 1 << 16


def check(data: bytes) -> None:
    """Read it in one of the formats, by its first byte, and unpack it."""
    section = _SECTIONS[data[0] % len(_SECTIONS)] if data else _SECTIONS[0]
    if data and data[0] >= len(_SECTIONS):
        section = evolve(section, bad_lines="skip")
    try:
        content = read_download("list a", section, [Stored(_URL, data[1:])], None)
    except Refused as refusal:
        _check_refusal(refusal)
    else:
        members = content.members
        names = members.words | {suffix.removeprefix(b".") for suffix in members.suffixes}  # .example.com is in both
        count = sum(map(len, (names, members.numbers, members.regexes)))
        assert count <= content.size <= len(data)
        assert content.size or section.most_shrink == 100
    try:
        assert len(unpack(data[1:], _MOST)) <= _MOST
    except NoAnswer as error:
        _check_sentence(str(error), None, "")
    try:
        Format.from_text(data.decode("latin-1"))
    except InvalidValue as problem:
        _check_sentence(problem.sentence, problem.column, data.decode("latin-1"))


def _check_refusal(refusal: Refused) -> None:
    assert str(refusal)
    assert 0 < len(refusal.problems) <= 11
    for problem in refusal.problems:
        _check_sentence(problem.sentence, problem.column, problem.text or "")
        assert problem.text is None or problem.text.isprintable()


def _check_sentence(sentence: str, column: int | None, text: str) -> None:
    assert sentence
    assert column is None or 0 <= column <= len(text)


_BODIES = (
    b"192.0.2.0/24 # a\n; b\n2001:db8::1\n", b"a,192.0.2.1\nb,192.0.2.2\n", b'item\n"192.0.2.1"\n',
    b'["192.0.2.1", 64496]', b'{"prefixes": [{"ip_prefix": "192.0.2.0/24"}], "hosts": ["::1"]}',
    b'{"a b": [{"c": "x"}]}',
    b"example.com\n*.example.org\n", b"AS64496\n64497\n", b"^curl/\n(?i)wget\n", b"DE\nFrance\n", b"\xef\xbb\xbf1\r\n",
    b"\xff\n", b'"\n', b"[[[[", b'["\\ud800"]', b"!a\n", b"1" * 5000, b"::ffff:1.2.3.4/120\n", b"1.2.3.4/33\n",
    gzip.compress(bytes(1000), mtime=0), gzip.compress(bytes(1 << 20), mtime=0),
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Contents that are right in one format or another, and some that are in none."""
    for number in range(min(256, 2 * len(_SECTIONS))):
        for body in _BODIES:
            yield bytes((number,)) + body
    for format in _FORMATS:
        yield format.encode()
