"""JSON, XML, GraphQL and Base64 as names and values: as real readers read them, within bounds, and never an error."""

from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.rules.views import graphql_values, json_values, xml_values
from edgenode.rules.views.base64_values import base64_readings, decoded
from edgenode.rules.views.flattening import MOST_DEEP, MOST_VALUES, Flattening, Unread

Values = dict[str, list[str]]


def of_json(text: bytes, name: str = "") -> Values:
    """The values of JSON by their names."""
    into = Flattening()
    for document in json_values.documents(text):
        json_values.flatten(document, into, name)
    return _values(into)


def of_xml(text: bytes) -> Values:
    """The values of XML by their names."""
    into = Flattening()
    xml_values.flatten(text, into)
    return _values(into)


def of_graphql(text: str) -> Values:
    """The values of GraphQL by their names."""
    into = Flattening()
    graphql_values.flatten(text, into)
    return _values(into)


def _values(into: Flattening) -> Values:
    found: Values = {}
    for name, value in into.pairs:
        found.setdefault(name.decode("utf-8", "replace"), []).append(value.decode("utf-8", "surrogateescape"))
    return found


# -- JSON --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b'{"a":{"b":[1,"x"]}}', {"a_b_0": ["1"], "a_b_1": ["x"], "a_b": ["1", "x"]}),
        (b'{"a":[{"b":null}]}', {"a_0_b": ["null"], "a_b": ["null"]}),
        (b'[{"a":true},[false]]', {"0_a": ["true"], "a": ["true"], "1_0": ["false"]}),
        (b'"x"', {"JSON_ROOT": ["x"]}),
        (b'{"":"x"}', {"JSON_ROOT": ["x"]}),
        (b'{"a":1,"a":2,"b":3}', {"a": ["1", "2"], "b": ["3"]}),
        (b'{"a":1e2,"b":1.0,"c":-0,"d":10e-1}',
         {"a": ["1e2", "100"], "b": ["1.0", "1"], "c": ["-0", "0"], "d": ["10e-1", "1"]}),
        (b'{"a":9007199254740993}', {"a": ["9007199254740993", "9007199254740992"]}),
        (b'{"a":1e999}', {"a": ["1e999", "inf"]}),
        (b'{"\\u0061":"\\u0065vil"}', {"a": ["evil"]}),
        (b'{"a":"\\ud800"}', {"a": ["\udced\udca0\udc80"]}),
        (b'{"a":"\xff"}', {"a": ["\udcff"]}),
        (b'\xef\xbb\xbf {"a":"x"} \r\n', {"a": ["x"]}),
        (b'{"a":1}\n{"a":2}\n', {"a": ["1", "2"]}),
        (b'\x1e{"a":1}\n\x1e{"a":2}\n', {"a": ["1", "2"]}),
        (b"[]", {}),
        (b"", {}),
    ],
)  # fmt: skip
def test_leaves_of_json_have_the_names_that_the_vendor_gives_them(text: bytes, values: Values) -> None:
    """Every value of a repeated name, a number as it is written and as it is meant, and arrays without indices too."""
    assert of_json(text) == values


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1,}', b"{'a':1}", b"{a:1}", b'{"a":1}//', b'{"a":/**/1}', b'{"a":01}',
        b'{"a":"\n"}', b'{"a":1', b'{"a":1}x', b')]}\',\n{"a":1}', b'{"a":"\\x41"}', b'\x00{"a":1}', b"{" * 5000,
        b"[" * (MOST_DEEP + 1) + b"]" * (MOST_DEEP + 1), b"[" + b"1," * MOST_VALUES + b"1]",
        b"[" + b"[]," * MOST_VALUES + b"1]",
        b'{"' + b"a" * 10000 + b'":[' + b"1," * 2000 + b"1]}",
    ],
)  # fmt: skip
def test_what_is_no_json_or_too_much_of_it_is_unread(text: bytes) -> None:
    """Some reader takes each of them, and makes something of it that a rule has not seen."""
    with pytest.raises(Unread):
        of_json(text)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400)
@given(_JSON, st.booleans(), st.sampled_from([None, 2]))
def test_every_leaf_that_python_reads_is_found_under_its_name(document: Any, ascii: bool, indent: int | None) -> None:
    """Written in any way that Python writes it, by the names of the keys and indices that lead to it."""
    found = of_json(json.dumps(document, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass"))
    for name, value in _leaves(document, ()):
        texts = found[name or "JSON_ROOT"]
        shown = (
            {True: "true", False: "false", None: "null"}.get(value, value)
            if not isinstance(value, int | float)
            else value
        )
        if isinstance(value, bool):
            assert str(value).lower() in texts
        elif isinstance(value, int | float):
            assert any(_number(text) == value for text in texts)
        else:
            assert str(shown).encode("utf-8", "surrogatepass") in [
                text.encode("utf-8", "surrogateescape") for text in texts
            ]


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, str(key)) if path or str(key) else ())
    else:
        yield "_".join(path), value


