"""The section [masking], and what is masked of what."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.testing import Sandbox
from edgenode.testing.exchanges import exchange_of

LIMIT = "[rate-limit pins]\nkey = argument.pin\nlimit = 1 per 1h\n"
FILTERS = """
[path-map all]
path           = ^/a
origin         = app
content-filter = strict

[path-map rest]
origin = app

[security-policy all]
path-maps = all, rest

[content-filter strict]
rules  = builtin
mask   = argument.pin
ignore = argument.comment
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture
def secret(sandbox: Sandbox) -> pathlib.Path:
    """A file with a secret."""
    path = sandbox.folder / "mask.key"
    path.write_bytes(b"s" * 40)
    path.chmod(0o600)
    return path


def hash_of(configuration: Configuration) -> bytes:
    """The hash of a value."""
    return configuration.masks().hash(b"value")


def test_a_content_filter_masks_on_its_path_maps_and_masking_everywhere(sandbox: Sandbox) -> None:
    """What is masked anywhere holds where the path map is not known."""
    made = sandbox.configuration(f"{FILTERS}[masking]\nmask = cookie.session\n")
    assert made.masks("all").arguments == {"pin"}
    assert made.masks("rest").arguments == frozenset()
    assert made.masks("all").cookies == made.masks("rest").cookies == made.masks().cookies == {"session"}
    assert made.masks().arguments == {"pin"}
    assert made.pipeline("all").masks == made.masks("all")
    assert not sandbox.configuration().masks()
    assert sandbox.configuration(f"{FILTERS}active = no\n").masks("all").arguments == {"pin"}


def test_no_rule_looks_at_what_is_ignored(sandbox: Sandbox) -> None:
    """Whatever its number; the others see it."""
    tree = sandbox.configuration(FILTERS).credentials.content_rules["strict"].tree
    looking = [
        each for each in tree.directives if any(one.collection == "ARGS" for one in getattr(each, "targets", ()))
    ]
    assert looking
    for rule in looking:
        assert any(each.collection == "ARGS" and each.key == "comment" and each.excluded for each in rule.targets)  # type: ignore[union-attr]


def test_a_key_is_read_from_its_file_and_read_anew(sandbox: Sandbox, secret: pathlib.Path) -> None:
    """Nodes that share it have the same hashes; what is counted follows it; a reload keeps a key that was made up."""
    text = f"{LIMIT}[masking]\nmask = argument.pin\nkey = {secret}\n"
    one, other = sandbox.configuration(text), sandbox.configuration(text)
    assert hash_of(one) == hash_of(other)
    secret.write_bytes(b"t" * 40)
    refreshed, problems = one.refreshed(("masking",))
    assert problems == []
    assert hash_of(refreshed) != hash_of(one)
    exchange = exchange_of("GET", "https://www.test/?pin=value")
    (part,) = refreshed.rate_limits["pins"].key
    assert part.values(exchange) == (hash_of(refreshed).decode(),)
    made_up = "[masking]\nmask = argument.pin\n"
    assert hash_of(sandbox.configuration(made_up)) == hash_of(sandbox.configuration(made_up))


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_secret_that_can_be_guessed_is_refused(sandbox: Sandbox, secret: pathlib.Path, content: bytes) -> None:
    """And the message tells nothing of it."""
    secret.write_bytes(content)
    with pytest.raises(ConfigurationError, match="at least 32 bytes") as caught:
        sandbox.configuration(f"[masking]\nmask = cards\nkey = {secret}\n")
    assert "short" not in str(caught.value).replace("at least", "")


def test_what_is_counted_by_a_key_that_is_made_up_is_doubtful(sandbox: Sandbox, secret: pathlib.Path) -> None:
    """After a restart the same value has another hash; with a file it has not."""
    made = sandbox.configuration(f"{LIMIT}[masking]\nmask = argument.pin\n")
    assert any("argument.pin is masked, and without key" in str(each) for each in made.warnings)
    assert not sandbox.configuration(f"{LIMIT}[masking]\nmask = argument.pin\nkey = {secret}\n").warnings


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("mask = argument.password, card", "argument.password, card\n                       ^"),
        ("max-count = headers 4, argument 3", "headers 4, argument 3\n               ^"),
        ("restrict = argument.q [a-z", "argument.q [a-z"),
        ("restrict = argument.q", "needs an expression"),
        ("ignore = argument.*", "has a name"),
        ("max-value = headers 4, headers 5", "once"),
    ],
)
def test_a_mistake_is_shown_where_it_is(sandbox: Sandbox, line: str, shown: str) -> None:
    """With a caret below it."""
    with pytest.raises(ConfigurationError) as caught:
        sandbox.configuration(f"[content-filter strict]\nrules = builtin\n{line}\n")
    assert shown in str(caught.value)
