"""How single values are written: every type has one notation, and every fault in it a sentence and a column."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.config.notation import NOTATIONS, notation
from edgenode.config.value_readers import Scope
from edgenode.model.settings import (
    Between,
    Choice,
    File,
    HostName,
    Network,
    Output,
    Reference,
    Seconds,
    Secret,
    Size,
    Word,
)
from edgenode.proxy.origin.server import Server

Name = Annotated[str, Reference("origin")]
Mode = Annotated[str, Choice(("off", "optional", "on"))]


@pytest.fixture
def scope(tmp_path: pathlib.Path) -> Scope:
    """A folder with one file, one variable and two origins."""
    (tmp_path / "a file.pem").touch()
    return Scope(tmp_path, {"TOKEN": "s3cret", "EMPTY": ""}, {"origin": ("shop", "blog")})


READ: list[tuple[Any, str, Any]] = [
    (Seconds, "0", 0.0),
    (Seconds, "250ms", 0.25),
    (Seconds, "5s", 5.0),
    (Seconds, "10m", 600.0),
    (Seconds, "24h", 86400.0),
    (Seconds, "7d", 604800.0),
    (Seconds | None, "1s", 1.0),
    (Size, "512", 512),
    (Size, "16k", 16384),
    (Size, "8m", 8 * 1024**2),
    (Size, "1g", 1024**3),
    (Network, "10.0.0.0/8", "10.0.0.0/8"),
    (Network, "192.0.2.7", "192.0.2.7/32"),
    (Network, "2001:DB8::/32", "2001:db8::/32"),
    (Network, "::1", "::1/128"),
    (Output, "-", pathlib.Path("-")),
    (Secret, "a ${TOKEN} # b", "a s3cret # b"),
    (Secret, "$TOKEN", "$TOKEN"),
    (Word, "tcp:443", "tcp:443"),
    (HostName, "*.example.com", "*.example.com"),
    (HostName, "192.0.2.1", "192.0.2.1"),
    (HostName, "[2001:db8::1]", "[2001:db8::1]"),
    (HostName, "xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
    (bool, "yes", True),
    (bool, "off", False),
    (int, "-12", -12),
    (str, "a # b\nc", "a # b\nc"),
    (str, "", ""),
    (Annotated[int, Between(1, 10)], "10", 10),
    (Mode, "optional", "optional"),
    (Name, "shop", "shop"),
    (Name | None, "shop", "shop"),
    (tuple[Word, ...], "a b,c\nd ,", ("a", "b", "c", "d")),
    (tuple[Name, ...], "shop, blog", ("shop", "blog")),
    (tuple[str, ...], "a b\nc, d", ("a b", "c, d")),
    (
        tuple[Server, ...],
        "https://a weight=2, https://b:81\nhttp://[::1]",
        (Server(True, "a", 443, 2), Server(True, "b", 81), Server(False, "::1", 80)),
    ),
]


@pytest.mark.parametrize(("annotation", "text", "value"), READ)
def test_every_type_is_read_by_its_notation(annotation: Any, text: str, value: Any, scope: Scope) -> None:
    """A text becomes the value of its type."""
    assert notation(annotation).parse(text, scope) == (value, [])


def test_a_relative_file_starts_at_the_folder(scope: Scope) -> None:
    """Relative paths start at the configuration's folder, absolute ones stand for themselves."""
    path = scope.folder / "a file.pem"
    assert notation(File).parse("a file.pem", scope) == (path, [])
    assert (
        notation(tuple[File, ...]).parse(f"a file.pem\n{path.parent}/../{path.parent.name}/a file.pem", scope)[1] == []
    )
    assert notation(Output).parse("events.json", scope) == (scope.folder / "events.json", [])