def _number(text: str) -> float | int | None:
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except ValueError:
        return None


@settings(max_examples=1000)
@given(st.lists(st.sampled_from([*'{}[]:,"\\ \n019-+.eEtrufalsn', "true", "null", '"a"', '"a":', "\\u00", "NaN"])))
def test_what_python_takes_for_json_is_read_and_nothing_else_but_several(pieces: list[str]) -> None:
    """Of one text it is the same question; of several, one behind another, each is one by itself."""
    text = "".join(pieces)
    try:
        expected = json.loads(text, parse_constant=_refused)
    except ValueError:
        try:
            assert len(list(json_values.documents(text.encode()))) != 1
        except Unread:
            pass
        return
    (found,) = json_values.documents(text.encode())
    assert _plain(found) == expected


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, tuple):
        return {key: _plain(each) for key, each in value}
    return json.loads(value) if type(value) is not str and isinstance(value, str) else value


# -- XML ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b'<a b="1"><c>x</c></a>', {"ab": ["1"], "a_b": ["1"], "b": ["1"], "a1c1": ["x"], "a_c": ["x"], "c": ["x"]}),
        (b"<a>x</a>", {"a1": ["x"], "a": ["x"]}),
        (b"<!-- x --><?y z?><!DOCTYPE a><a>x</a>", {"a1": ["x"], "a": ["x"]}),
        (b"<a><b/><b>2</b></a>", {"a1b1": [""], "a2b1": ["2"], "a_b": ["", "2"], "b": ["", "2"]}),
        (b"<a><b>ev<!-- x -->i<![CDATA[l]]></b></a>", {"a1b1": ["evil"], "a_b": ["evil"], "b": ["evil"]}),
        (b"<a>ev<b/>il</a>",
         {"a1": ["ev"], "a": ["ev", "il", "evil"], "a2b1": [""], "a_b": [""], "b": [""], "a3": ["il"]}),
        (b"<a>&lt;&#x41;&#66;&amp;</a>", {"a1": ["<AB&"], "a": ["<AB&"]}),
        (b"<a>\n <b> x\n</b></a>", {"a1b1": [" x\n", "x"], "a_b": [" x\n", "x"], "b": [" x\n", "x"]}),
        (b'<s:a xmlns:s="u"><s:b>1</s:b></s:a>',
         {"as": ["u"], "a_s": ["u"], "s": ["u"], "a1b1": ["1"], "a_b": ["1"], "b": ["1"]}),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><a>\xe9</a>', {"a1": ["\udce9"], "a": ["\udce9"]}),
    ],
)  # fmt: skip
def test_texts_and_attributes_of_xml_have_names(text: bytes, values: Values) -> None:
    """The vendor's, which number what stands in an element, the way that leads there, and that without the root."""
    assert of_xml(text) == values


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE a [<!ENTITY x "evil">]><a>&x;</a>', b'<!DOCTYPE a SYSTEM "http://a/"><a/>', b"<!DOCTYPE a []><a/>",
        b"<a>&x;</a>", b"<a>", b"<a></b>", b"<a/><b/>", b"", b"<a b='1' b='2'/>", b"a<a/>", b"<a>\0</a>",
        b"<a>" * (MOST_DEEP + 1) + b"</a>" * (MOST_DEEP + 1), b"<a>" + b"<b/>" * MOST_VALUES + b"</a>",
        b"<" + b"a" * 10000 + b">" + b"<b/>" * 1000 + b"</" + b"a" * 10000 + b">",
    ],
)  # fmt: skip
def test_what_is_no_xml_or_has_a_document_type_is_unread(text: bytes) -> None:
    """No entity is expanded and nothing is fetched: what it would say is not known here."""
    with pytest.raises(Unread):
        of_xml(text)


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=8
)


@settings(max_examples=300)
@given(
    st.recursive(
        st.tuples(_TEXT, st.just([]), _TEXT), lambda inner: st.tuples(_TEXT, st.lists(inner, max_size=3), _TEXT)
    )
)
def test_every_text_that_elementtree_reads_is_found(tree: Any) -> None:
    """By the way that leads to it; what stands around elements as one text."""
    root = _element(tree)
    found = of_xml(ElementTree.tostring(root, "utf-8"))
    for path, element in _elements(root, "e"):
        texts = [element.text or "", *(each.tail or "" for each in element)]
        assert not all(text.strip() for text in texts) or "".join(texts) in found[path]
        assert all(text in found[path] for text in texts if text.strip())
        assert found[f"{path}_k"].count(element.get("k", "")) >= 1


def _element(tree: Any) -> ElementTree.Element:
    element = ElementTree.Element("e", {"k": tree[2]})
    element.text = tree[0]
    for inner in tree[1]:
        element.append(_element(inner))
        element[-1].tail = inner[2]
    return element


def _elements(element: ElementTree.Element, path: str) -> Iterator[tuple[str, ElementTree.Element]]:
    yield path, element
    for inner in element:
        yield from _elements(inner, f"{path}_{inner.tag}")


