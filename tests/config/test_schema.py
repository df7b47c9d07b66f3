"""A written section becomes its class: by its types, whole or not at all, and with every problem."""

from __future__ import annotations

import pathlib
from typing import Annotated, ClassVar

import pytest
from attrs import frozen

from edgenode.config import ini, schema
from edgenode.config.value_readers import Scope
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, Reference, Secret, Tag, Word, setting
from edgenode.rules.sections import Entry, Section


@frozen
class Shop(Section):
    """A section of every sort of key."""

    kind: ClassVar[str] = "shop"

    origin: Annotated[str, Reference("origin")] = setting("Where to.")
    open_days: Annotated[int, Between(1, 7)] = setting("How often.", 5)
    mode: Annotated[str, Choice(("off", "on"))] = setting("How.", "off")
    tags: tuple[Word, ...] = setting("What.", ())
    password: Secret | None = setting("Who.", None)
    global_: bool = setting("A word of Python.", False)
    like: tuple[Annotated[Word, Tag(own=False)], ...] = setting("Tags, automatic ones too.", ())


SCOPE = Scope(pathlib.Path(), {"TOKEN": "s3cret"}, {"origin": ("main", "other"), "section": ("x",)})


def read(text: str) -> tuple[Shop | None, list[str]]:
    """The value of a section with these lines, and its problems as they are printed."""
    sections, problems = ini.read(f"[shop s]\n{text}", ())
    assert problems == []
    value, problems = schema.read(sections[0], Shop, SCOPE)
    return value, list(map(str, problems))


def test_keys_become_attributes() -> None:
    """An attribute is written with - for _, and read by its type; what is absent has its default."""
    assert read("origin = main\nopen-days = 7\ntags = a b\npassword = x${TOKEN}\nglobal = yes\n") == (
        Shop(origin="main", open_days=7, tags=(Word("a"), Word("b")), password=Secret("xs3cret"), global_=True),
        [],
    )


def test_a_tag_that_is_looked_for_may_be_an_automatic_one() -> None:
    """But it is canonical, for no other would ever be found."""
    assert read("origin = main\nlike = all, ip:192-0-2-7\n")[1] == []
    assert "this one would be ip:192-0-2-7" in read("origin = main\nlike = ip:192.0.2.7\n")[1][0]


def test_other_keys_are_entries_in_the_order_of_the_file() -> None:
    """A key that is a category gives one entry for each of its lines, with annotations."""
    value, problems = read(
        "method = POST\norigin = main\n"
        "header.User-Agent =\n  ^curl/   # shell # and more\n\n  # a comment\n  ^a[ ]#b\n"
        "path = ^/\n"
    )
    assert problems == []
    assert value is not None
    assert value.entries == (
        Entry("method", "", "POST"),
        Entry("header", "user-agent", "^curl/", "shell # and more"),
        Entry("header", "user-agent", "^a[ ]#b"),
        Entry("path", "", "^/"),
    )


REQUIRED = "[shop s] origin: this key is required"
FAULTS = {
    "a required key is missing": ("", [REQUIRED]),
    "an unknown key": (
        "origin = main\nwheels = red\n",
        ["[shop s] wheels: unknown key"],
    ),
    "a misspelt key": (
        "orign = main\n",
        ['[shop s] orign: unknown key; did you mean "origin"?', REQUIRED],
    ),
    "an underscore": (
        "origin = main\nopen_days = 3\n",
        ['[shop s] open_days: unknown key; did you mean "open-days"?'],
    ),
    "a misspelt category": (
        "origin = main\nmethods = GET\n",
        ['[shop s] methods: unknown key; did you mean "method"?'],
    ),
    "an entry's own problem": (
        "origin = main\npath =\n  ^/a\n  ^/b(   # ?\n",
        ["[shop s] path: not a regular expression of RE2: missing ): ^/b(\n    ^/b(   # ?\n       ^"],
    ),
    "a category without its name": (
        "origin = main\nheader = x\n",
        ["[shop s] header: header needs a name: header.NAME\n    x\n    ^"],
    ),
    "an entry without a value": ("origin = main\npath =\n", ["[shop s] path: a value is missing"]),
    "an annotation without a value": (
        "origin = main\npath = # x\n",
        ["[shop s] path: a value is missing\n    # x\n    ^"],
    ),
    "the same entry twice": (
        "origin = main\npath =\n  ^/a # one\n  ^/a # two\n",
        ["[shop s] path: this is written twice\n    ^/a # two\n    ^"],
    ),
    "a number out of range": (
        "origin = main\nopen-days = 8\n",
        ["[shop s] open-days: expected a number from 1 to 7\n    8\n    ^"],
    ),
    "a comment behind a value": (
        "origin = main\nmode = on   # always\n",
        ["[shop s] mode: a comment needs a line of its own\n    on   # always\n         ^"],
    ),
    "a dangling reference": (
        "origin = mian\nsections = x,\n   y\n",
        [
            '[shop s] origin: there is no [origin mian]; did you mean "main"?\n    mian\n    ^',
            "[shop s] sections: there is no [section y]\n    y\n    ^",
        ],
    ),
    "a secret that is not set": (
        "origin = main\npassword = pa55word${NOPE}\n",
        ["[shop s] password: the environment variable NOPE is not set"],
    ),
    "a variable where no secret stands": (
        "origin = ${TOKEN}\npath = ^/${TOKEN}$\n",
        [
            "[shop s] origin: there is no [origin ${TOKEN}]\n    ${TOKEN}\n    ^",
            "[shop s] path: a { that begins no repetition, such as {2,5}, is written \\{\n    ^/${TOKEN}$\n       ^",
        ],
    ),
    "an indented key": (
        "origin = main\npath = ^/a\n  method = POST\n  ^/b\n",
        ["[shop s] path: the key method may not be indented deeper than the key above it\n    method = POST\n    ^"],
    ),
    "an indented key with a name": (
        "tags = a\n  header.x-y = b\norigin = main\n",
        ["[shop s] tags: the key header may not be indented deeper than the key above it\n    header.x-y = b\n    ^"],
    ),
}


@pytest.mark.parametrize(("text", "printed"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_printed_with_its_place(text: str, printed: list[str]) -> None:
    """A section with a problem has no value, and each problem names section, key and place."""
    assert read(text) == (None, printed)


def test_all_problems_of_a_section_are_reported_at_once() -> None:
    """No problem hides another, within a list neither."""
    assert len(read("open-days = x\nmode = y\nsections = a, b\npath = (\nmethod = \nfoo = bar\n")[1]) == 8


def test_a_class_may_refuse_what_its_keys_mean_together() -> None:
    """What a class raises when it is made is a problem of the section as a whole."""

    @frozen
    class Fussy:
        """Never content."""

        kind: ClassVar[str] = "shop"

        def __attrs_post_init__(self) -> None:
            raise InvalidValue("never content")

    value, problems = schema.read(ini.IniSection("shop", "s", {}), Fussy, SCOPE)
    assert (value, list(map(str, problems))) == (None, ["[shop s]: never content"])
