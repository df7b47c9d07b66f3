"""Templates: values of the exchange in texts, and nothing that they could break out of."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Geography, Headers, Request
from edgenode.policy import escaping
from edgenode.policy.escaping import LONGEST
from edgenode.policy.templates import Template
from tests.support.strategies import CONNECTION

PLAIN = "text/plain; charset=utf-8"
EVERY_PART = ", ".join(
    f"{prefix}http.request.uri{part}" for prefix in ("", "raw.") for part in ("", ".path", ".query", ".path.extension")
)
"""Every field that is a part of a URI."""


def an_exchange(
    agent: bytes = b"curl/8", path: bytes = b"/a/b", query: bytes | None = b"x=1&y=2", more: Headers = ()
) -> Exchange:
    """A request with this User-Agent and target, in which anything may stand."""
    target = path if query is None else b"%b?%b" % (path, query)
    headers = ((b"user-agent", agent), (b"x-two", b"1"), (b"x-two", b"2"), *more)
    names = tuple(name for name, _ in headers)
    request = Request(b"GET", b"https", b"shop.example", target, path, query, path, headers, names)
    place = Geography(country="DE", asn=64500)
    return Exchange(CONNECTION, request, "192.0.2.7", frozenset(("b", "a")), geography=place)


def body(text: str, exchange: Exchange, content_type: str = PLAIN) -> str:
    """What a body becomes."""
    return escaping.body(Template.from_text(text), content_type).render(exchange).decode()


# -- what is between the braces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("no value", "no value"),
        ("from ${ip.src}.", "from 192.0.2.7."),
        ("${ip.src}${ip.src}", "192.0.2.7192.0.2.7"),
        ("${ ip.src }", "192.0.2.7"),
        ("AS${ip.src.asnum}", "AS64500"),
        ("${ssl}", "false"),
        ("${lower(http.user_agent)}", "curl/8"),
        ('${http.request.headers["x-two"][1]}', "2"),
        ('${join(edge.tags, ", ")}', "a, b"),
        ('${any(http.request.headers["x-two"][*] in {"}" "1"})}', "true"),
        (r'${any(http.request.headers["x-two"][*] eq r#"}"}"#)}', "false"),
        (r"\${ip.src} \$ \\ \#", r"${ip.src} $ \ #"),
        ("$5 $ {ip.src}", "$5 $ {ip.src}"),
        ('[${http.request.headers["x-none"][0]}${http.request.headers["x-two"][9]}]', "[]"),
    ],
)
def test_a_value_is_put_where_it_stands(text: str, rendered: str) -> None:
    """Fields, elements and calls; what is missing is empty, and a dollar sign alone is itself."""
    assert body(text, an_exchange()) == rendered


def test_a_text_between_values_is_one_piece() -> None:
    """However many characters in it were escaped, so that what is asked of its beginning is asked of all of it."""
    template = Template.from_text(r"/\#a\\b $ \$c${ip.src}$\\")
    assert template.pieces == (r"/#a\b $ $c", template.values[0], "$\\")
    assert template.before(template.values[0]) == template.pieces[0]


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("a ${ip.src", 2, "the } that ends this value is missing"),
        ('a ${concat(http.host, "}")', 2, "the } that ends this value is missing"),
        ("a ${ip.scr}", 4, "ip.scr"),
        ("a ${}", 4, "a value is missing"),
        ("a ${lower(ip.src)}", 10, ""),
        ("${http.host eq r}", 12, "expected nothing more"),
        ("${edge.tags}", 2, "take one element, or join"),
        ("${http.request.headers}", 2, "take one element"),
        ('${http.request.headers["x"][*]}', 2, "take one element"),
        ("${any(http.request.headers.names[*] in $list)}", 39, "a template names no lists"),
        (r"a\n", 1, r"a backslash is written \\, a dollar sign \$"),
        ("a\\", 1, r"a backslash is written \\, a dollar sign \$"),
    ],
)
def test_what_is_no_value_is_refused_where_it_stands(text: str, column: int, sentence: str) -> None:
    """Names, types and ends are checked when the template is read."""
    with pytest.raises(InvalidValue) as refused:
        Template.from_text(text)
    assert sentence in refused.value.sentence
    assert refused.value.column == column


def test_a_value_that_cannot_be_computed_is_empty() -> None:
    """Who sends too much for a function gets the action all the same."""
    huge = an_exchange(path=b"/" + b"p" * 100_000, more=((b"x", b"y"),) * 1000)
    text = '[${join(concat(http.request.headers["x"][*], http.request.uri.path), "")}]'
    with pytest.raises(RuntimeError):
        Template.from_text(text).values[0].read(huge)
    assert body(text, huge) == "[]"
    assert body(text, an_exchange(more=((b"x", b"y"),))) == "[y/a/b]"


@given(st.text(alphabet='${}\\ar"#(). \n', max_size=30))
def test_any_text_is_a_template_or_refused_with_its_place(text: str) -> None:
    """Nothing else is raised, and the place is within the text."""
    column = 0
    try:
        template = Template.from_text(text)
    except InvalidValue as problem:
        column = -1 if problem.column is None else problem.column
    else:
        assert str(template) == text
        assert template.values or body(text, an_exchange()) == re.sub(r"\\(.)", r"\1", text.removeprefix("\n"))
    assert 0 <= column <= len(text)


# -- where it is put ---------------------------------------------------------------------------------------------------

ANYTHING = st.binary(max_size=60) | st.text(alphabet="<>&\"'\\/{}:;=%?#.\r\n\x00\x1b\u2028é", max_size=20).map(
    str.encode
)


@given(ANYTHING)
def test_in_html_a_value_is_text(value: bytes) -> None:
    """No tag, no entity of its own, no control character; read back it is what was sent."""
    rendered = body("<p>${http.user_agent}</p>", an_exchange(value), "text/html")
    inner = rendered.removeprefix("<p>").removesuffix("</p>")
    assert not re.search("[<>\"'\x00\x1b]|&(?!amp;|lt;|gt;|quot;|#)", inner)
    if value.isascii() and value.decode().isprintable():
        assert html.unescape(inner) == value.decode()


@given(ANYTHING)
def test_in_json_a_value_is_a_string(value: bytes) -> None:
    """The document has the same shape whatever is sent."""
    text = '{"agent": "got ${http.user_agent}", "asn": ${ip.src.asnum}, "tls": ${ssl}, '
    text += '"none": ${len(http.request.headers["n"][0])}}'
    rendered = body(text, an_exchange(value), "application/problem+json")
    assert not re.search("[<>&]", rendered)  # who takes it for HTML finds no tag
    found = json.loads(rendered)
    assert found.keys() == {"agent", "asn", "tls", "none"}
    assert (found["asn"], found["tls"], found["none"]) == (64500, False, None)
    assert found["agent"].startswith("got ")
    if value.isascii() and value.decode().isprintable():
        assert found["agent"] == f"got {value.decode()}"


@given(ANYTHING)
def test_in_a_header_a_value_ends_no_line(value: bytes) -> None:
    """No line end and no other control character; the rest is as it was."""
    rendered = escaping.header_value(Template.from_text("a ${http.user_agent}"), "x-a").render(an_exchange(value))
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", rendered)
    assert len(rendered) == 2 + len(value)


@given(ANYTHING)
def test_in_plain_text_a_value_steers_no_terminal(value: bytes) -> None:
    """Control characters and what is no UTF-8 are shown as such."""
    rendered = body("${http.user_agent}", an_exchange(value))
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", rendered)


LOCATIONS = (
    "https://www.example.com${http.user_agent}",
    "https://www.example.com/${http.user_agent}",
    "https://www.example.com:8443${http.user_agent}#x",
    "https://www.example.com?next=${http.user_agent}&z=1",
    "${http.user_agent}",
    "/${http.user_agent}",
    "/a${http.user_agent}",
    "https://www.example.com${http.request.uri.path}?${http.request.uri.query}",
    "${http.request.uri.path}${http.user_agent}",
)
HOSTILE = (
    b"//evil.test", b"/\\evil.test", b".evil.test", b"@evil.test", b":1@evil.test/", b"\\\\evil.test",
    b"https://evil.test",
    b"/\r\nset-cookie: a=b",
    b"javascript:alert(1)", b"/%2f/evil.test", b"///evil.test", b"\t//evil.test", b"?x#y", b"",
)  # fmt: skip


@pytest.mark.parametrize("location", LOCATIONS)
def test_no_hostile_value_leads_to_another_host(location: str) -> None:
    """Of all of them, in each place."""
    for value in HOSTILE:
        for path in HOSTILE:
            _leads_where_it_says(location, value, path)


@given(st.sampled_from(LOCATIONS), ANYTHING | st.sampled_from(HOSTILE), st.sampled_from(HOSTILE))
def test_no_value_leads_to_another_host(location: str, value: bytes, path: bytes) -> None:
    """Whatever stands in it, the redirection goes where its template says; it is ASCII, and one line."""
    _leads_where_it_says(location, value, path)


def _leads_where_it_says(location: str, value: bytes, path: bytes) -> None:
    rendered = escaping.location(Template.from_text(location)).render(an_exchange(value, path, value)).decode("ascii")
    assert re.fullmatch(r"[!-\[\]-~]+", rendered)
    host = "www.example.com" if location.startswith("https:") else "asked.test"
    assert urlsplit(urljoin("https://asked.test/here", rendered)).hostname == host
    assert rendered.startswith(("https://www.example.com", "/"))
    assert not rendered.startswith("//")


@pytest.mark.parametrize(
    ("location", "rendered"),
    [
        ("https://new.example${http.request.uri}", b"https://new.example/a%20b/c%2Fd?x=1&y=%20"),
        ("/v2${http.request.uri.path}", b"/v2/a%20b/c%2Fd"),
        ("/v2?${http.request.uri.query}&z", b"/v2?x=1&y=%20&z"),
        ("/login?next=${http.request.uri}", b"/login?next=%2Fa%2520b%2Fc%252Fd%3Fx%3D1%26y%3D%2520"),
        ("/q/${http.user_agent}/x", b"/q/a/b%20%3F%26%25/x"),
        ("/q#${http.user_agent}", b"/q#a%2Fb%20%3F%26%25"),
        ("https://new.example${edge.path_map}", b"https://new.example"),
        ("${edge.path_map}", b"/"),
        ("/v2${concat(http.request.uri.path, http.user_agent)}", b"/v2/a%2520b/c%252Fda/b%20%3F%26%25"),
        ("/v2?${concat(http.request.uri.query, http.user_agent)}", b"/v2?x%3D1%26y%3D%2520a%2Fb%20%3F%26%25"),
        ("/v2${concat(http.request.uri.path, raw.http.request.uri)}", b"/v2/a%20b/c%2Fd/a%20b/c%2Fd?x=1&y=%20"),
        (f"/v2?${{concat({EVERY_PART})}}", b"/v2?" + b"/a%20b/c%2Fd?x=1&y=%20/a%20b/c%2Fdx=1&y=%20" * 2),
    ],
)
def test_a_location_keeps_what_is_encoded_already(location: str, rendered: bytes) -> None:
    """Parts of a URI stay parts of a URI; behind a name and = everything is a value."""
    exchange = an_exchange(b"a/b ?&%", b"/a%20b/c%2Fd", b"x=1&y=%20")
    assert escaping.location(Template.from_text(location)).render(exchange) == rendered


@pytest.mark.parametrize(
    "location",
    [
        "",
        "x",
        "//evil.example",
        r"/\\evil.example",
        "/\t/evil.example",
        "/a b",
        "/é",
        "/\n",
        "/a\r\nset-cookie: x",
        "javascript:1",
        "https://",
        "http:///x",
        "https://good.example@evil.example/",
        r"https://good.example\\evil.example/",
        "//${http.host}",
        "x${http.host}",
        "${http.host} x",
    ],
)
def test_a_location_that_leads_elsewhere_than_it_seems_is_refused(location: str) -> None:
    """No line feed, no backslash, no user name, no second slash."""
    with pytest.raises(InvalidValue, match="expected http://, https:// or a single /"):
        escaping.location(Template.from_text(location))


@pytest.mark.parametrize("location", ["https://${http.host}/", "http://${http.host}${http.request.uri}"])
def test_the_host_of_a_location_is_fixed(location: str) -> None:
    """A value there would let the client say where others are led."""
    with pytest.raises(InvalidValue, match="the host is fixed") as refused:
        escaping.location(Template.from_text(location))
    assert refused.value.column == location.index("$")


@pytest.mark.parametrize(
    ("text", "content_type", "sentence"),
    [
        ("<a href='${http.referer}'>x</a>", "text/html", "a value stands between tags"),
        ("<!-- ${http.referer} -->", "text/html", "a value stands between tags"),
        ("<!-- <b> ${http.referer} -->", "text/html", "a value stands between tags"),
        ("<a title='>' href='${http.referer}'>", "text/html", "a value stands between tags"),
        ('<a title="a>b ${http.referer}">', "text/html", "a value stands between tags"),
        ("<script>var a = '${http.referer}'</script>", "text/html", "a value stands between tags"),
        ("<STYLE>\n${http.referer}", "text/html; charset=utf-8", "a value stands between tags"),
        ("<a><![CDATA[${http.referer}]]></a>", "application/xml", "a value stands between tags"),
        ('{"a": ${http.referer}}', "application/json", "within quotes"),
        ('{"a": ${ip.src}}', "application/json", "within quotes"),
        (r'{"a\\"": ${http.referer}}', "application/json", "within quotes"),
        ('{"a" "${http.referer}"}', "application/json", "this is no JSON"),
        ("var a = '${http.referer}'", "application/javascript", "not into this media type"),
        ("${http.referer}", "text/css", "not into this media type"),
    ],
)
def test_where_no_escaping_would_be_safe_there_is_no_value(text: str, content_type: str, sentence: str) -> None:
    """Found when the action is loaded; the same text without values is fine."""
    with pytest.raises(InvalidValue, match=sentence):
        escaping.body(Template.from_text(text), content_type)
    escaping.body(Template.from_text(text.replace("$", r"\$")), content_type)


@pytest.mark.parametrize("name", ["Set-Cookie", "Refresh", "Link", "Content-Security-Policy", "Cookie"])
def test_no_value_is_another_part_of_a_header(name: str) -> None:
    """A client adds no attribute to a cookie, no link, no source to a policy."""
    field = escaping.HeaderField.from_text(f"{name}: a=${{http.user_agent}}; Secure")
    value = b"""x; Domain=evil, <y>" '*' \r\n\xff a/b?c=%20"""
    rendered = escaping.header_value(field.value, field.name).render(an_exchange(value))
    expected = b"x%3B%20Domain=evil%2C%20%3Cy%3E%22%20%27*%27%20%0D%0A%FF%20a/b?c=%20"
    assert rendered == b"a=" + expected + b"; Secure"


