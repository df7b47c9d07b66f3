"""``[action]`` as it is written: what is wrong is shown where it stands, and what the page on actions shows works."""

from __future__ import annotations

import pathlib
import re
import textwrap

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.support.configurations import MINIMAL, write_server

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "actions.rst"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The certificate of the node."""
    return write_server(tmp_path_factory.mktemp("pki"))


def wrong(folder: pathlib.Path, *lines: str) -> list[str]:
    """What is wrong with an action of these lines."""
    with pytest.raises(ConfigurationError) as refused:
        Configuration.from_text("\n".join((MINIMAL, "[action a]", *lines, "")), folder, {})
    return [str(problem) for problem in refused.value.problems if not problem.warning]


WRONG = {
    "a field in a body of several lines": (
        ("type = block", "body =", "    one", "    two ${ip.scr}"),
        "[action a] body: there is no field ip.scr",
        "two ${ip.scr}",
        "${ip.scr}",
    ),
    "a value within a tag": (
        ("type = block", "content-type = text/html", "body =", "    <p>", '    <a href="${http.referer}">'),
        "[action a] body: a value stands between tags",
        '<a href="${http.referer}">',
        "${http.referer}",
    ),
    "a value in the host": (
        ("type = redirect", "location = https://${http.host}/"),
        "[action a] location: the host is fixed",
        "https://${http.host}/",
        "${http.host}",
    ),
    "a value in a header": (
        ("type = block", "headers =", "    x-a: 1", "    x-b: ${nope}"),
        "[action a] headers: there is no field nope",
        "x-b: ${nope}",
        "nope",
    ),
    "a hop-by-hop header": (
        ("type = monitor", "headers = Connection: close"),
        "[action a] headers: this is of one hop",
        "connection: close",
        "connection",
    ),
    "a status of another type": (
        ("type = redirect", "location = /", "status = 300"),
        "[action a] status: that of an",
        "300",
        "300",
    ),
    "a scope of another type": (("type = block", "skip = acl flows"), "[action a] skip: has no", "acl flows", "acl"),
    "a tag of the node": (("type = block", "tags = a ip:1"), "[action a] tags: the tag ip:1", "a ip:1", "ip:1"),
    "no media type": (("type = block", "content-type = html"), "[action a] content-type: expected", "html", "html"),
    "a scope of no stage": (
        ("type = skip", "skip = acl everything"),
        "[action a] skip: expected one of inspection, quarantine, flows, dynamic-rules, rate-limits, acl, "
        "content-filter",
        "acl everything",
        "everything",
    ),
}


def test_a_redirection_without_a_location_is_told_without_a_value(folder: pathlib.Path) -> None:
    """Nothing is written that could be shown."""
    found = wrong(folder, "type = block", "status = 301")
    assert found == ["[action a] location: an action with the status 301 needs one"]


@pytest.mark.parametrize(("lines", "sentence", "shown", "place"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_shown_where_it_stands(
    folder: pathlib.Path, lines: tuple[str, ...], sentence: str, shown: str, place: str
) -> None:
    """The key, the line, and a caret under the place."""
    (found,) = wrong(folder, *lines)
    assert found.startswith(sentence)
    _, line, caret = found.split("\n")
    assert line == f"    {shown}"
    assert caret.index("^") - 4 in range(shown.index(place), shown.index(place) + 3)


@pytest.mark.parametrize("kind", ["block", "redirect", "monitor"])
@pytest.mark.parametrize("name", ["Transfer-Encoding", "content-length", "Via", "TE", "Keep-Alive"])
def test_no_action_sets_what_is_of_one_hop_or_of_the_framing(folder: pathlib.Path, kind: str, name: str) -> None:
    """Neither towards the client nor towards the origin."""
    location = ["location = /"] if kind == "redirect" else []
    (found,) = wrong(folder, f"type = {kind}", *location, f"headers = {name}: x")
    assert found.startswith("[action a] headers: ")


@pytest.mark.parametrize(
    "name",
    """
    Client-Cert X-SSL-Client-Verify x-forwarded-client-cert SSL_CLIENT_VERIFY Host X-Request-Id Expect X-Forwarded-For
    Forwarded
    """.split(),  # noqa: SIM905
)
def test_no_action_tells_the_origin_what_the_node_tells_it(folder: pathlib.Path, name: str) -> None:
    """A header that claims a certificate is the node's alone, in every spelling; so are those that it writes itself."""
    assert len(wrong(folder, "type = monitor", f"headers = {name}: x")) == 1


def test_what_the_node_only_takes_from_nobody_may_be_set(folder: pathlib.Path) -> None:
    """X-Real-IP never arrives from a client, so the configuration may say what it is."""
    text = f"{MINIMAL}[action a]\ntype = monitor\nheaders = X-Real-IP: ${{ip.src}}\n"
    assert Configuration.from_text(text, folder, {}).actions["a"].headers[0].name == "x-real-ip"


@pytest.mark.parametrize("kind", ["block", "redirect"])
@pytest.mark.parametrize("name", ["content-type", "location", "cache-control"])
def test_an_answer_keeps_its_own_headers(folder: pathlib.Path, kind: str, name: str) -> None:
    """They have keys of their own, or must be as they are."""
    location = ["location = /"] if kind == "redirect" else []
    (found,) = wrong(folder, f"type = {kind}", *location, f"headers = {name}: x")
    assert found.startswith("[action a] headers: ")


def test_what_the_page_on_actions_shows_can_be_used(folder: pathlib.Path) -> None:
    """Every example, as it stands."""
    blocks = re.findall(r"\.\. code-block:: ini\n\n((?:(?:    .*)?\n)+)", PAGE.read_text())
    assert len(blocks) == 3
    for block in blocks:
        warnings = Configuration.from_text(f"{MINIMAL}\n{textwrap.dedent(block)}", folder, {}).warnings
        assert {problem.sentence for problem in warnings} <= {"nothing refers to this section"}
