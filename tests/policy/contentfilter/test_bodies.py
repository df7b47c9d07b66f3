"""Which bodies may come at all."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.bodies import BodyLimits, FileNames, MediaRange, structure
from edgenode.policy.contentfilter.graphql_shape import Shape, shape
from edgenode.rules.views.flattening import Unread
from edgenode.testing.exchanges import exchange_of

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def told(limits: BodyLimits, kind: str | None, body: bytes, target: str = "/", *headers: tuple[str, str]) -> list[str]:
    """What deviates in a request, in words."""
    typed = [] if kind is None else [("content-type", kind)]
    exchange = exchange_of("POST", f"https://a.example{target}", [*typed, *headers], body)
    return [f"{each.where}: {each.what}" for each in limits.deviations(exchange)]


def media(*ranges: str) -> tuple[MediaRange, ...]:
    """Media types as they are written."""
    return tuple(map(MediaRange.from_text, ranges))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (JSON, []),
        ("Application/JSON; charset=utf-8", []),
        ("image/png", []),
        ("text/xml", ["body: of a type that may not come"]),
        (None, ["body: of no type"]),
        ("image", ["body: of a type that may not come"]),
        ("application/json, text/xml", ["body: of a type that may not come"]),
        ('image/png; a="b, text/xml"', []),
    ],
)
def test_only_some_types_may_come(kind: str | None, expected: list[str]) -> None:
    """A body of another type, or of none, is none that may come; parameters and case are nothing to it."""
    assert told(BodyLimits(media(JSON, "image/*")), kind, b"{}") == expected


def test_a_request_without_a_body_needs_no_type() -> None:
    """What has no body is not asked for its type."""
    limits = BodyLimits(media(JSON), depth=1, files=0, introspection=False)
    assert limits.deviations(exchange_of("GET", "https://a.example/?a=1")) == ()


@pytest.mark.parametrize("text", ["", "json", "*/*", "Application/json", "a/b;c=d", "a/b*"])
def test_a_media_type_is_written_in_one_way(text: str) -> None:
    """Anything else is an error of the configuration."""
    with pytest.raises(InvalidValue):
        MediaRange.from_text(text)


def nested(depth: int) -> bytes:
    """Arrays in one another."""
    return b"[" * depth + b"1" + b"]" * depth


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from((JSON, "text/plain", FORM)))
def test_json_may_be_so_deep(depth: int, most: int, kind: str) -> None:
    """Whatever the type says."""
    assert told(BodyLimits(depth=most), kind, nested(depth)) == ([f"body: deeper than {most}"] if depth > most else [])


trees = st.recursive(
    st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
)


@given(trees)
def test_values_and_structures_are_counted(tree: object) -> None:
    """Each of them once."""

    def count(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(count, inner))

    exchange = exchange_of("POST", "https://a.example/", [("content-type", JSON)], json.dumps(tree).encode())
    assert exchange.request is not None
    assert structure(exchange.request)[1] == count(tree)


@pytest.mark.parametrize("kind", ["text/xml", "application/soap+xml", "text/plain"])
def test_xml_may_be_so_deep_and_so_large(kind: str) -> None:
    """Elements and attributes count."""
    body = b'<a b="1"><c><d/></c></a>'
    assert told(BodyLimits(depth=3, values=4), kind, body) == []
    assert told(BodyLimits(depth=2, values=3), kind, body) == ["body: deeper than 2", "body: more than 3 values"]


def test_limits_hold_for_what_is_in_a_coding_or_a_character_set() -> None:
    """What an application would undo is undone."""
    limits = BodyLimits(depth=2)
    assert told(limits, JSON, gzip.compress(nested(3)), "/", ("content-encoding", "gzip")) == ["body: deeper than 2"]
    assert told(limits, JSON, nested(3).decode().encode("utf-16")) == ["body: deeper than 2"]


def test_what_is_very_large_is_not_counted_to_its_end() -> None:
    """More than is looked at is more than any limit."""
    assert told(BodyLimits(values=8192), JSON, b"[" + b"1," * 9000 + b"1]") == ["body: more than 8192 values"]


def parts(*files: tuple[str, str, bytes]) -> bytes:
    """A multipart body of files: their names, types and contents."""
    heads = [
        f'--B\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode()
        for name, kind, _ in files
    ]
    pieces = [head + content + b"\r\n" for head, (_, _, content) in zip(heads, files, strict=True)]
    return b"".join((*pieces, b"--B--\r\n"))


MULTIPART = "multipart/form-data; boundary=B"
PNG = b"\x89PNG\r\n\x1a\n..."
PROGRAM = b"\x7fELF..."


def test_files_are_counted_and_measured() -> None:
    """How many there are, and how large each is."""
    body = parts(("a.png", "image/png", PNG), ("b.png", "image/png", PNG + b"." * 100))
    assert told(BodyLimits(files=2, file_size=200), MULTIPART, body) == []
    assert told(BodyLimits(files=1, file_size=50), MULTIPART, body) == [
        "files: more than 1",
        "file 2: longer than 50 bytes",
    ]


@pytest.mark.parametrize(
    ("kind", "content", "allowed"),
    [
        ("image/png", PNG, True),
        ("image/png", b"of a kind that nobody knows", True),
        ("image/png", PROGRAM, False),
        ("application/x-executable", PNG, False),
        ("image/png", b"<?xml version='1.0'?>", False),
    ],
)
def test_a_file_is_of_the_type_that_it_says_and_begins_like(kind: str, content: bytes, allowed: bool) -> None:
    """Both have to be one that may come."""
    found = told(BodyLimits(file_types=media("image/*")), MULTIPART, parts(("a.png", kind, content)))
    assert found == ([] if allowed else ["file 1: of a type that may not come"])


def test_a_file_in_base64_is_what_it_is() -> None:
    """A part that says that it is encoded is looked at decoded, too."""
    head = (
        b'--B\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )
    body = head + base64.b64encode(PROGRAM) + b"\r\n--B--\r\n"
    limits = BodyLimits(file_types=media("image/png"))
    assert told(limits, MULTIPART, body) == ["file 1: of a type that may not come"]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("a.png", True), ("a.PNG", True), ("a.php", False), ("a.png.php", False), ("", True), ("a.png%00.php", False)],
)
def test_the_names_of_files_have_to_match(name: str, allowed: bool) -> None:
    """All of a name, in every reading; an empty one is that of no file."""
    limits = BodyLimits(file_names=FileNames.from_text(r"(?i)[\w-]+\.(png|jpe?g)"))
    found = told(limits, MULTIPART, parts((name, "image/png", PNG)))
    assert found == ([] if allowed else ["file 1: its name does not match"])


def test_an_expression_that_is_none_is_an_error() -> None:
    """With its column."""
    with pytest.raises(InvalidValue):
        FileNames.from_text("(png")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a}", Shape(1)),
        ("{a{b{c}}}", Shape(3)),
        ("query Q($x: I = {a: {b: 1}}) @d(x: {y: 1}) {u: user(id: {a: 1}) {n: name}}", Shape(2, 2)),
        ("{a{...F}} fragment F on X {b{...G}} fragment G on Y {c{d}}", Shape(4)),
        ("fragment F on X {b{c{d}}} {a{...F}}", Shape(4)),
        ("{a{... on X @include(if: true) {b}}}", Shape(3)),
        ("{__schema{types{name}}}", Shape(3, 0, True)),
        ('{a(b: "{__schema{c:d}}") {__typename}}', Shape(2)),
        ("fragment F on X {a{b}} {c}", Shape(1)),
        ("# {a{b}}\n{c}", Shape(1)),
    ],
)
def test_the_shape_of_a_document(text: str, expected: Shape) -> None:
    """How deep fields stand with fragments where they are spread, how many have an alias, and what they ask for."""
    assert shape(text) == expected


@pytest.mark.parametrize("text", ["{a{...F}} fragment F on X {b{...F}}", '{a(b: "}', "{" * 100 + "a" + "}" * 100])
def test_what_has_no_end_has_no_shape(text: str) -> None:
    """A fragment that spreads itself, what is not well-formed, and what is deeper than anything is."""
    with pytest.raises(Unread):
        shape(text)


DEEP = "{ a { b { c: d } } __schema { e } }"


@pytest.mark.parametrize(
    ("kind", "body", "target"),
    [
        ("application/graphql", DEEP.encode(), "/"),
        (JSON, json.dumps({"query": DEEP}).encode(), "/"),
        (JSON, json.dumps([{"query": "{a}"}, {"QUERY": DEEP}]).encode(), "/"),
        (FORM, b"a=1", "/?query=%7B+a+%7B+b+%7B+c:+d+%7D+%7D+__schema+%7B+e+%7D+%7D"),
        (
            MULTIPART,
            b'--B\r\nContent-Disposition: form-data; name="operations"\r\n\r\n'
            + json.dumps({"query": DEEP}).encode()
            + b"\r\n--B--\r\n",
            "/",
        ),
    ],
)
def test_graphql_is_found_wherever_it_is_sent(kind: str, body: bytes, target: str) -> None:
    """As a body, in JSON, alone or in a batch, as an argument, and beside files."""
    limits = BodyLimits(graphql_depth=2, graphql_aliases=0, introspection=False)
    assert told(limits, kind, body, target) == [
        "graphql: deeper than 2",
        "graphql: more than 0 aliases",
        "graphql: asks for the schema",
    ]


def test_aliases_of_a_batch_add_up() -> None:
    """What is asked for in pieces is asked for."""
    body = json.dumps([{"query": "{a: b}"}] * 5).encode()
    assert told(BodyLimits(graphql_aliases=4), JSON, body) == ["graphql: more than 4 aliases"]


def test_limits_that_are_not_set_look_at_nothing() -> None:
    """What is not said is not limited."""
    assert told(BodyLimits(), JSON, nested(60)) == []
