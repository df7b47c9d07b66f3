"""The section ``[state]``."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import pytest

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import File, Secret, Word
from edgenode.state import settings
from edgenode.state.settings import ServerUrl, StateSection


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://redis.example", ServerUrl("redis.example", 6379)),
        ("redis://redis.example:6380/3", ServerUrl("redis.example", 6380, database=3)),
        ("redis://redis.example/", ServerUrl("redis.example", 6379)),
        ("rediss://edge@[2001:db8::1]:6380/0", ServerUrl("2001:db8::1", 6380, tls=True, user="edge")),
        ("unix:/run/redis.sock", ServerUrl("/run/redis.sock", 0)),
        ("unix:///run/redis.sock?db=2", ServerUrl("/run/redis.sock", 0, database=2)),
    ],
)
def test_a_server_has_an_address(text: str, expected: ServerUrl) -> None:
    """A server is named as other clients of Redis name it."""
    assert ServerUrl.from_text(text) == expected


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("http://redis.example", 0),
        ("redis.example:6379", 0),
        ("redis://", 0),
        ("redis://redis.example:0", 22),
        ("redis://redis.example:65536", 22),
        ("redis://redis.example/zero", 0),
        ("rediss://edge:secret@redis.example", 13),
        ("rediss://:secret@redis.example", 9),
        ("unix:run/redis.sock", 0),
        ("unix:/" + "x" * 107, 5),
    ],
)
def test_what_is_no_address_is_refused_where_it_goes_wrong(text: str, column: int) -> None:
    """A text that is none is an error with its place; a password in one too, and is not repeated."""
    with pytest.raises(InvalidValue) as problem:
        ServerUrl.from_text(text)
    assert problem.value.column == column
    assert "secret" not in problem.value.sentence


URL = ServerUrl("redis.example", 6379, tls=True)


@pytest.mark.parametrize(
    ("keys", "which"),
    [
        ({"password": "a", "password_file": pathlib.Path("b")}, "password-file"),
        ({"url": ServerUrl("h", 1, user="edge"), "user": "edge", "password": "a"}, "user"),
        ({"url": URL, "user": "edge"}, "user"),
        ({"url": ServerUrl("h", 1, user="edge")}, "url"),
        ({"prefix": "a{b}"}, "prefix"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": 11.0}, "timeout"),
        ({"memory": 100}, "memory"),
    ],
)
def test_keys_that_contradict_each_other_are_errors(keys: dict[str, Any], which: str) -> None:
    """Each is an error of the key that is one too many, or out of range."""
    with pytest.raises(InvalidValue) as problem:
        StateSection(**keys)
    assert problem.value.which == which


def test_what_is_of_no_use_or_open_to_others_is_a_warning(tmp_path: pathlib.Path) -> None:
    """A server over the network without TLS, keys that have no effect, and a password that others can read."""
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o644)
    plain = StateSection(url=ServerUrl("redis.example", 6379), certificate="edge", password_file=File(password))
    assert [(key, warning) for key, _, warning in plain.faults()] == [
        ("password-file", True), ("certificate", True), ("url", True),
    ]  # fmt: skip
    assert [each[0] for each in StateSection(user=Word("u"), password=Secret("p")).faults()] == ["user", "password"]
    assert StateSection().faults() == ()
    assert StateSection(url=ServerUrl("127.0.0.1", 6379)).faults() == ()


def test_a_password_is_the_first_line_of_its_file(tmp_path: pathlib.Path) -> None:
    """An empty file is an error, and not an empty password."""
    password = tmp_path / "password"
    section = StateSection(url=URL, password_file=File(password))
    for content, expected in ((b"secret\r\nmore", b"secret"), (b"\xff", b"\xff")):
        password.write_bytes(content)
        assert section.read_password() == expected
    for content in (b"", b"\nsecret", b"x" * 2000):
        password.write_bytes(content)
        assert [(key, warning) for key, _, warning in section.faults()] == [("password-file", False)]


def test_a_missing_package_is_an_error_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without txredisapi no server can be asked, which is told before the node starts."""
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    assert next(each for each in StateSection(url=URL).faults() if not each[2])[0] == "url"
    assert importlib.util.find_spec("txredisapi") is not None
    assert "secret" not in repr(StateSection(url=URL, password=Secret("secret")))
