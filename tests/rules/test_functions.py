"""Every function of the Rules language: the examples of Cloudflare's reference, the edges, and that none can raise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import sys
import tracemalloc
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.rules.language import signatures
from edgenode.rules.language.functions import FUNCTIONS, REFUSED, Function, Parameter
from edgenode.rules.language.nodes import Call, FieldValue, Literal, Node
from edgenode.rules.language.patterns import wildcard
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRINGS, Type, array, map_of
from edgenode.rules.networks import address
from edgenode.rules.regexes import check_regex, compile_regex

IP4, IP6 = address("113.10.0.2"), address("2001:0000:130F:0000:0000:09C0:876A:130B")
JSON = b'{"a":{"b":[1,"x",{"c":-234}]},"n":42.0,"s":"t","big":9223372036854775808,"e":1e3,"t":true}'

EXAMPLES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("any", ((True, False),), True),
    ("any", ((False,),), False),
    ("any", ((),), False),
    ("any", (None,), False),
    ("all", ((True, False),), False),
    ("all", ((True,),), True),
    ("all", ((),), True),
    ("all", (None,), False),
    ("cidr", (IP4, 24, 24), address("113.10.0.0")),
    ("cidr", (IP6, 24, 24), address("2001::")),
    ("cidr", (IP4, 32, 128), IP4),
    ("cidr6", (IP6, 24), address("2001::")),
    ("cidr6", (IP4, 24), IP4),
    ("coalesce", (None, b"/"), b"/"),
    ("coalesce", (b"", b"/"), b""),
    ("coalesce", (None, 0, 1), 0),
    ("coalesce", (None, None), None),
    ("concat", (b"String1", b" ", b"String", b"2"), b"String1 String2"),
    ("concat", ((b"a",), (b"b", b"c")), (b"a", b"b", b"c")),
    ("concat", (None, b"a", None), b"a"),
    ("concat", (None, None), None),
    ("decode_base64", (b"MTIzYWJj",), b"123abc"),
    ("decode_base64", (b"aGVsbG8gd29ybGQ",), b"hello world"),
    ("decode_base64", (b"-_8",), b"\xfb\xff"),
    ("decode_base64", (b"+/8=",), b"\xfb\xff"),
    ("decode_base64", (b"MTIz\r\n YWJj",), b"123abc"),
    ("decode_base64", (b"M",), None),
    ("decode_base64", (b"",), b""),
    ("encode_base64", (b"hello world",), b"aGVsbG8gd29ybGQ"),
    ("encode_base64", (b"hello world", b"p"), b"aGVsbG8gd29ybGQ="),
    ("encode_base64", (b"hello world", b"u"), b"aGVsbG8gd29ybGQ"),
    ("encode_base64", (b"hello world", b"up"), b"aGVsbG8gd29ybGQ="),
    ("encode_base64", (b"\xfb\xff", b"u"), b"-_8"),
    ("encode_base64", (b"\xfb\xff",), b"+/8"),
    ("ends_with", (b"/welcome.html", b".html"), True),
    ("ends_with", (b"/welcome.html", b".HTML"), False),
    ("has_key", ({b"x-my-header": (b"",)}, b"x-my-header"), True),
    ("has_key", ({b"x-my-header": (b"",)}, b"X-My-Header"), False),
    ("has_value", ((b"X-My-Header",), b"X-My-Header"), True),
    ("has_value", ((b"X-My-Header",), b"x-my-header"), False),
    ("has_value", ({b"k": 1}, 1), True),
    ("has_value", ({b"k": b"v"}, b"k"), False),
    ("join", ((b"a", b"b"), b","), b"a,b"),
    ("join", ((), b","), b""),
    ("join", ((b"a",), b","), b"a"),
    ("len", (b"example.com",), 11),
    ("len", ("Bücher".encode(),), 7),
    ("len", ((b"a", b"b"),), 2),
    ("lookup_json_integer", (b'{ "record_id": "aed53a", "version": 2 }', b"version"), 2),
    ("lookup_json_integer", (b'{ "product": { "id": 356 } }', b"product", b"id"), 356),
    ("lookup_json_integer", (b'["first_item", -234]', 1), -234),
    ("lookup_json_integer", (b'{ "network_ids": [123, 456] }', b"network_ids", 0), 123),
    ("lookup_json_integer", (b'[{ "product_id": 123 }, { "product_id": 456 }]', 1, b"product_id"), 456),
    ("lookup_json_integer", (JSON, b"n"), None),
    ("lookup_json_integer", (JSON, b"big"), None),
    ("lookup_json_integer", (JSON, b"e"), None),
    ("lookup_json_integer", (JSON, b"t"), None),
    ("lookup_json_integer", (JSON, b"s"), None),
    ("lookup_json_integer", (JSON, b"a", b"b", 2, b"c"), -234),
    ("lookup_json_integer", (JSON, b"a", b"b", 3), None),
    ("lookup_json_integer", (JSON, b"a", b"b", -1), None),
    ("lookup_json_integer", (JSON, b"a", 0), None),
    ("lookup_json_integer", (b"7", 0), None),
    ("lookup_json_integer", (b'{"a":1,"a":2}', b"a"), 2),
    ("lookup_json_integer", (b'{"a":%s,"b":2}' % (b"9" * 5000), b"b"), 2),
    ("lookup_json_integer", (b'{"a":1', b"a"), None),
    ("lookup_json_integer", (b"[" * 100_000, 0), None),
    ("lookup_json_integer", (b'{"a":' * 100_000, b"a"), None),
    ("lookup_json_string", (b'{ "company": "cloudflare", "product": "rulesets" }', b"company"), b"cloudflare"),
    ("lookup_json_string", (b'{ "network": { "name": "cloudflare" } }', b"network", b"name"), b"cloudflare"),
    ("lookup_json_string", (b'["other_company", "cloudflare"]', 1), b"cloudflare"),
    ("lookup_json_string", (b'{ "networks": ["other_company", "cloudflare"] }', b"networks", 1), b"cloudflare"),
    ("lookup_json_string", (b'[{ "network": "o" }, { "network": "cloudflare" }]', 1, b"network"), b"cloudflare"),
    ("lookup_json_string", (b'{"\xc3\xbc":"\\u00fc\\u0061"}', "ü".encode(), ), "üa".encode()),
    ("lookup_json_string", ('{"a":"ü"}'.encode("utf-16"), b"a"), "ü".encode()),
    ("lookup_json_string", (b'\xef\xbb\xbf{"a":"b"}', b"a"), b"b"),
    ("lookup_json_string", (b'{"a":"b","c":"\xff\n"}', b"a"), b"b"),
    ("lookup_json_string", (b'{"a":"\xff"}', b"a"), b"\xff"),
    ("lookup_json_string", (b'{"a":"\\ud800"}', b"a"), b"\xed\xa0\x80"),
    ("lookup_json_string", (JSON, b"n"), None),
    ("lower", (b"WWW.cloudflare.COM\xc4",), b"www.cloudflare.com\xc4"),
    ("regex_replace", (b"/foo/bar", b"/bar$", b"/baz"), b"/foo/baz"),
    ("regex_replace", (b"/x", b"^/y$", b"/mumble"), b"/x"),
    ("regex_replace", (b"/foo", b"^/FOO$", b"/x"), b"/foo"),
    ("regex_replace", (b"/a/a", b"/a", b"/b"), b"/b/a"),
    ("regex_replace", (b"/b", b"^/b$", b"/b$$"), b"/b$"),
    ("regex_replace", (b"/foo/a/path", b"^/foo/([^/]*)/(.*)$", b"/bar/${2}/${1}"), b"/bar/path/a"),
    ("regex_replace", (b"b", b"(a)?b", b"[${1}]"), b"[]"),
    ("regex_replace", (b"\xff\n\xfe", b".\\n(.)", b"${1}"), b"\xfe"),
    ("remove_bytes", (b"www.cloudflare.com", b"\x2e\x77"), b"cloudflarecom"),
    ("remove_query_args", (b"order=asc&country=GB", b"country"), b"order=asc"),
    ("remove_query_args", (b"order=asc&country=GB", b"order"), b"country=GB"),
    ("remove_query_args", (b"order=asc&country=GB", b"search"), b"order=asc&country=GB"),
    ("remove_query_args", (b"category=Foo&order=desc&category=Bar", b"order"), b"category=Foo&category=Bar"),
    ("remove_query_args", (b"category=Foo&order=desc&category=Bar", b"category"), b"order=desc"),
    ("remove_query_args", (b"a&b=1&ab=2&a=", b"a", b"b"), b"ab=2"),
    ("sha256", (b"my-token",), hashlib.sha256(b"my-token").digest()),
    ("split", (b"groceries,electronics,diy,auto", b",", 64), (b"groceries", b"electronics", b"diy", b"auto")),
    ("split", (b"groceries,electronics,diy,auto", b",", 3), (b"groceries", b"electronics", b"diy,auto")),
    ("split", (b"groceries,,electronics", b",", 64), (b"groceries", b"", b"electronics")),
    ("split", (b"a,b", b",", 1), (b"a,b",)),
    ("split", (b"", b",", 64), (b"",)),
    ("starts_with", (b"/blog/first-post", b"/blog"), True),
    ("starts_with", (b"/Blog", b"/blog"), False),
    ("substring", (b"asdfghjk", 2, 5), b"dfg"),
    ("substring", (b"asdfghjk", 2), b"dfghjk"),
    ("substring", (b"asdfghjk", -2), b"jk"),
    ("substring", (b"asdfghjk", 0, -2), b"asdfgh"),
    ("substring", (b"abc", 5), b""),
    ("substring", (b"abc", -5, 2), b"ab"),
    ("substring", (b"abc", 2, 1), b""),
    ("to_string", (5,), b"5"),
    ("to_string", (-5,), b"-5"),
    ("to_string", (True,), b"true"),
    ("to_string", (False,), b"false"),
    ("to_string", (IP4,), b"113.10.0.2"),
    ("to_string", (IP6,), b"2001:0:130f::9c0:876a:130b"),
    ("upper", (b"www.cloudflare.com\xe4",), b"WWW.CLOUDFLARE.COM\xe4"),
    ("url_decode", (b"John%20Doe",), b"John Doe"),
    ("url_decode", (b"John+Doe",), b"John Doe"),
    ("url_decode", (b"%E4%BD",), b"\xe4\xbd"),
    ("url_decode", (b"%2520",), b"%20"),
    ("url_decode", (b"%2520", b"r"), b" "),
    ("url_decode", (b"%2B",), b"+"),
    ("url_decode", (b"%252B", b"r"), b" "),
    ("url_decode", (b"%zz%4",), b"%zz%4"),
    ("url_decode", (b"%u2601", b"u"), b"\xe2\x98\x81"),
    ("url_decode", (b"%u2601",), b"%u2601"),
    ("url_decode", (b"%U00e4%u00", b"u"), "ä%u00".encode()),
    ("url_decode", (b"%ud800", b"u"), b"%ud800"),
    ("url_decode", (b"%u0025u0025%34%31", b"ur"), b"A"),
    ("url_decode", (b"%%3541", b"r"), b"T1"),
    ("wildcard_replace", (b"/calendar", b"/*", b"/apps/${1}"), b"/apps/calendar"),
    ("wildcard_replace", (b"/Apps/calendar", b"/apps/*", b"/${1}"), b"/calendar"),
    ("wildcard_replace", (b"/Apps/calendar", b"/apps/*", b"/${1}", b"s"), b"/Apps/calendar"),
    ("wildcard_replace", (b"/apps/calendar/login", b"/apps/*/login", b"/${1}/login"), b"/calendar/login"),
    ("wildcard_replace", (b"https://example.com/applications/app1", b"/applications/*", b"/apps/${1}"),
     b"https://example.com/applications/app1"),
    ("wildcard_replace", (b"https://apps.example.com/calendar/admin?expand=true", b"https://*.example.com/*/*",
                          b"https://example.com/${1}/${2}/${3}"), b"https://example.com/apps/calendar/admin?expand=true"),
    ("wildcard_replace", (b"a*b\\c", rb"a\*b\\*", b"$$${1}"), b"$c"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "expected"), EXAMPLES, ids=lambda value: str(value)[:40])
def test_examples(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    """Each function gives what its reference says."""
    found = FUNCTIONS[name].call(*arguments)
    assert found == expected
    assert type(found) is type(expected)


def test_every_function_has_examples_and_help() -> None:
    """No function is without a test or a sentence."""
    tested = {name for name, _, _ in EXAMPLES} | {"hash_in_range", "is_timed_hmac_valid_v0", "uuidv4"}
    spelt_otherwise = {"is_jwt_present", "is_jwt_valid"}  # of an exchange, and not of values
    assert set(FUNCTIONS) == tested | spelt_otherwise
    assert all(function.help[0].isupper() and function.help.endswith(".") for function in FUNCTIONS.values())
    assert not set(FUNCTIONS) & set(REFUSED)


# -- tokens, hashes, UUIDs ---------------------------------------------------------------------------------------------

NOW = 1_484_063_787


def _token(message: bytes, separator: bytes, issued: int, safe: bool, key: bytes = b"mysecretkey") -> bytes:
    """A token as Cloudflare's manual makes them."""
    code = hmac.new(key, message + str(issued).encode(), hashlib.sha256).digest()
    text = base64.urlsafe_b64encode(code).rstrip(b"=") if safe else quote_plus(base64.b64encode(code)).encode()
    return message + separator + str(issued).encode() + b"-" + text


