"""The examples of content filters: what becomes of each request, and of what was recorded, with the filter as it is and
with the filter tuned."""

from __future__ import annotations

import pathlib
import shutil

import pytest

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
