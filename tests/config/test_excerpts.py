"""What of a file is for a part of the program: its sections, those that they name, and nothing else."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.config import ini
from edgenode.config.data import KINDS
from edgenode.config.excerpts import of_observer, of_origin
from edgenode.config.load import Written, load_observer
from edgenode.model.errors import ConfigurationError
from tests.support.certificates import CLIENT, make_authority

TEXT = """\
[edge]
name = edge-7

[listener public]
endpoint = nonsense

[certificate of-origin]
chain = client.pem
key = client.key

[certificate other]
chain = nowhere.pem
key = nowhere.key

[trust-store collectors]
authorities = authority.pem

[origin collector]
servers = https://collector.example:443
certificate = of-origin
trust-store = collectors

[origin shop]
servers = https://shop.example:443
certificate = other

[journal]
folder = .

[exporter siem]
type = webhook
origin = collector
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the files are that the observer needs."""
    authority = make_authority("Collectors")
    authority.issue("edge", eku=[CLIENT]).write(tmp_path, "client")
    authority.write(tmp_path, "authority")
    return tmp_path


def headers(text: str) -> list[str]:
    """The sections for the observer."""
    written, _ = ini.read(text, KINDS)
    return [each.header for each in of_observer(written)]


def test_the_observer_has_what_its_sections_name() -> None:
    """And what these name: certificates and trust stores of origins; in the order of the file."""
    assert headers(TEXT) == [
        "edge",
        "certificate of-origin",
        "trust-store collectors",
        "origin collector",
        "journal",
        "exporter siem",
    ]


def test_an_origin_has_what_it_names() -> None:
    """No more than that."""
    written, _ = ini.read(TEXT, KINDS)
    assert [each.header for each in of_origin("shop")(written)] == ["edge", "certificate other", "origin shop"]


def test_a_section_that_is_named_and_not_there_is_left_out() -> None:
    """It is a problem of the section that names it."""
    assert headers("[journal]\n[exporter x]\norigin = nobody\n") == ["journal", "exporter x"]


def test_what_is_wrong_elsewhere_does_not_hold_up_the_observer(folder: pathlib.Path) -> None:
    """Another origin's certificate may be gone, and a listener be nonsense."""
    configuration = load_observer(Written(TEXT, str(folder), "edgenode.ini", {}))
    assert configuration.edge.name == "edge-7"
    assert [*configuration.origins] == ["collector"]
    assert configuration.journal.folder == folder
    assert [*configuration.exporters] == ["siem"]


def test_what_is_wrong_in_its_sections_is_an_error(folder: pathlib.Path) -> None:
    """With its place in the file."""
    with pytest.raises(ConfigurationError) as raised:
        load_observer(Written(TEXT.replace("origin = collector", "origin = nobody"), str(folder), "edgenode.ini", {}))
    (problem,) = raised.value.problems
    assert (problem.section, problem.key, problem.file) == ("exporter siem", "origin", "edgenode.ini")
