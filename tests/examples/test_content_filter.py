"""The examples of content filters: what becomes of each request, and of what was recorded, with the filter as it is and
with the filter tuned."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from edgenode import __main__ as command
from edgenode.config.load import Configuration
from edgenode.model.decision import Forward
from edgenode.simulation import tuning_text
from edgenode.simulation.scoring import scorings
from edgenode.simulation.simulator import Simulator
from edgenode.simulation.tuning import Tuning
from tests.support.certificates import SERVER, make_authority
from tests.support.filtered_examples import FOLDER, PAGES, events, examples, judged, reasons

OFFICE = "198.51.100."
"""Where the addresses of those begin whose requests are no attacks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The examples with a certificate."""
    folder = tmp_path_factory.mktemp("examples") / "content-filter"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("pki"))
    names = ["DNS:shop.example.com", "DNS:blog.example.com"]
    (folder / "pki").mkdir()
    make_authority("Example CA").issue("site", eku=[SERVER], sans=names).write(folder / "pki", "site")
    return folder


@pytest.mark.deadline(120)
@pytest.mark.parametrize(("file", "blocked"), [("edgenode.ini", {"block", "false", "lost"}), ("tuned.ini", {"block"})])
def test_every_request_becomes_what_stands_there(file: str, blocked: set[str], folder: pathlib.Path) -> None:
    """What customers, readers and editors do passes, as far as the file says; what attackers do is blocked."""
    simulator = Simulator.of(Configuration.load(folder / file))
    for each in (each for page in PAGES for each in examples(page)):
        found = judged(simulator, each)
        refused = found.refusal is not None or not isinstance(found.decision.outcome(found.exchange), Forward)
        assert refused == (each.word in blocked), (each, found.refusal, found.decision.reasons)


@pytest.mark.deadline(120)
def test_the_events_are_those_of_the_requests(folder: pathlib.Path) -> None:
    """The recorded events say of each request what the node says of it; ``filtered_examples`` writes them."""
    recorded = (folder / "events.jsonl").read_text().splitlines()
    again = list(events(Configuration.load(folder / "edgenode.ini")))
    assert list(map(reasons, recorded)) == list(map(reasons, again))


def test_the_tuned_file_has_the_lines_that_tuning_writes(folder: pathlib.Path) -> None:
    """What ``replay --tune`` proposes for the requests of the office is what stands in the tuned file."""
    configuration, tuned = (Configuration.load(folder / name) for name in ("edgenode.ini", "tuned.ini"))
    tuning = Tuning(scorings(configuration), lambda event: event["client"].startswith(OFFICE))
    for line in (folder / "events.jsonl").read_text().splitlines():
        tuning.take_line(line)
    for name, section in tuned.content_filters.items():
        proposed = [str(each.line) for each in tuning.proposals(name, 2)]
        assert proposed == list(map(str, section.exclude))
        assert section.exclude


def test_what_tuning_writes_is_read_as_it_is(folder: pathlib.Path) -> None:
    """The lines with their comments are sections of the file as they stand, but for the keys that were there before."""
    file = folder / "edgenode.ini"
    configuration = Configuration.load(file)
    tuning = Tuning(scorings(configuration), lambda event: True)
    for line in (folder / "events.jsonl").read_text().splitlines():
        tuning.take_line(line)
    written = "\n".join(tuning_text.lines(tuning_text.told(tuning, 2), configuration.content_filters))
    text = file.read_text().partition("[content-filter")[0] + written.replace("exclude =", "rules = builtin\nexclude =")
    again = Configuration.from_text(text, folder)
    assert all(section.exclude for section in again.content_filters.values())


def test_explain_has_a_line_for_every_rule(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every rule that matched stands there with its score, its place and what matched; the stage says how many."""
    url = "https://shop.example.com/?q=1'%20union%20select%20password%20from%20users--"
    assert command.main(["explain", str(folder / "edgenode.ini"), url, "--expect", "403"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "  content-filter  asked  shop: 2 rules matched -> block" in printed
    at = printed.index("rules of the content filter shop that matched")
    assert [line.split()[:2] for line in printed[at + 1 : at + 3]] == [
        ["5010010", "ARGS:q"],
        ["5099100", "TX:inbound_anomaly_score"],
    ]
    assert printed[at + 1].endswith("SQL: UNION SELECT: 1' union select password from users-- (score 5)")


def test_replay_writes_exclusions(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``replay --tune`` prints them as INI, or as JSON; an expression that is none, or no file, ends with 1."""
    ask = ["replay", str(folder / "edgenode.ini"), str(folder / "events.jsonl"), "--tune"]
    assert command.main(ask) == 0
    printed = capsys.readouterr().out
    assert "[content-filter shop]\nexclude =\n" in printed
    assert "\n    5040020 argument.json.message\n" in printed
    assert command.main([*ask, "--where", "ip.src in {198.51.100.0/24}", "--at-least", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["filters"]["shop"]
    assert [(each["line"], each["silences"], each["besides"]) for each in found["exclude"]] == [
        ("5040020 argument.json.message", 3, 1)
    ]
    assert found["exclude"][0]["other"]["client"] == "203.0.113.66"
    assert command.main([*ask, "--where", "ip.src is nice"]) == 1
    assert "^" in capsys.readouterr().err
    assert command.main([*ask[:2], str(folder / "nothing.jsonl"), "--tune"]) == 1