# -- GraphQL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{ login(user: "x", by: {ip: [1, "y"]}) { id } }',
         {"user": ["x"], "gdir-s0-login-user": ['"x"'], "by_ip_0": ["1"], "by_ip_1": ["y"],
          "gdir-s0-login-by": ['{ip: [1, "y"]}'], "gdir-s0-login-s0": ["id"]}),
        ('query Q($a: [Int!]! = 5) { n: f(a: $a) @skip(if: true) }',
         {"a": ["5"], "gdir-Q-a-defvalue": ["5"], "gdir-Q-s0-f-alias": ["n"], "if": ["true"],
          "gdir-Q-s0-f-d0-skip-if": ["true"], "gdir-Q-s0-f-a": ["$a"]}),
        ("{ ...F ... on T { a } ... { b } } fragment F on T { c(d: E) }",
         {"gdir-s0-frag": ["F"], "gdir-s1-s0": ["a"], "gdir-s2-s0": ["b"], "d": ["E"], "gfrag-F-s0-c-d": ["E"]}),
        ('#c\n,{a(b:"\\u0065vi\\u{6c}")}', {"b": ["evil"], "gdir-s0-a-b": ['"\\u0065vi\\u{6c}"']}),
        ('{a(b:"""\n   evil\n  x\\"""\n  """)}',
         {"b": ['\n   evil\n  x"""\n  ', ' evil\nx"""', 'evil\nx"""'],
          "gdir-s0-a-b": ['"""\n   evil\n  x\\"""\n  """']}),
        ("mutation { a(b: -1.5e3, c: null, d: []) }",
         {"b": ["-1.5e3"], "gdir-s0-a-b": ["-1.5e3"], "c": ["null"], "gdir-s0-a-c": ["null"], "gdir-s0-a-d": ["[]"]}),
        ('"x" query { a(b: 1) }', {"b": ["1"], "gdir-s0-a-b": ["1"]}),
        ("", {}),
    ],
)  # fmt: skip
def test_arguments_of_graphql_have_names(text: str, values: Values) -> None:
    """Their own, with the way into objects and lists, and those of the vendor, with the value as it is written."""
    found = of_graphql(text)
    found.pop("gdir-s0-a", None)
    assert found == values


@pytest.mark.parametrize(
    "text",
    [
        "{", "{a", "{a(b:)}", "{a(b:1}", '{a(b:"x)}', '{a(b:"x\n")}', "x{a}", "{a(1:b)}", "query(", "fragment F {a}",
        "{a}}", "{}x", '{a(b:"""x)}', "{a(b:" + "[" * 100 + "]" * 100 + ")}", "{a" * 100 + "}" * 100,
        "{" + "a " * (MOST_VALUES + 1) + "}",
    ],
)  # fmt: skip
def test_what_is_no_graphql_is_unread(text: str) -> None:
    """Whatever a reader might make of it."""
    with pytest.raises(Unread):
        of_graphql(text)


# -- whatever it is ----------------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(
    st.sampled_from([of_json, of_xml, lambda data: of_graphql(data.decode("latin-1"))]),
    st.binary()
    | st.lists(
        st.sampled_from([b"{", b"}", b'"', b"a", b":", b"<a>", b"</a>", b"(", b")", b"[", b"]", b"\\", b"1"])
    ).map(b"".join),
)
def test_nothing_is_an_error_but_unread(read: Callable[[bytes], Values], data: bytes) -> None:
    """Whatever the bytes are; and what is read has the bounds of its values."""
    try:
        found = read(data)
    except Unread:
        return
    assert sum(map(len, found.values())) <= MOST_VALUES


# -- Base64 ------------------------------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(st.binary(min_size=1), st.booleans(), st.booleans(), st.sampled_from([b"", b"\r\n", b"!"]))
def test_what_is_encoded_is_read_in_every_form(data: bytes, safe: bool, padded: bool, between: bytes) -> None:
    """In both alphabets, with padding and without, with line ends or what decoders pass over, and with spaces for +."""
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(data)
    text = text if padded else text.rstrip(b"=")
    text = text[:2] + between + text[2:]
    assert data in base64_readings(text)
    if not between:
        assert data in base64_readings(text.replace(b"+", b" "))
        assert data in base64_readings(b"data:text/plain;base64," + text)


@given(st.binary())
def test_decoding_is_never_an_error(text: bytes) -> None:
    """What says nothing has no reading; what Python reads without looking closely is among the readings."""
    assert isinstance(decoded(text), bytes)
    assert b"" not in base64_readings(text)


def test_texts_that_are_padded_one_behind_another_are_read() -> None:
    """Some decoders stop at the first, others go on."""
    text = base64.b64encode(b"evil") + base64.b64encode(b"code!")
    assert b"evilcode!" in base64_readings(text)
    assert any(found.startswith(b"evil") for found in base64_readings(text))