def _valid(token: bytes, now: int = NOW, lifetime: int = 10_800, separator: int = 8, flags: bytes = b"") -> bool:
    valid: bool = FUNCTIONS["is_timed_hmac_valid_v0"].call(b"mysecretkey", token, lifetime, now, separator, flags)
    return valid


@given(st.booleans(), st.binary(min_size=1, max_size=40), st.integers(10**9, 10**10 - 1), st.data())
def test_a_token_is_valid_while_it_lives(safe: bool, message: bytes, issued: int, data: st.DataObject) -> None:
    """Whatever the message, the token is valid until its time is over, and no byte of it can be changed."""
    token = _token(message, b"?verify=", issued, safe)
    flags = b"s" if safe else b""
    assert _valid(token, issued, flags=flags)
    assert _valid(token, issued + 10_799, flags=flags)
    assert not _valid(token, issued + 10_800, flags=flags)
    place = data.draw(st.sampled_from([n for n in range(len(token)) if not len(message) <= n < len(message) + 8]))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != token[place]))
    forged = token[:place] + bytes((changed,)) + token[place + 1 :]
    if safe or b"%" not in (token[place : place + 1], forged[place : place + 1]):  # %2f is %2F
        assert not _valid(forged, issued, flags=flags) or quote(forged).lower() == quote(token).lower()


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"-",
        _token(b"m", b"", NOW, False),  # the separator would be all there is
        _token(b"/a", b"?verify=", NOW, True),  # another alphabet
        _token(b"/a", b"?verify=", NOW, False, b"other"),
        _token(b"/a", b"?verify=", NOW, False)[:-1],
        _token(b"/a", b"?verify=", NOW, False) + b"A",
    ],
)
def test_what_is_no_token(token: bytes) -> None:
    """A token that is short, signed with another key, or written otherwise is not valid."""
    assert not _valid(token)


