"""Hypothesis strategies for what rules and policies judge: small alphabets, so that things do match."""

from __future__ import annotations

from hypothesis import strategies as st

from edgenode.model.decision import MODES, Action, Decision, Reason
from edgenode.model.exchange import Address, Connection, Exchange, Request
from edgenode.rules.sections import Entry, Section

CONNECTION = Connection(Address("192.0.2.7", 50000), Address("198.51.100.1", 443))

ADDRESSES = ("192.0.2.7", "192.0.2.200", "10.1.2.3", "2001:db8::1", "2001:db8:1::1", "::ffff:10.1.2.3", "")
TAGS = ("all", "internal", "team-devops", "bot", "protocol:https")
METHODS = (b"GET", b"POST", b"PUT")
HEADERS = (b"user-agent", b"x-one", b"x-two")
VALUES = (b"", b"curl/8.5", b"mozilla", b"one two", b"\xff\xfe", b"one\ntwo")
PATHS = (b"/", b"/api", b"/api/login", b"/admin", b"/a\xffdmin", b"/api\n/x")

requests = st.builds(
    lambda method, path, authority, headers: Request(
        method, b"https", authority, path, path, None, path, tuple(headers), tuple(name for name, _ in headers)
    ),
    st.sampled_from(METHODS),
    st.sampled_from(PATHS),
    st.sampled_from((b"example.com", b"admin.example.com:8443")),
    st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(VALUES)), max_size=5),
)
"""Requests."""

exchanges = st.builds(
    lambda request, client, tags: Exchange(CONNECTION, request, client, tags),
    st.none() | requests,
    st.sampled_from(ADDRESSES),
    st.frozensets(st.sampled_from(TAGS), max_size=3),
)
"""Exchanges, some of them streams."""

_PATTERNS = {
    "ip": ("192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32", "::/0", "::ffff:10.0.0.0/104"),
    "method": ("GET", "^P", "^(PUT|DELETE)$"),
    "path": ("^/api", "login$", "^/a.dmin$", "i.*x", ".", "^/$"),
    "authority": ("example", "^admin\\.", ":8443$"),
    "tag": TAGS,
    "header.user-agent": ("^curl/", "(?i)MOZ", "^$"),
    "header.x-one": ("one.two", "^.*$", "[^a-z]"),
    "header.x-two": ("two", "curl"),
}


@st.composite
def entries(draw: st.DrawFn, keys: tuple[str, ...] = tuple(_PATTERNS)) -> Entry:
    """An entry, negated or not."""
    key = draw(st.sampled_from(keys))
    category, _, name = key.partition(".")
    negation = draw(st.sampled_from(("", "", "!")))
    return Entry(category, name, negation + draw(st.sampled_from(_PATTERNS[key])), draw(st.sampled_from(("", "label"))))


@st.composite
def section_trees(
    draw: st.DrawFn, keys: tuple[str, ...] = tuple(_PATTERNS)
) -> tuple[list[Section], dict[str, Section]]:
    """Some sections, and the named ones that they are made of; each names only those after it."""
    named: dict[str, Section] = {}
    for number in range(draw(st.integers(0, 4)), 0, -1):
        named[f"s{number}"] = draw(_section(keys, tuple(named)))
    return draw(st.lists(_section(keys, tuple(named)), min_size=1, max_size=5)), named


def _section(keys: tuple[str, ...], names: tuple[str, ...]) -> st.SearchStrategy[Section]:
    inner = st.lists(st.sampled_from(names), max_size=3) if names else st.just([])
    return st.builds(
        lambda relation, sections, found: Section(relation=relation, sections=tuple(sections), entries=tuple(found)),
        st.sampled_from(("and", "or")),
        inner,
        st.lists(entries(keys), max_size=3),
    )


reasons = st.builds(Reason, st.sampled_from(("one", "two")), st.text("abc", max_size=3))
actions = st.builds(
    lambda name, priority: Action(name, priority=priority), st.text("abc", max_size=2), st.integers(0, 3)
)
decisions = st.builds(
    Decision,
    st.frozensets(st.sampled_from(TAGS), max_size=3),
    st.lists(reasons, max_size=3).map(tuple),
    st.none() | actions,
    st.lists(st.tuples(st.just("stage"), st.floats(0, 9)), max_size=2).map(tuple),
    exempt=st.frozensets(st.sampled_from(("acl", "flows", "rate-limits"))),
    mode=st.sampled_from(MODES),
)
"""Decisions."""
