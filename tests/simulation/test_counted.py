"""``edgenode explain`` of what counts: under which key, how much of which threshold, and why not."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest

from edgenode import __main__ as command
from edgenode.config.load import Configuration
from edgenode.simulation.heard_state import HeardState
from edgenode.simulation.simulator import Simulator
from tests.support.configurations import changed, write_server

INI = changed(
    {
        "hosts = shop.example": "hosts = www.test",
        "[path-map all]": "[path-map all]\nacl-profile = shop",
        "": """
[section one]
path = ^/one$

[section two]
path = ^/two$

[flow pair]
steps = one, two
tags  = taken

[flow elsewhere]
global = no
steps  = one, two

[rate-limit few]
key   = ip
limit =
    2 per 1m noted
    4 per 1m

[rate-limit after-pair]
include = flow:pair
limit   = 1 per 1m

[rate-limit by-hat]
key   = header.x-hat
limit = 1 per 1m

[rate-limit others]
key     = ip
exclude = ip:192-0-2-7
limit   = 1 per 1m

[rate-limit off]
active = no
limit  = 0 per 1m

[rate-limit failures]
key   = ip
count = status >= 500
limit = 3 per 1m

[rate-limit names]
key   = ip
count = distinct argument.name
limit = 2 per 1m

[dynamic-rule hats]
key   = header.x-hat
limit = 3 per 1m

[action noted]
type = monitor

[acl-profile shop]
allow = flow:pair
deny  = geo-country:nowhere args:3
""",
    }
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The configuration."""
    folder = write_server(tmp_path_factory.mktemp("counted"), "www.test")
    (folder / "edge.ini").write_text(INI)
    return folder / "edge.ini"