def test_a_token_without_a_separator() -> None:
    """Without a length nothing stands between message and time, as where they are put together from fields."""
    function = FUNCTIONS["is_timed_hmac_valid_v0"]
    assert function.call(b"mysecretkey", _token(b"/a", b"", NOW, False), 60, NOW)
    assert not function.call(b"mysecretkey", _token(b"/a", b"?", NOW, False), 60, NOW)


@given(st.integers(-(1 << 63), (1 << 63) - 2), st.data())
def test_a_hash_is_in_its_range(lowest: int, data: st.DataObject) -> None:
    """It is at least the first number and less than the second, and the same each time."""
    end = data.draw(st.integers(lowest + 1, (1 << 63) - 1))
    values = data.draw(st.lists(st.booleans() | st.integers() | st.binary() | st.just(IP4), min_size=1))
    call = FUNCTIONS["hash_in_range"].call
    assert lowest <= call(lowest, end, *values) < end
    assert call(lowest, end, *values) == call(lowest, end, *values)


def test_a_hash_depends_on_where_values_end() -> None:
    """Ten thousand values fall evenly into ten ranges, and ("ab", "c") is not ("a", "bc")."""
    call = FUNCTIONS["hash_in_range"].call
    counts = [0] * 10
    for number in range(10_000):
        counts[call(0, 10, b"%d" % number)] += 1
    assert all(900 < count < 1100 for count in counts)
    assert call(0, 1 << 62, b"ab", b"c") != call(0, 1 << 62, b"a", b"bc")


