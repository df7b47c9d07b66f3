"""``[challenge]`` in a file: its ranges, and the files of its secrets."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.config.challenge_keys import OWN
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.policy.challenge import Challenge
from edgenode.policy.challenge_tokens import Keys, Tokens
from tests.support.configurations import MINIMAL, write_server

USED = "\n[edge]\nevents = off\n\n[global-filter asks]\naction = challenge\npath = ^/\n"
FIRST, SECOND = "first-secret-first-secret-first-secret", "second-secret-second-secret-second-"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the certificate, and a file of two secrets."""
    write_server(tmp_path)
    secrets(tmp_path, f"{FIRST}\n\n  {SECOND}\r\n")
    return tmp_path


def secrets(folder: pathlib.Path, text: str, mode: int = 0o600, name: str = "keys") -> None:
    """Write a file of them."""
    (folder / name).write_text(text)
    (folder / name).chmod(mode)


def loaded(folder: pathlib.Path, *keys: str, rules: str = USED, before: Configuration | None = None) -> Configuration:
    """A configuration with these keys in ``[challenge]``."""
    path = folder / "edgenode.ini"
    path.write_text("\n".join((MINIMAL, rules, "[challenge]", *keys, "")))
    return Configuration.load(path, before)


def problem(folder: pathlib.Path, *keys: str) -> str:
    """The one error of such a configuration."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, *keys)
    (found,) = caught.value.problems
    return str(found)


def tokens(configuration: Configuration) -> Tokens:
    """What the action of its filter issues tokens with."""
    action = configuration.rules.actions["challenge"]
    assert isinstance(action, Challenge)
    assert action.tokens is not None
    assert action.tokens == configuration.rules.compiled.tokens
    return action.tokens


@pytest.mark.parametrize("key", ["difficulty = 7", "difficulty = 27", "lifetime = 59s", "lifetime = 31d"])
def test_what_is_out_of_range_is_an_error_with_its_key(folder: pathlib.Path, key: str) -> None:
    """A challenge that is none, or that nobody can solve, is not configured by mistake."""
    found = problem(folder, key)
    assert f"[challenge] {key.partition(' ')[0]}: " in found
    assert found.splitlines()[1].strip() == key.rpartition(" ")[2]


def test_what_a_file_says_reaches_the_action(folder: pathlib.Path) -> None:
    """The first secret of all files signs, in the order in which they stand; white space around one is none of it."""
    secrets(folder, "t" * 32, name="third")
    found = tokens(loaded(folder, "difficulty = 20", "lifetime = 1h", "keys = keys, third"))
    keys = Keys.of((FIRST.encode(), SECOND.encode(), b"t" * 32))
    assert found == Tokens(keys, 20, 3600.0)
    assert found.keys.accepted[found.keys.signing] == FIRST.encode()


def test_a_node_without_keys_has_its_own(folder: pathlib.Path) -> None:
    """One for as long as it lasts, so that a reload does not void what has been solved."""
    first = loaded(folder)
    assert tokens(first).keys is OWN
    assert tokens(loaded(folder, before=first)).keys is OWN
    assert len(next(iter(OWN.accepted.values()))) == 32


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected secrets of at least 32 bytes, one a line"),
        ("\n \n", "expected secrets of at least 32 bytes, one a line"),
        (f"{FIRST}\nshort\n", "expected secrets of at least 32 bytes, one a line"),
    ],
)
def test_a_file_without_good_secrets_is_an_error(folder: pathlib.Path, text: str, sentence: str) -> None:
    """Which names it, and shows nothing of it."""
    secrets(folder, text)
    found = problem(folder, "keys = keys")
    assert f"[challenge] keys: {folder / 'keys'}: {sentence}" in found
    assert "short" not in found
    assert FIRST not in found


def test_a_file_that_is_not_there_is_an_error(folder: pathlib.Path) -> None:
    """As any other that a section names."""
    assert "[challenge] keys: " in problem(folder, "keys = nowhere")


def test_a_file_that_others_can_read_is_warned_of(folder: pathlib.Path) -> None:
    """Who has a secret makes solutions without any work."""
    secrets(folder, FIRST, 0o644)
    (warning,) = loaded(folder, "keys = keys").warnings
    assert "keys: " in str(warning)
    assert "is open to others than its owner and group" in str(warning)


def test_nodes_that_share_a_state_and_no_keys_are_warned(folder: pathlib.Path) -> None:
    """Else who has solved a challenge solves another one at each node, and nobody knows why."""
    shared = "[state]\nurl = redis://127.0.0.1/0"
    (warning,) = loaded(folder, shared).warnings
    assert "[challenge] keys: without it each node has a secret of its own" in str(warning)
    assert not loaded(folder, "keys = keys", shared).warnings
    assert not loaded(folder).warnings


def test_a_secret_is_not_shown(folder: pathlib.Path) -> None:
    """Neither by what is loaded, nor by the whole configuration written out."""
    configuration = loaded(folder, "keys = keys")
    assert "secret-first" not in repr(configuration) + repr(configuration.credentials) + repr(configuration.rules)


def test_files_that_cannot_be_used_leave_the_old_keys_in_use(folder: pathlib.Path) -> None:
    """In a reload of the same section, with a warning; and what is new in them is used without a reload."""
    first = loaded(folder, "keys = keys")
    secrets(folder, "short")
    kept = loaded(folder, "keys = keys", before=first)
    assert tokens(kept) == tokens(first)
    assert any("what is in use stays in use" in str(each) for each in kept.warnings)
    secrets(folder, SECOND)
    assert list(first.changed()) == ["challenge"]
    renewed, problems = first.refreshed(["challenge"])
    assert problems == []
    assert tokens(renewed).keys == Keys.of((SECOND.encode(),))
    assert renewed.rules is not first.rules
    same, _ = renewed.refreshed(["challenge"])
    assert same.rules is renewed.rules
