"""System-managed filters, and the effective configuration that shows them."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.__main__ import main
from edgenode.config.effective import effective
from edgenode.config.load import Configuration
from edgenode.config.system_filters import is_system, shipped
from edgenode.model.decision import Decision
from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Body, Exchange
from tests.support.configurations import changed, write_server
from tests.support.requests import request_of
from tests.support.strategies import CONNECTION

BASE = changed({"key = server.key": "key = server.key\npassphrase = ${PASSPHRASE}"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A certificate whose key has a passphrase."""
    return write_server(tmp_path_factory.mktemp("pki"), passphrase=b"s3cret")


def load(folder: pathlib.Path, more: str = "") -> Configuration:
    """The base with the passphrase, and more."""
    return Configuration.from_text(BASE + more, folder, {"PASSPHRASE": "s3cret"})


def decide(configuration: Configuration, *lines: str, client: str = "192.0.2.7", body: Body | None = None) -> Decision:
    """The decision for a request with this head."""
    first, *fields = lines or ("GET / HTTP/1.1",)
    request = request_of(first, *fields, host="shop.example").with_body(body)
    decision = configuration.pipeline("all").decide(Exchange(CONNECTION, request, client))
    assert isinstance(decision, Decision)
    return decision


TAGGED = [
    ("lets-encrypt", "192.0.2.7", ("GET /.well-known/acme-challenge/x HTTP/1.1",), True),
    ("lets-encrypt", "192.0.2.7", ("GET /x/.well-known/acme-challenge/x HTTP/1.1",), False),
    ("loopback", "127.0.0.1", (), True),
    ("loopback", "::1", (), True),
    ("loopback", "128.0.0.1", (), False),
    ("private-address", "10.1.2.3", (), True),
    ("private-address", "172.31.0.1", (), True),
    ("private-address", "172.32.0.1", (), False),
    ("private-address", "fd00::1", (), True),
    ("private-address", "192.0.2.7", (), False),
    ("private-address", "100.64.0.1", (), True),
    ("scanner", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent: sqlmap/1.7 (https://sqlmap.org)"), True),
    ("scanner", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent: Mozilla/5.00 (Nikto/2.1.6)"), True),
    ("scanner", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent: Fuzz Faster U Fool v2.1.0"), True),
    ("scanner", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"), False),
    ("scanner", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent: curl/8.5"), False),
    ("no-user-agent", "192.0.2.7", (), True),
    ("no-user-agent", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent:"), True),
    ("no-user-agent", "192.0.2.7", ("GET / HTTP/1.1", "User-Agent: x"), False),
    ("http-version:1-0", "192.0.2.7", ("GET / HTTP/1.0",), True),
    ("http-version:1-0", "192.0.2.7", (), False),
    ("websocket", "192.0.2.7", ("GET / HTTP/1.1", "Upgrade: WebSocket", "Connection: Upgrade"), True),
    ("websocket", "192.0.2.7", ("GET / HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade"), False),
]


@pytest.mark.parametrize(("tag", "client", "lines", "there"), TAGGED)
def test_the_node_knows_some_requests_by_itself(
    folder: pathlib.Path, tag: str, client: str, lines: tuple[str, ...], there: bool
) -> None:
    """Each system-managed filter puts its tag on, and takes no action."""
    decision = decide(load(folder), *lines, client=client)
    assert (tag in decision.tags) is there
    assert decision.action is None


def test_every_shipped_filter_is_the_systems_and_only_tags(folder: pathlib.Path) -> None:
    """Their names tell them apart; what they would do beyond tagging is inactive."""
    configuration = load(folder)
    assert configuration.warnings == ()
    assert list(configuration.global_filters) == list(shipped())
    for name, filter in configuration.global_filters.items():
        assert is_system(name)
        assert filter.description
        assert filter.action is None or not filter.active


def test_they_look_at_the_head_of_a_request_alone(folder: pathlib.Path) -> None:
    """No body is held back for them."""
    pipeline = load(folder).pipeline("all")
    assert pipeline.needs == frozenset()
    decision = pipeline.decide(Exchange(CONNECTION))
    assert isinstance(decision, Decision)


def test_a_filter_is_changed_key_by_key(folder: pathlib.Path) -> None:
    """What the file does not say stays as it was shipped; a key with entries replaces all of that key."""
    scanner = ("GET / HTTP/1.1", "User-Agent: sqlmap/1.7")
    changed = load(folder, "[global-filter system.scanners]\naction = block\ntags = scanner known\n")
    decision = decide(changed, *scanner)
    assert decision.action is not None
    assert decision.action.name == "block"
    assert {"scanner", "known"} <= decision.tags
    off = load(folder, "[global-filter system.scanners]\nactive = no\n")
    assert "scanner" not in decide(off, *scanner).tags
    mine = load(folder, "[global-filter system.scanners]\nheader.user-agent = ^mine\n")
    assert "scanner" not in decide(mine, *scanner).tags
    assert "scanner" in decide(mine, "GET / HTTP/1.1", "User-Agent: mine").tags


def test_what_is_hidden_behind_the_limit_can_be_forbidden(folder: pathlib.Path) -> None:
    """The filter on truncated bodies is shipped, and waits to be activated."""
    body = Body(b"x", 9, truncated=True)
    assert decide(load(folder), body=body).action is None
    active = load(folder, "[global-filter system.truncated-bodies]\nactive = yes\n")
    assert decide(active).action is None
    refused = decide(active, body=body).action
    assert refused is not None
    assert refused.name == "block"


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (("GET / HTTP/1.1", "X-HTTP-Method-Override: DELETE"), True),
        (("GET / HTTP/1.1", "x-method-override: PUT"), True),
        (("GET / HTTP/1.1", "X-Http-Method: PATCH"), True),
        (("GET /?_method=%0adelete HTTP/1.1",), True),
        (("GET /?method=delete HTTP/1.1", "X-Method: PUT"), False),
    ],
)
def test_requests_for_another_method_can_be_forbidden(
    folder: pathlib.Path, lines: tuple[str, ...], refused: bool
) -> None:
    """The filter on overridden methods is shipped, and waits to be activated."""
    assert decide(load(folder), *lines).action is None
    active = load(folder, "[global-filter system.method-override]\nactive = yes\n")
    assert (decide(active, *lines).action is not None) is refused


@pytest.mark.parametrize(
    ("kind", "body", "refused"),
    [
        ("application/x-www-form-urlencoded", b"_method=delete", True),
        ("application/json", b'{"_method": "DELETE"}', True),
        ("application/x-www-form-urlencoded", b"X-HTTP-Method-Override=DELETE", True),
        ("application/x-www-form-urlencoded", b"_METHOD=DELETE", True),
        ("application/json", b'{"method": "DELETE"}', False),
    ],
)
def test_another_method_is_asked_for_in_bodies_too(folder: pathlib.Path, kind: str, body: bytes, refused: bool) -> None:
    """In what a filter on methods finds with ``readings = method-override json``: Laravel looks for it in JSON."""
    lines = ("POST / HTTP/1.1", f"Content-Type: {kind}")
    active = load(folder, "[global-filter system.method-override]\nactive = yes\n")
    assert (decide(active, *lines, body=Body(body, len(body))).action is not None) is refused
    mine = "[global-filter mine]\naction = block\nmethod = ^DELETE$\nreadings = method-override json\n"
    assert (decide(load(folder, mine), *lines, body=Body(body, len(body))).action is not None) is refused


@pytest.mark.parametrize("word", ["no", "off", "false"])
def test_all_of_them_are_switched_off_by_one_key(folder: pathlib.Path, word: str) -> None:
    """Those too that the file changes, of which there is a warning."""
    configuration = load(folder, f"[edge]\nsystem-filters = {word}\n[global-filter system.scanners]\ntags = mine\n")
    assert not any(filter.active for filter in configuration.global_filters.values())
    assert decide(configuration, "GET / HTTP/1.1", "User-Agent: sqlmap").reasons == ()
    sentence = "is not judged, for [edge] system-filters is no; with active = yes it is all the same"
    assert f"warning: [global-filter system.scanners]: {sentence}" in map(str, configuration.warnings)


def test_one_of_them_can_be_kept(folder: pathlib.Path) -> None:
    """What the file says of one filter is stronger than what it says of all."""
    kept = "[global-filter system.scanners]\nactive = yes\naction = block\n"
    configuration = load(folder, f"[edge]\nsystem-filters = no\n{kept}")
    assert [name for name, each in configuration.global_filters.items() if each.active] == ["system.scanners"]
    assert decide(configuration, "GET / HTTP/1.1", "User-Agent: sqlmap").action is not None
    assert not any("system-filters" in problem.sentence for problem in configuration.warnings)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("system.scaners", '; did you mean "system.scanners"?'),
        ("System.scanners", '; did you mean "system.scanners"?'),
        ("system.zzzzzzzzzzzzzzz", ""),
    ],
)
def test_a_filter_of_ones_own_is_not_called_like_the_systems(folder: pathlib.Path, name: str, near: str) -> None:
    """A misspelt name changes nothing in silence."""
    with pytest.raises(ConfigurationError) as refused:
        load(folder, f"[global-filter {name}]\ntags = x\npath = x\n")
    sentence = f"[global-filter {name}]: names with system. are the system's, and it has no such filter{near}"
    assert [str(problem) for problem in refused.value.problems] == [sentence]


def test_a_wrong_change_is_reported_where_it_was_written(folder: pathlib.Path) -> None:
    """With the section of the file, and in its order."""
    with pytest.raises(ConfigurationError) as refused:
        load(folder, "[global-filter system.scanners]\naction = blok\n[origin shop2]\nserver = x\n")
    headers = [problem.section for problem in refused.value.problems]
    assert headers == ["global-filter system.scanners", "origin shop2", "origin shop2"]


# -- what is in effect -------------------------------------------------------------------------------------------------

CHANGES = """
[edge]
mode = monitoring

[global-filter system.scanners]
action = teapot

[global-filter writes]
tags   = w
method =
    ^POST$    # create
    ^PUT$     # replace
expression = http.host eq "a#b"
    or ssl

[action teapot]
type   = block
status = 418
body   =
    ${ip.src}

    is no teapot
headers = x-one: 1
"""


def test_the_effective_configuration_means_the_same(folder: pathlib.Path) -> None:
    """Read again every section is equal, with defaults written out, lines and annotations kept."""
    configuration = load(folder, CHANGES)
    text = BASE + CHANGES
    written = effective(configuration, text)
    again = Configuration.from_text(written, folder, {"PASSPHRASE": "s3cret"})
    assert dict(again.written()) == dict(configuration.written())
    assert again.rules.actions == configuration.rules.actions


def test_the_effective_configuration_shows_what_the_file_does_not(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's filters with what is changed of them, the modes that hold, and secrets as they are written."""
    text = BASE + CHANGES
    path = folder / "effective.ini"
    path.write_text(text)
    monkeypatch.setenv("PASSPHRASE", "s3cret")
    assert main(["check", str(path), "--effective"]) == 0
    shown = capsys.readouterr().out
    assert "# system-managed\n[global-filter system.lets-encrypt]" in shown
    assert "# system-managed, changed: action\n[global-filter system.scanners]" in shown
    assert "# mode for [server-group shop]: monitoring\n[path-map all]" in shown
    assert "passphrase = ${PASSPHRASE}\n" in shown
    assert "s3cret" not in shown
    assert "\nfailure = closed\n" in shown
    assert "\n    ^POST$    # create\n" in shown
    assert "# predefined actions: skip, block, close, challenge, monitor, rate-limit\n" in shown


def test_check_counts_the_filters_of_the_file(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the system are not the author's."""
    path = folder / "counted.ini"
    path.write_text(changed({"": "[edge]\nevents = off", "key = server.key": "key = server.key\npassphrase = s3cret"}))
    assert main(["check", str(path)]) == 0
    assert ", 0 global filters, 0 warnings" in capsys.readouterr().out