@given(st.binary())
def test_a_uuid_has_the_form_of_version_4(source: bytes) -> None:
    """Version and variant are those of RFC 9562."""
    form = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(form, FUNCTIONS["uuidv4"].call(source))


# -- decoding ----------------------------------------------------------------------------------------------------------

_encoded = st.lists(
    st.sampled_from([b"%", b"2", b"5", b"4", b"1", b"u", b"0", b"25", b"%25", b"+", b"%u0025", b"%2B", b"\xff", b"zz"]),
    max_size=14,
).map(b"".join)


@given(st.sampled_from([b"", b"u"]), _encoded)
@example(b"", b"%2525")
def test_decoding_wholly_is_decoding_until_nothing_changes(unicode: bytes, source: bytes) -> None:
    """The one pass gives what any number of passes would."""
    call = FUNCTIONS["url_decode"].call
    expected = source
    while (decoded := call(expected, unicode)) != expected:
        expected = decoded
    assert call(source, unicode + b"r") == expected


@pytest.mark.parametrize("unit", [b"%", b"%25", b"25", b"%2525", b"%u0025", b"%41", b"%%34", b"+"])
def test_no_text_takes_long_to_decode(unit: bytes) -> None:
    """A text made to be decoded a hundred thousand times over costs no more than twice as much at twice the length."""
    calls = 0

    def counted(size: int) -> int:
        nonlocal calls
        calls = 0

        def count(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal calls
            calls += event == "c_call"

        sys.setprofile(count)
        try:
            FUNCTIONS["url_decode"].call(b"%" + unit * size, b"ur")
        finally:
            sys.setprofile(None)
        return calls

    assert counted(2000) <= 2.1 * counted(1000) + 50


# -- what the checker sees to ------------------------------------------------------------------------------------------

_numbers = st.integers(-(1 << 63), (1 << 63) - 1)
_addresses = st.tuples(st.just(4), st.integers(0, (1 << 32) - 1)) | st.tuples(
    st.just(6), st.integers(0, (1 << 128) - 1)
)
_texts = st.binary(max_size=20) | _encoded | st.sampled_from([JSON, b"[1]", b"{}", b"a.b", b"${1}", b"*", b"A" * 40])
VALUES: dict[Type, st.SearchStrategy[Any]] = {BOOL: st.booleans(), INT: _numbers, BYTES: _texts, IP: _addresses}


def values(of: Type) -> st.SearchStrategy[Any]:
    """Values of a type."""
    if of.of is None:
        return VALUES[of]
    inner = values(of.of)
    if of.name == "Array":
        return st.lists(inner, max_size=4).map(tuple)
    return st.dictionaries(_texts, inner, max_size=4)


ANY = (BOOL, INT, BYTES, IP, STRINGS, array(INT), array(BOOL), map_of(BYTES), map_of(STRINGS))
LITERALS: dict[Any, st.SearchStrategy[Any]] = {
    signatures.regex: st.sampled_from([b"a", b"(.)(.)?", b"^$", b"[^a]*", b"(?i)x|y"]),
}


def _argument(parameter: Parameter, of: Type) -> st.SearchStrategy[Any]:
    if parameter.check is None:
        return values(of)
    likely = LITERALS.get(parameter.check, values(of) | st.integers(0, 140) | _few_letters)
    return likely.filter(lambda value: isinstance(value, bytes) == (of == BYTES) and _accepted(parameter, value))


_few_letters = st.sampled_from([b"", b"a", b"r", b"u", b"s", b"p", b"ur", b"/*", b"a*b", b"${1}", b"$$"])


def _accepted(parameter: Parameter, value: Any) -> bool:
    try:
        assert parameter.check is not None
        parameter.check(value)
    except InvalidValue:
        return False
    return True


def _node(parameter: Parameter, of: Type, value: Any) -> Node:
    return Literal(value, of) if parameter.kind == "literal" else FieldValue("http.request.uri.query", of)


@settings(max_examples=500)
@given(st.sampled_from(list(FUNCTIONS.values())), st.data())
def test_no_call_that_the_checker_accepts_raises(function: Function, data: st.DataObject) -> None:
    """Whatever values of the right types a function is given, it gives a value of its type, or nothing."""
    most = len(function.parameters) + (3 if function.repeated else 0)
    count = data.draw(st.integers(function.required, most))
    parameters = [function.parameters[min(n, len(function.parameters) - 1)] for n in range(count)]
    types = tuple(data.draw(st.sampled_from(parameter.types or ANY)) for parameter in parameters)
    try:
        returns = function.returns if isinstance(function.returns, Type) else function.returns(types)
    except InvalidValue:
        return
    arguments = [data.draw(_argument(parameter, of)) for parameter, of in zip(parameters, types, strict=True)]
    if function.check is not None:
        try:
            function.check(tuple(map(_node, parameters, types, arguments)))
        except InvalidValue:
            return
    if function.takes_missing:
        arguments = [None if data.draw(st.booleans()) else value for value in arguments]
    found = function.call(*arguments)
    assert found is None or is_of(returns, found)


def is_of(of: Type, value: Any) -> bool:
    """Whether a value is of a type."""
    match of.name:
        case "Bool":
            return type(value) is bool
        case "Int":
            return type(value) is int
        case "Bytes":
            return type(value) is bytes
        case "Ip":
            return (
                isinstance(value, tuple) and value[0] in (4, 6) and 0 <= value[1] < 1 << (32 if value[0] == 4 else 128)
            )
        case "Array":
            return all(is_of(of.of, element) for element in value) if of.of else False
        case _:
            return all(type(key) is bytes and is_of(of.of, value[key]) for key in value) if of.of else False


QUERY = FieldValue("http.request.uri.query", BYTES)
HOST = FieldValue("http.host", BYTES, column=7)


def _literals(*values: bytes | int) -> tuple[Node, ...]:
    return tuple(
        Literal(value, BYTES if isinstance(value, bytes) else INT, column=10 * (n + 1))
        for n, value in enumerate(values)
    )


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("hash_in_range", (*_literals(5, 5), HOST), "the second number must be greater than the first"),
        ("remove_query_args", (HOST, *_literals(b"a")), "expected http.request.uri.query or raw."),
        ("remove_query_args", _literals(b"a=b", b"a"), "expected http.request.uri.query or raw."),
        ("regex_replace", (HOST, *_literals(b"(a)", b"${2}")), "there is no ${2}: there are 1 groups"),
        ("regex_replace", (HOST, *_literals(b"a", b"${1}")), "there is no ${1}: there are 0 groups"),
        ("wildcard_replace", (HOST, *_literals(rb"*\*", b"${2}")), "there is no ${2}: there are 1 stars"),
        (
            "regex_replace",
            (Call("lower", (Call("wildcard_replace", (HOST,), BYTES),), BYTES), *_literals(b"a", b"b")),
            "regex_replace and wildcard_replace do not stand inside one another",
        ),
    ],
)
def test_arguments_that_do_not_go_together(name: str, arguments: tuple[Node, ...], sentence: str) -> None:
    """What could not mean what its author wanted is refused, with the column of the argument."""
    check = FUNCTIONS[name].check
    assert check is not None
    with pytest.raises(InvalidValue) as refused:
        check(arguments)
    assert refused.value.sentence.startswith(sentence)
    assert refused.value.column in [argument.column for argument in arguments] or "inside" in sentence


