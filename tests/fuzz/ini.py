"""Any bytes are a configuration, or refused with problems that can be printed."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from collections.abc import Iterator

from edgenode.config import ini
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, Problem
from tests.support.node import PKI
from tests.support.node import ini as whole

_SECTION = """
[section scripts]
relation = or
header.user-agent =
    ^curl/              # shell
    ^python-requests/
[global-filter unattended]
tags = bot
action = block
relation = and
path = ^/api/
method = !POST|PUT
ip = 10.0.0.0/8
sections = scripts
[action block]
type = block
status = 403
body = ${NAME}
"""

_LINES = (
    b"", b"[", b"[]", b"[edge]\n[edge]\n", b"[edge]\nname = a\nname = b\n", b"[edge]\n name = \xff\n", b"a = b\n",
    b"[edge]\nname = a # b\n", b"[listener a]\n  [listener b]\n", b"\xef\xbb\xbf[edge]\r\nname=\r\n", b"[a b c]\n",
    b"[edge]\nname\n", b"[edge]\n= a\n", b"[origin a]\nservers = https://[::1]:443, http://a:99999\n", b"[\0]\n",
)  # fmt: skip


@functools.cache
def _folder() -> pathlib.Path:
    """Where the files are that the seeds name; it goes with the process."""
    folder = tempfile.TemporaryDirectory()
    _KEPT.append(folder)
    PKI.make(pathlib.Path(folder.name))
    return pathlib.Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def check(data: bytes) -> None:
    """Read it as a file is read."""
    text, problems = ini.decode(data)
    try:
        found = Configuration.from_text(text, _folder(), {"NAME": "value"}).warnings
    except ConfigurationError as refusal:
        found = refusal.problems
        if not found:
            raise AssertionError("refused without a reason") from refusal
    for problem in (*problems, *found):
        _check_printable(problem)


def _check_printable(problem: Problem) -> None:
    assert problem.sentence
    assert str(problem)
    if problem.column is not None:
        assert problem.text is not None
        assert 0 <= problem.column <= len(problem.text)


def seeds() -> Iterator[bytes]:
    """A whole configuration, its sections one by one, and lines that are none."""
    text = whole(443)
    yield (text + _SECTION).encode()
    yield _SECTION.encode()
    for section in text.split("\n\n"):
        yield section.encode()
    yield from _LINES