def told(file: pathlib.Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """What is told of a request."""
    assert command.main(["explain", str(file), *options, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def counts(found: dict[str, Any]) -> dict[str, Any]:
    """What each section has counted, or why not."""
    return {
        each["section"]: each["why"]
        if not each["counted"]
        else [
            (key["key"], key["taken"])
            if "taken" in key
            else (key["key"], *(line["count"] for line in key["thresholds"]))
            for key in each["keys"]
        ]
        for each in found["counted"]
    }


def test_everything_that_counts_is_told(file: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its header, in the order of judging: the key and the counts, or why it does not count."""
    found = told(file, capsys, "https://www.test/one?name=a")
    assert counts(found) == {
        "flow pair": [("ip: 192.0.2.7", 1)],
        "flow elsewhere": "global = no, and the path map does not name it",
        "dynamic-rule hats": "has no header.x-hat",
        "rate-limit few": [("ip: 192.0.2.7", 1, 1)],
        "rate-limit after-pair": "has none of the tags flow:pair",
        "rate-limit by-hat": "has no header.x-hat",
        "rate-limit others": "has the tag ip:192-0-2-7",
        "rate-limit off": "active = no",
        "rate-limit failures": [("ip: 192.0.2.7", 1)],
        "rate-limit names": [("ip: 192.0.2.7", 1)],
    }
    assert found["outcome"]["kind"] == "forward"
    assert "repeated" not in found
    assert counts(told(file, capsys, "https://www.test/"))["flow pair"] == "no step matches"
    assert counts(told(file, capsys, "https://www.test/"))["rate-limit names"] == "has no distinct argument.name"
    assert counts(told(file, capsys, "https://www.test/two"))["rate-limit after-pair"] == (
        "not without the tag of a flow, or with it"
    )


def test_a_request_that_is_repeated_comes_to_its_threshold(
    file: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is told is of the last time, with what became of all; as time goes by it begins anew."""
    found = told(file, capsys, "https://www.test/", "--repeat", "6")
    assert found["repeated"]["outcomes"] == [
        {"first": 1, "last": 4, "outcome": "forwarded"},
        {"first": 5, "last": 6, "outcome": "429"},
    ]
    (few,) = (each for each in found["counted"] if each["section"] == "rate-limit few")
    assert few["keys"][0]["thresholds"] == [
        {"limit": "2 per 1m", "count": 6, "over": True, "action": "noted"},
        {"limit": "4 per 1m", "count": 6, "over": True, "action": "rate-limit"},
    ]
    assert found["outcome"]["status"] == 429
    fields = dict(found["outcome"]["headers"])
    assert fields["retry-after"] == "60"
    assert fields["ratelimit"].startswith('"few 4 per 1m";r=0;t=60')
    assert {"tag": "limit:few", "from": "rate limit", "name": "few"} in found["tags"]
    assert [(each["action"], each["filter"], each["taken"]) for each in found["actions"]] == [
        ("rate-limit", "rate limit few", True),
        ("noted", "rate limit few", False),
    ]
    found = told(file, capsys, "https://www.test/", "--repeat", "6", "--every", "20s")
    assert found["outcome"]["kind"] == "forward"


def test_the_acl_profile_is_told(file: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What each list has found, and what decides."""
    found = told(file, capsys, "https://www.test/?a&b&c")
    assert found["acl"] == {
        "profile": "shop",
        "asked": True,
        "lists": {"allow": [], "deny": ["args:3"]},
        "decides": "deny: args:3",
        "action": "block",
    }
    assert {"tag": "acl:shop", "from": "ACL profile", "name": "shop"} in found["tags"]
    assert told(file, capsys, "https://www.test/")["acl"]["decides"] == ""


def test_a_quarantine_is_one_of_the_explanation(file: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who comes too often is held by it at once, and nobody else ever hears of that."""
    options = ("https://www.test/", "-H", "X-Hat: red", "--repeat", "5")
    found = told(file, capsys, *options)
    assert [run["outcome"] for run in found["repeated"]["outcomes"]] == ["forwarded", "429", "403"]
    held = [each for each in found["stages"] if each["stage"] == "quarantine"]
    assert [why["entry"] for each in held for why in each["reasons"]] == ["header.x-hat: red"]
    assert {"tag": "quarantine", "from": "quarantine", "name": "dynamic-rule hats"} in found["tags"]


def test_no_state_of_a_node_is_touched(file: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The explanation counts in a state of its own, from nothing."""
    configuration = Configuration.load(file)
    simulator = Simulator.of(configuration)
    assert isinstance(simulator.configuration.state, HeardState)
    assert simulator.configuration.state is simulator.state is not configuration.state
    for _ in range(2):
        assert counts(told(file, capsys, "https://www.test/"))["rate-limit few"] == [("ip: 192.0.2.7", 1, 1)]


def test_who_has_solved_a_challenge_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stage puts on the tag that filters look for, and both evaluations see it."""
    write_server(tmp_path, "www.test")
    rules = "[global-filter b]\ntag = bot\ntags = program\n[acl-profile shop]\ndeny-bot = program\n"
    ini = changed({"hosts = shop.example": "hosts = www.test", "[path-map all]": "[path-map all]\nacl-profile = shop"})
    (tmp_path / "edge.ini").write_text(f"{ini}\n{rules}")
    found = told(tmp_path / "edge.ini", capsys, "https://www.test/")
    assert found["agrees"]
    assert {"tag": "bot", "from": "stage", "name": "challenge"} in found["tags"]
    assert {"tag": "program", "from": "global filter", "name": "b"} in found["tags"]
    assert (found["acl"]["decides"], found["acl"]["action"]) == ("deny-bot: program", "challenge")
    assert [(each["action"], each["filter"], each["taken"]) for each in found["actions"]] == [
        ("challenge", "ACL profile shop", True),
    ]


def test_people_read_it(file: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each section."""
    assert command.main(["explain", str(file), "https://www.test/one?name=a", "--repeat", "3"]) == 0
    text = capsys.readouterr().out
    for line in (
        "flow pair                1 of 2 steps taken, matches one (ip: 192.0.2.7)",
        "rate-limit few           3 of 2 per 1m, over -> noted (ip: 192.0.2.7)",
        "rate-limit few           3 of 4 per 1m (ip: 192.0.2.7)",
        "rate-limit by-hat        not counted: has no header.x-hat",
        "rate-limit names         1 distinct argument.name of 2 per 1m (ip: 192.0.2.7)",
        "rate-limit failures      1 status >= 500 with one more, if the answer is one, of 3 per 1m (ip: 192.0.2.7)",
        "1 to 3  forwarded",
        "decides  nothing: the request passes",
    ):
        assert re.search(rf"^  {re.escape(line)}$".replace("\\ \\ ", " +"), text, re.MULTILINE), (line, text)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--repeat", "0"), "--repeat: expected a number from 1 to 100000"),
        (("--repeat", "100001"), "--repeat: expected a number from 1 to 100000"),
        (("--every", "soon"), "--every: "),
    ],
)
def test_what_cannot_be_repeated_is_refused(
    file: pathlib.Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], sentence: str
) -> None:
    """With a sentence, and status 1."""
    assert command.main(["explain", str(file), "https://www.test/", *options]) == 1
    assert sentence in capsys.readouterr().err