@pytest.mark.parametrize(
    ("name", "types", "sentence"),
    [
        ("concat", (BYTES, STRINGS), "expected arguments of one type, not Bytes and Array(Bytes)"),
        ("concat", (INT, INT), "expected texts (Bytes) or arrays, not Int"),
        ("coalesce", (BYTES, INT), "expected arguments of one type, not Bytes and Int"),
        ("len", (INT,), "expected a text (Bytes) or an array, not Int"),
        ("len", (map_of(BYTES),), "expected a text (Bytes) or an array, not Map(Bytes)"),
        ("has_key", (STRINGS, BYTES), "expected a map, not Array(Bytes)"),
        ("has_value", (map_of(STRINGS), BYTES), "expected an array or a map of Bool, Int, Bytes or Ip, not Map"),
        ("has_value", (BYTES, BYTES), "expected an array or a map of Bool, Int, Bytes or Ip, not Bytes"),
        ("has_value", (STRINGS, INT), "the elements of Array(Bytes) are never Int"),
    ],
)
def test_types_that_do_not_go_together(name: str, types: tuple[Type, ...], sentence: str) -> None:
    """A type that a function could do nothing with is refused in a sentence."""
    returns = FUNCTIONS[name].returns
    assert not isinstance(returns, Type)
    with pytest.raises(InvalidValue) as refused:
        returns(types)
    assert refused.value.sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("name", "index", "value", "column"),
    [
        ("cidr", 1, 0, 0),
        ("cidr", 1, 33, 0),
        ("cidr", 2, 129, 0),
        ("cidr6", 1, 0, 0),
        ("encode_base64", 1, b"x", 0),
        ("encode_base64", 1, b"pp", 0),
        ("url_decode", 1, b"R", 0),
        ("wildcard_replace", 3, b"i", 0),
        ("is_timed_hmac_valid_v0", 5, b"u", 0),
        ("is_timed_hmac_valid_v0", 4, -1, 0),
        ("is_timed_hmac_valid_v0", 2, -1, 0),
        ("split", 1, b"", 0),
        ("split", 2, 0, 0),
        ("split", 2, 129, 0),
        ("regex_replace", 1, b"a(", 1),
        ("regex_replace", 1, rb"\1", 0),
        ("regex_replace", 2, b"a$b", 1),
        ("regex_replace", 2, b"${9}", 0),
        ("regex_replace", 2, b"${0}", 0),
        ("regex_replace", 2, b"${1}" * 9, 0),
        ("wildcard_replace", 1, b"a**", 1),
        ("wildcard_replace", 1, rb"a\n", 1),
        ("wildcard_replace", 1, b"a\\", 1),
    ],
)
def test_literals_out_of_bounds(name: str, index: int, value: Any, column: int) -> None:
    """A literal that a function could not use is refused when the rule is loaded, at its column."""
    check = FUNCTIONS[name].parameters[index].check
    assert check is not None
    with pytest.raises(InvalidValue) as refused:
        check(value)
    assert refused.value.column == column


