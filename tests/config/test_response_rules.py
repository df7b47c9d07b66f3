"""What is wrong with response rules is found when they are read, and said where it stands."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.policy.responses import Page, Statuses, quality
from tests.support.node import PKI, ini


def read(pki: PKI, **keys: str) -> Configuration:
    """A configuration with rules."""
    named = {name.replace("_", "-"): value for name, value in keys.items()}
    return Configuration.from_text(
        ini(1, {"response-rules site": named, "path-map all": {"response-rules": "site"}}), pki.folder, {}
    )


@pytest.fixture(autouse=True)
def _pages(pki: PKI) -> None:
    (pki.folder / "good.html").write_text("<p>${cf.ray_id}</p>")
    (pki.folder / "wrong.html").write_text("<p>\n${nonsense}</p>")
    (pki.folder / "script.html").write_text("<script>a = '${http.host}'</script>")
    (pki.folder / "body.txt").write_text("${http.request.body.raw}")
    (pki.folder / "broken.json").write_text('{"a": ${cf.ray_id}}')
    (pki.folder / "latin.txt").write_bytes(b"\xe4")
    (pki.folder / "large.txt").write_bytes(bytes(1024 * 1024 + 1))
    (pki.folder / "status.html").write_text("${http.response.code}" + " " * 65536)
    (pki.folder / "page.php").write_bytes(b"")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("set", "transfer-encoding: chunked", "this is of one hop or of the framing, and so the node's own"),
        ("set", "connection: x", "this is of one hop or of the framing, and so the node's own"),
        ("add", "Content-Length: 0", "this is of one hop or of the framing, and so the node's own"),
        ("remove", "Date", "this is of one hop or of the framing, and so the node's own"),
        ("remove", "via", "this is of one hop or of the framing, and so the node's own"),
        ("set", "content-type: text/html", "this says what the body is, and only who has written that knows"),
        ("remove", "Content-Encoding", "this says what the body is, and only who has written that knows"),
        ("set", "content-range: bytes */1", "this says what the body is, and only who has written that knows"),
        ("set", "sec-websocket-accept: x", "this is the protocol's, which would not be understood otherwise"),
        ("set", "grpc-status: 0", "this is the protocol's, which would not be understood otherwise"),
        ("set", "vary: x", "caches would give one client's answer to another: it can only be added to"),
        ("remove", "vary", "caches would give one client's answer to another: it can only be added to"),
        ("add", "location: /", "where an answer leads says who has made it"),
        ("set", "strict-transport-security: max-age=1", "this has a key of its own: hsts"),
        ("set", "x-a:", "a value is missing; what clients do not get stands under remove"),
        ("set", "x-a: ${http.request.body.raw}", "the body of the request cannot stand in a header"),
        ("set", "x-a: b\u00fc", "the value of a header is a line of printable ASCII"),
        ("set", "x a: b", "expected the name of a header, a colon and its value"),
        ("set", "\n    x-a: 1\n    X-A: 2", "x-a is set twice: what stands beside another is added"),
        ("remove", "x@y(", "expected the name of a header"),
        ("hsts", "yes", "expected off, or max-age=SECONDS; includeSubDomains; preload (RFC 6797)"),
        ("hsts", "max-age=1\n    x: y", "expected off, or max-age=SECONDS; includeSubDomains; preload (RFC 6797)"),
        ("status", "99", "expected a status from 100 to 599, or a range such as 500-599"),
        ("status", "600", "expected a status from 100 to 599, or a range such as 500-599"),
        ("status", "500-400", "expected a status from 100 to 599, or a range such as 500-599"),
        ("error-page", "404", 'expected statuses, a colon, and a file or a "text"'),
        ("error-page", ": good.html", 'expected statuses, a colon, and a file or a "text"'),
        ("error-page", '399: "x"', "an error has a status from 400 to 599"),
        ("error-page", '404: "x', "a text stands within quotes"),
        ("error-page", '404: ""', "a text stands within quotes"),
        ("error-page", '\n    404: "x"\n    400-410: "y"', "404 has a page of this media type already"),
        ("error-page", "404: page.php", "the ending of the file says its media type: .html, .htm, .json,"),
        ("error-page", "404: nowhere.html", "nowhere.html: No such file or directory"),
        ("error-page", "404: wrong.html", "wrong.html, line 2: there is no field nonsense"),
        ("error-page", "404: script.html", "within a tag, a script or a style no escaping would be safe"),
        ("error-page", "404: broken.json", "in JSON a text or an address stands within quotes"),
        ("error-page", "404: body.txt", "a page cannot show the body of the request: it may not have been read"),
        ("error-page", "404: latin.txt", "latin.txt is not UTF-8"),
        ("error-page", "404: large.txt", "large.txt is too large: a page has at most 1m"),
        ("error-page", "500-599: status.html", "status.html is too large: a page with ${http.response.code} in it has"),
        ("origin-errors", "drop", "expected one of replace, keep"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_error(pki: PKI, key: str, value: str, sentence: str) -> None:
    """With its key, and in words that say what to do."""
    with pytest.raises(ConfigurationError) as error:
        read(pki, **{key: value})
    assert f"[response-rules site] {key}: " in str(error.value)
    assert sentence in str(error.value)


def test_what_contradicts_itself_is_an_error(pki: PKI) -> None:
    """Of two keys nobody could say which one holds."""
    with pytest.raises(ConfigurationError, match="x-a is set, which replaces the origin's already"):
        read(pki, set="X-A: 1", remove="x-a")
    with pytest.raises(ConfigurationError, match="it holds for every answer"):
        read(pki, set="X-A: 1", status="200", hsts="off")


@pytest.mark.parametrize(
    "hsts", ["off", "max-age=0", 'max-age="1"; includesubdomains', "max-age=1; includeSubDomains; preload"]
)
def test_rules_that_can_be_used_have_no_warning(pki: PKI, hsts: str) -> None:
    """As a whole."""
    configuration = read(
        pki, set="\n X-A: ${cf.ray_id}\n X-B: b", add="Vary: Accept-Language", remove="server, X-Powered-By", hsts=hsts,
        error_page='\n 404 500-599: good.html\n 404: "Nothing."',
    )  # fmt: skip
    assert [each for each in configuration.warnings if "response-rules" in each.section] == []


def test_rules_that_nobody_names_are_reported(pki: PKI) -> None:
    """They have no effect."""
    configuration = Configuration.from_text(ini(1, {"response-rules site": {"set": "X-A: 1"}}), pki.folder, {})
    assert [each.sentence for each in configuration.warnings if "site" in each.section] == [
        "nothing refers to this section"
    ]


def test_a_page_is_as_it_is_written_but_for_its_values(pki: PKI) -> None:
    """Backslashes and dollar signs too, for it may have scripts in it."""
    text = "<script>a = '\\n' + `\\${b}` + '$5' + \"\\\\\"</script>"
    assert Page.of(text, "text/html").body.render(None) == text.replace("\\${", "${").encode()  # type: ignore[arg-type]


def test_a_file_that_is_gone_is_no_fault_of_a_reload(pki: PKI, tmp_path: pathlib.Path) -> None:
    """What it held stays in use, and that is said."""
    file, page = tmp_path / "node.ini", tmp_path / "page.txt"
    page.write_text("old")
    rules = {"error-page": f"404: {page}"}
    text = ini(1, {
        "response-rules site": rules, "response-rules bare": {"error-page": '500: "x"'},
        "path-map all": {"response-rules": "site bare"},
    })  # fmt: skip
    for name in ("edge.pem", "edge.key", "edge-client.pem", "edge-client.key", "clients.pem", "servers.pem"):
        text = text.replace(f"= {name}", f"= {pki.folder / name}")
    file.write_text(text)
    before = Configuration.load(file)
    assert Configuration.load(file, before).kept == ()
    page.unlink()
    after = Configuration.load(file, before)
    assert after.credentials.pages["site"] is before.credentials.pages["site"]
    assert "response-rules site" in after.kept
    with pytest.raises(ConfigurationError):
        Configuration.load(file)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", 1.0), (b" ", 1.0), (b"text/html", 1.0), (b"text/*;q=0.3", 0.3), (b"*/*;q=0.1,text/*;q=0.3", 0.3),
        (b"text/html;level=1;q=0.5", 0.5), (b"a/b", 0.0), (b"text/html;q=2", 0.0), (b"text/html;q=", 0.0),
        (b"text/html;q=-1", 0.0), (b"," * 30_000, 0.0), (b"text/html;q=1.000", 1.0), (b"\xff/\xfe", 0.0),
    ],
)  # fmt: skip
def test_the_quality_of_a_media_type(accept: bytes, expected: float) -> None:
    """That of the most precise range (RFC 9110, section 12.5.1); what is none counts for nothing."""
    assert quality(accept, "text/html") == expected


@pytest.mark.parametrize("text", ["200", "400-599", "404-404"])
def test_statuses_are_written_as_they_are_read(text: str) -> None:
    """What is written is read again as the same."""
    assert Statuses.from_text(str(Statuses.from_text(text))) == Statuses.from_text(text)
