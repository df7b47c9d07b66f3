"""Rules that look at what is not there yet, or at names that do not exist, are errors of the configuration."""

from __future__ import annotations

import pathlib
import re

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.support.configurations import changed, write_server

BASE = changed({"path-maps = all": "path-maps = login, all"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A certificate for the server."""
    return write_server(tmp_path_factory.mktemp("pki"))


def problems(text: str, folder: pathlib.Path) -> list[str]:
    """What is wrong with a configuration, warnings left out."""
    try:
        Configuration.from_text(BASE + text, folder)
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems if not problem.warning]
    return []


LOGIN = "[path-map login]\norigin = shop\n"
TAGS = "looks for a tag and never finds one: tags are put on only after a path map is chosen"
BODY = "looks at the body of a request, which is read only after a path map is chosen; for the arguments of the query"
NAME = "looks for the name of a path map, and it is one that is chosen only now"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path = ^/login$", ""),
        ("query = ^a", ""),
        ("certificate.subject = ^CN=a", ""),
        ('expression = http.host eq "www.test"', ""),
        ("security-policy-name = shop", ""),
        ("tag = bot", TAGS),
        ("argument.a = b", BODY),
        ("method = ^GET$\nreadings = json any-case", ""),
        ("method = ^GET$\nreadings = method-override", BODY),
        ("sections = inner\n[section inner]\nmethod = ^GET$\nreadings = method-override", BODY),
        ("path-matching-name = login", NAME),
        ('expression = http.host eq "a" and any(edge.tags[*] == "bot")', TAGS),
        ("expression = len(http.request.body.raw) > 5", BODY),
        ('expression = edge.path_map eq "login"', NAME),
        ("sections = inner\n[section inner]\nargument.a = b", BODY),
        ('sections = inner\n[section inner]\nexpression = not edge.path_map eq "a"', NAME),
    ],
)
def test_a_path_map_is_chosen_by_the_head_of_a_request(text: str, expected: str, folder: pathlib.Path) -> None:
    """Tags, bodies and the name of the path map are not there yet: in entries, expressions and inner sections."""
    found = problems(LOGIN + text, folder)
    assert [line.partition(": ")[2][: len(expected)] for line in found] == [expected] * bool(expected)
    key = text.partition(" ")[0]
    assert all(re.match(rf"\[path-map login\] {key}: .*\n    .*\n    .*\^$", line) for line in found)


def test_a_filter_may_look_at_all_of_it(folder: pathlib.Path) -> None:
    """Filters are judged once a path map is chosen."""
    text = "[global-filter f]\naction = block\ntag = all\nargument.a = b\npath-matching-name = login\n"
    assert problems(LOGIN + text, folder) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("path-matching-name = logn", 'there is no [path-map logn]; did you mean "login"?\n    logn\n    ^'),
        ("security-policy-name = ! none", "there is no [security-policy none]\n    ! none\n      ^"),
    ],
)
def test_an_entry_names_a_section_that_exists(entry: str, expected: str, folder: pathlib.Path) -> None:
    """Else it could never match, or negated would always."""
    key = entry.partition(" ")[0]
    assert problems(f"{LOGIN}[global-filter f]\naction = block\n{entry}\n", folder) == [
        f"[global-filter f] {key}: {expected}"
    ]