# -- wildcards ---------------------------------------------------------------------------------------------------------


@given(st.booleans(), st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_a_wildcard_matches_what_its_stars_can_stand_for(
    strict: bool, pieces: list[bytes], fillings: list[bytes]
) -> None:
    """Any bytes stand for a star, every other byte for itself, and the whole value has to match."""
    escaped = [piece.replace(b"\\", b"\\\\").replace(b"*", b"\\*") or b"-" for piece in pieces]
    pattern = wildcard(b"*".join(escaped), strict=strict)
    check_regex(pattern)
    matches = compile_regex(pattern).search
    value = b"".join(
        part for n, piece in enumerate(pieces) for part in ((fillings + [b""] * 4)[n - 1] if n else b"", piece or b"-")
    )
    assert matches(value) is not None
    assert (matches(value.swapcase()) is not None) is (not strict or _alike(pieces, value))
    if pieces and pieces[0]:
        assert matches(b"\x00" + value) is None or pieces[0][0] == 0


def _alike(pieces: list[bytes], value: bytes) -> bool:
    """Whether swapping the case leaves what the pattern says as it is."""
    return all(piece == piece.swapcase() for piece in pieces)


def test_case_is_that_of_ascii() -> None:
    """A wildcard folds A to Z and no other byte: in Latin-1 \\xc4 and \\xe4 would be one letter."""
    matches = compile_regex(wildcard(b"a\xc4", strict=False)).search
    assert matches(b"A\xc4") is not None
    assert matches(b"a\xe4") is None


def test_documents_are_not_kept() -> None:
    """Of all JSON that was looked into only the last document stays in memory."""
    lookup = FUNCTIONS["lookup_json_integer"].call
    lookup(b"[1]", 0)
    tracemalloc.start()
    try:
        for number in range(5):
            assert lookup(json.dumps([number] * 20_000).encode(), 7) == number
        lookup(b"[1]", 0)
        assert tracemalloc.get_traced_memory()[0] < 1 << 18
    finally:
        tracemalloc.stop()