@pytest.mark.parametrize("encoding", ["utf-7", "UTF-16", "iso-8859-1", ""])
def test_xml_with_values_says_no_other_encoding(encoding: str) -> None:
    """Read in UTF-7, ``+ADw-`` is a tag, which nobody has escaped."""
    for quote in "\"'":
        text = f"<?xml version='1.0' encoding = {quote}{encoding}{quote}?><a>${{http.referer}}</a>"
        with pytest.raises(InvalidValue, match="UTF-8") as refused:
            escaping.body(Template.from_text(text), "application/xml")
        assert refused.value.column == text.index(f"{encoding}{quote}?>")
        escaping.body(Template.from_text(text.replace(f"{quote}{encoding}{quote}", f"{quote}UTF-8{quote}")), "text/xml")
    escaping.body(Template.from_text(text.replace("$", r"\$")), "application/xml")


def test_values_have_a_largest_size() -> None:
    """What a client sends does not make answers or requests as long as it likes."""
    assert len(body("${http.user_agent}", an_exchange(b"x" * (LONGEST + 1)))) == LONGEST == 16 * 1024


def test_a_script_that_has_ended_is_no_script() -> None:
    """Behind it a value is safe again."""
    text = "<script>1</script><style>a</style><!-- < --><p title='<'>${ip.src}</p>"
    assert body(text, an_exchange(), "text/html").endswith("<p title='<'>192.0.2.7</p>")


def test_a_text_on_the_lines_below_its_key_has_no_empty_first_line() -> None:
    """``body =`` and then indented lines: the first of them is the first of the body."""
    assert Template.from_text("\n<h1>No</h1>\nGo away.").pieces == ("<h1>No</h1>\nGo away.",)
    with pytest.raises(InvalidValue) as raised:
        Template.from_text("\n\\n")
    assert raised.value.column == 1
