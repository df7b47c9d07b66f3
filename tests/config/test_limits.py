"""``[rate-limit]`` as it is written: what is wrong is shown where it stands, and what the page shows works."""

from __future__ import annotations

import pathlib
import re
import textwrap

import pytest

from edgenode.config.effective import effective
from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import ConfigurationError
from edgenode.testing.exchanges import exchange_of
from tests.support.configurations import MINIMAL, write_server

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "rate-limits.rst"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The certificate of the node."""
    return write_server(tmp_path_factory.mktemp("pki"))


def found(folder: pathlib.Path, text: str) -> list[str]:
    """Every problem of a limit of these lines, warnings too."""
    text = f"{MINIMAL}\n[rate-limit a]\n{textwrap.dedent(text)}\n"
    try:
        return [str(problem) for problem in Configuration.from_text(text, folder, {}).warnings]
    except ConfigurationError as refused:
        return [str(problem) for problem in refused.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("key = ip", "limit: this key is required"),
        ("limit = 5 per 1x", "limit: expected a duration such as 250ms, 5s, 10m, 24h or 7d\n    5 per 1x\n          ^"),
        ("limit = 5 per 0s", "limit: a period is more than 0 and at most 366d\n    5 per 0s\n          ^"),
        (
            "limit = 5 per 1m\n    9 per 1h bann\n[action ban]\ntype = block",
            'limit: there is no [action bann]; did you mean "ban"?\n    9 per 1h bann\n             ^',
        ),
        ("limit = 5k per 1m", "limit: only bytes are written with a unit"),
        ("limit =\n    5k per 1m", "limit: only bytes are written with a unit: 5120\n    5k per 1m\n    ^"),
        ("limit = 5 per 1m\n    5 per 60s block", "limit: 5 per 1m stands there twice"),
        (
            "limit = 1 per 1m\nkey = ip, argumant.user",
            "key: there is no category argumant; did you mean argument?\n    ip, argumant.user\n        ^",
        ),
        ("limit = 1 per 1m\nkey = ip/99/64", "key: the prefix lengths are one up to 32 and one up to 128"),
        ("limit = 1 per 1m\nkey = http.request.headers", "has values by names"),
        ("limit = 1 per 1m\nkey = country", "looks at where a client is, which nobody knows"),
        ("limit = 1 per 1m\ninclude = geo-country:germany", "looks at where a client is, which nobody knows"),
        ("limit = 1 per 1m\ninclude = Slow", "include: a tag has only a-z"),
        ("limit = 1 per 1m\ninclude = x\nexclude = x", "exclude: what it includes it excludes"),
        ("limit = 1 per 1m\nexclude = all", "exclude: every request has the tag all, and so nothing is counted"),
        ("limit = 1 per 1m\ncount = status < 101", "count: no answer has such a status"),
        ("limit = 1 per 1m\ncount = status = 102", "count: no answer has such a status"),
        ("limit = 1 per 1m\nwindow = sliding\ncount = distinct method", "window: distinct values are counted in fixed"),
        ("limit = 1 per 1m\ncount = status >= 4xx", "count: expected requests, bytes, a status"),
        ("limit = 1 per 1m\nwindow = slide", "window: expected one of fixed, sliding"),
        ("limit = 1 per 1m\ntags = ip:1", "tags: the tag ip:1 is set by the node alone"),
        (
            "limit = 1 per 1m\n[path-map other]\norigin = shop\nrate-limits = b",
            "rate-limits: there is no [rate-limit b]",
        ),
    ],
)
def test_what_is_wrong_is_an_error_with_its_place(folder: pathlib.Path, text: str, problem: str) -> None:
    """Key and caret."""
    with pytest.raises(ConfigurationError) as refused:
        Configuration.from_text(f"{MINIMAL}\n[rate-limit a]\n{text}\n", folder, {})
    assert any(problem in str(each) for each in refused.value.problems if not each.warning), refused.value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limit = 5 per 1m\n    9 per 1m", "9 per 1m\n    ^"),
        ("limit = 9 per 1m monitor\n    5 per 1m", "9 per 1m monitor\n    ^"),
        ("limit = 5 per 1m\n    9 per 1m ban\nban = 1m\n[action ban]\ntype = block\npriority = 900", "9 per 1m ban"),
        (
            "limit = 5 per 1m skip",
            "lets through who is over, for skip forwards at once\n    5 per 1m skip\n             ^",
        ),
        ("limit = 5 per 1m monitor\nban = 10m", "ban: has no effect: no threshold refuses"),
        ("limit = 1 per 1m\nkey = tag.nosuch", "key: nothing sets the tag nosuch before this is counted"),
        ("limit = 1 per 1m\nkey = ip, tag.flow", "key: nothing sets the tag flow before this is counted"),
        ("limit = 1 per 1m\nkey = certificate.fingerprint", "key: looks at client certificates, and no server group"),
        ("limit = 1 per 1m\ncount = distinct certificate.subject", "count: looks at client certificates, and no"),
        ("limit = 5 per 1m\ninclude = all nope", "include: nothing sets the tag nope\n    all nope\n    ^"),
        ("limit = 5 per 1m\nexclude = nope", "exclude: nothing sets the tag nope"),
        ("limit = 5 per 1m\nexclude = limit:a", "exclude: the tag limit:a is that of [rate-limit a], and put on only"),
        ("limit = 5 per 1m\nkey = header.X-Forwarded-For", "key: any client can write what it likes into it"),
        ("limit = 5 per 1m\nglobal = no", "[rate-limit a]: nothing refers to this section"),
    ],
)
def test_what_is_doubtful_is_a_warning(folder: pathlib.Path, text: str, problem: str) -> None:
    """One, with its place."""
    (warning,) = found(folder, text)
    assert problem in warning


@pytest.mark.parametrize(
    "text",
    [
        "limit = 5 per 1m\n    100 per 1h ban\n[action ban]\ntype = close",
        "limit = 5 per 1m monitor\n    9 per 1m",
        "limit = 9 per 1m\n    5 per 1m monitor",
        "limit = 5 per 1m\ninclude = all\nexclude = mtls:verified ip:192-0-2-7 quarantine action:monitor",
        "limit = 5 per 1m\nexclude = slow\n[global-filter a]\ntags = slow\npath = /slow",
    ],
)
def test_what_does_what_it_says_is_told_nothing(folder: pathlib.Path, text: str) -> None:
    """An action that a threshold names is in use."""
    assert found(folder, text) == []


def test_a_path_map_that_names_a_limit_of_all_is_told_so(folder: pathlib.Path) -> None:
    """It counts once there, not twice."""
    text = MINIMAL.replace("[path-map all]", "[path-map all]\nrate-limits = b a")
    text += "\n[rate-limit a]\nlimit = 1 per 1m\n[rate-limit b]\nlimit = 1 per 1m\nglobal = no\n"
    configuration = Configuration.from_text(text, folder, {})
    (warning,) = configuration.warnings
    assert "[rate-limit a] global: holds everywhere, also where no path map names it" in str(warning)
    decision = configuration.pipeline("all").decide(exchange_of("GET", "https://shop.example/"))
    assert isinstance(decision, Decision)
    assert dict(decision.headers)[b"ratelimit"] == b'"a";r=0;t=60, "b";r=0;t=60'


def test_counts_outlive_a_reload(folder: pathlib.Path) -> None:
    """Where a limit stays the same, or another changes."""
    text = f"{MINIMAL}\n[rate-limit a]\nlimit = 1 per 1m\n"
    before = Configuration.from_text(text, folder, {})
    before.pipeline("all").decide(exchange_of("GET", "https://shop.example/"))
    (folder / "node.ini").write_text(f"{text}[rate-limit b]\nlimit = 5 per 1m\n")
    decision = (
        Configuration.load(folder / "node.ini", before)
        .pipeline("all")
        .decide(exchange_of("GET", "https://shop.example/"))
    )
    assert isinstance(decision, Decision)
    assert "limit:a" in decision.tags
    assert dict(decision.headers)[b"ratelimit"].startswith(b'"a";r=0;t=60, "b";r=4;')


def test_a_limit_is_written_as_it_is_read(folder: pathlib.Path) -> None:
    """With all that it says without a key."""
    section = (
        "[rate-limit a]\nkey = ip/24/56, header.x-key\nlimit = 5 per 1m\n    10m per 1h block\ncount = bytes\n"
        "window = sliding\nban = 10m\n"
    )
    configuration = Configuration.from_text(f"{MINIMAL}\n{section}", folder, {})
    written = effective(configuration, "").partition("[rate-limit a]")[2].partition("\n\n")[0]
    again = Configuration.from_text(f"{MINIMAL}\n[rate-limit a]{written}", folder, {})
    assert again.rate_limits == configuration.rate_limits
    assert "key = ip/24/56, header.x-key" in written


def test_what_the_page_shows_can_be_used(folder: pathlib.Path) -> None:
    """Every example, as it stands."""
    blocks = re.findall(r"\.\. code-block:: ini\n\n((?:(?:    .*)?\n)+)", PAGE.read_text())
    assert blocks
    for block in blocks:
        text = textwrap.dedent(block)
        minimal = MINIMAL if "[path-map" not in text else MINIMAL.replace("path-maps = all", "path-maps = api all")
        warnings = Configuration.from_text(f"{minimal}\n{text}", folder, {}).warnings
        warnings = tuple(each for each in warnings if "no server group asks for one" not in each.sentence)
        assert not warnings, "\n".join(map(str, warnings))