DURATION = "expected a duration such as 250ms, 5s, 10m, 24h or 7d"
SIZE = "expected a number of bytes such as 512, 16k, 8m or 1g"
SERVER = (
    "expected http:// or https:// with host:port, unix:/path, or https://unix:/path for TLS on a socket; or "
    "tls://, tcp:// or starttls:// with host:port for what takes no HTTP; weight=N or backup behind it if wanted"
)
HOST = "expected a host name, *.example.com, or an IP address, without a port"
REFUSED: list[tuple[Any, str, list[tuple[str, int]]]] = [
    (Seconds, "5", [(DURATION, 0)]),
    (Seconds, "-5s", [(DURATION, 0)]),
    (Seconds, "1.5s", [(DURATION, 0)]),
    (Seconds, "٣s", [(DURATION, 0)]),
    (Seconds, "", [("a value is missing", 0)]),
    (Seconds, "5s  # soon", [("a comment needs a line of its own", 4)]),
    (Size, "16kb", [(SIZE, 0)]),
    (Size, "16 k", [(SIZE, 0)]),
    (Network, "10.1.2.3/8", [("host bits are set: the network is 10.0.0.0/8", 9)]),
    (Network, "10.0.0.0/255.0.0.0", [("the length of the prefix is a number from 0 to 32", 9)]),
    (Network, "10.0.0/8", [("expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0)]),
    (Secret, "x${NOPE}", [("the environment variable NOPE is not set", 0)]),
    (Secret, "${TOKEN", [("expected the name of an environment variable, as in ${NAME}", 0)]),
    (Secret, "${1}", [("expected the name of an environment variable, as in ${NAME}", 0)]),
    (Secret, "${EMPTY}", [("the secret is empty", 0)]),
    (Word, "a b", [("expected a single word", 1)]),
    (HostName, "Example.com", [('host names are written in lower case: "example.com"', 0)]),
    (HostName, "example.com.", [("a host name is written without a final dot", 11)]),
    (HostName, "example.com:443", [(HOST, 0)]),
    (HostName, "a..b", [(HOST, 2)]),
    (HostName, "a.*.b", [(HOST, 2)]),
    (HostName, "*.", [("a host name is written without a final dot", 1)]),
    (File, "a\0", [("this is no name of a file", 0)]),
    (Output, "\ud800", [("this is no name of a file", 0)]),
    (HostName, "*", [(HOST, 0)]),
    (HostName, "münchen.example", [("an internationalised name is written in its ASCII form, xn--", 0)]),
    (HostName, "1.2.3.400", [("this is no IPv4 address, and a name may not end in a number", 0)]),
    (HostName, "::1", [("an IPv6 address is written in brackets, in its canonical form: [::1]", 0)]),
    (HostName, "[0:0::1]", [("an IPv6 address is written in brackets, in its canonical form: [::1]", 0)]),
    (HostName, "a" * 64 + ".b", [(HOST, 0)]),
    (HostName, ".".join(["a"] * 128), [("a host name has at most 253 characters", 0)]),
    (bool, "Yes", [("expected yes or no", 0)]),
    (int, "1e3", [("expected a number", 0)]),
    (int, "9" * 5000, [("expected a number", 0)]),
    (Annotated[int, Between(1, 10)], "11", [("expected a number from 1 to 10", 0)]),
    (Mode, "optionel", [('expected one of off, optional, on; did you mean "optional"?', 0)]),
    (Name, "shopp", [('there is no [origin shopp]; did you mean "shop"?', 0)]),
    (Name, "xyzzy", [("there is no [origin xyzzy]", 0)]),
    (
        tuple[Name, ...],
        "shop, bolg,\n  x",
        [('there is no [origin bolg]; did you mean "blog"?', 6), ("there is no [origin x]", 14)],
    ),
    (tuple[Word, ...], "a, b a", [("this is written twice", 5)]),
    (tuple[Word, ...], ",", [("a value is missing", 0)]),
    (tuple[Word, ...], "a # b", [("a comment needs a line of its own", 2)]),
    (tuple[str, ...], "", [("a value is missing", 0)]),
    (
        tuple[Server, ...],
        "https://a,  ftp://b",
        [(SERVER, 12)],
    ),
]


@pytest.mark.parametrize(("annotation", "text", "problems"), REFUSED)
def test_every_fault_has_its_sentence_and_column(
    annotation: Any, text: str, problems: list[tuple[str, int]], scope: Scope
) -> None:
    """What is no value of the type is refused, item by item."""
    found = notation(annotation).parse(text, scope)[1]
    assert [(problem.sentence, problem.column) for problem in found] == problems


def test_files_that_cannot_be_read_or_written_are_refused(scope: Scope) -> None:
    """A file is looked at when the configuration is read: it must be a regular file, or be in a folder."""
    (scope.folder / "loop").symlink_to("loop")
    sentences = {
        (annotation, text): notation(annotation).parse(text, scope)[1][0].sentence
        for annotation, text in [
            (File, "x.pem"),
            (File, "."),
            (File, "loop"),
            (Output, "."),
            (Output, "x/y"),
            (Output, "a" * 300),
        ]
        if notation(annotation).parse(text, scope)[1]
    }
    assert sentences == {
        (File, "x.pem"): f"cannot read {scope.folder}/x.pem: No such file or directory",
        (File, "."): f"cannot read {scope.folder}: not a regular file",
        (File, "loop"): f"cannot read {scope.folder}/loop: Too many levels of symbolic links",
        (Output, "."): f"cannot write {scope.folder}: it is a folder",
        (Output, "x/y"): f"cannot write {scope.folder}/x/y: there is no such folder",
        (Output, "a" * 300): f"cannot write {scope.folder}/{'a' * 300}: File name too long",
    }


def test_a_type_without_a_notation_is_an_error_of_the_program() -> None:
    """A section's class that declares a type nobody can write is found when it is first used."""
    with pytest.raises(TypeError, match="no notation for"):
        notation(dict)


@given(st.integers(0, 999_999_999), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_durations_round_trip(number: int, unit: str) -> None:
    """A duration that was read is written so that it is read as the same."""
    duration = NOTATIONS[Seconds]
    value = duration.read(f"{number}{unit}", Scope(pathlib.Path()))
    assert duration.read(duration.write(value), Scope(pathlib.Path())) == value


@given(st.integers(0, 2**40))
def test_sizes_round_trip(size: int) -> None:
    """A size is written so that it is read as the same."""
    notation = NOTATIONS[Size]
    assert notation.read(notation.write(size), Scope(pathlib.Path())) == size


@given(
    st.sampled_from([File, *(annotation for annotation, _, _ in READ)]),
    st.text(alphabet="a0.:/*[]-#${}, \n\u0660\U0001f600") | st.text(),
)
def test_any_text_is_a_value_or_refused(annotation: Any, text: str) -> None:
    """Reading a value never raises, and every problem points into the text."""
    _, problems = notation(annotation).parse(text, Scope(pathlib.Path("/nowhere")))
    assert all(problem.column is not None and 0 <= problem.column <= len(text) for problem in problems)
