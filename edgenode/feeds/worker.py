"""The reading of large JSON documents in a process of their own: Python reads one holding its lock, so that no other
thread could serve meanwhile.

Law: a document takes no more time and memory than its limits, and the result is that of reading it in this process.
"""

from __future__ import annotations

import gc
import os
import pathlib
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from edgenode.model.errors import InvalidValue
from edgenode.rules.feed_formats import Format, Values

_SMALL = 1 << 16
"""Bytes of a document that is read here, within a few milliseconds."""

_LONGEST = 30
"""Seconds that a document may take."""

_MOST_MEMORY = 2 << 30
"""Bytes of memory that it may take; the worst of 32 MiB, which is what ``max-size`` is by default, takes half."""

_REFUSED = 3
"""The exit status if what is written is not values but why there are none."""

_VALUE = re.compile("[^\0]+")
_CHILD = "import sys; sys.path[:] = sys.argv[3:]; from edgenode.feeds.worker import main; main(*sys.argv[1:3])"


def read(format: Format, data: bytes, words: bool, skip: bool = False) -> Values:
    """Read a content, as :meth:`Format.read` does.

    :raises InvalidValue: if it is not written so, or takes too long.
    """
    if format.name != "json" or len(data) <= _SMALL:
        return format.read(data, words, skip)
    package = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-I", "-c", _CHILD, str(format), str(_MOST_MEMORY), str(package), *sys.path]
    try:
        with _memory("feed") as given, _memory("values") as taken:
            given.write(data)
            given.seek(0)
            status = subprocess.run(  # noqa: S603  # ourselves
                command, stdin=given, stdout=taken, stderr=subprocess.DEVNULL, cwd="/", timeout=_LONGEST, check=False
            ).returncode
            taken.seek(0)
            written = taken.read()
    except subprocess.TimeoutExpired:
        raise InvalidValue(f"it takes longer than {_LONGEST} s to read") from None
    except OSError as error:
        raise InvalidValue(f"it cannot be read in a process of its own: {error.strerror}") from None
    if status not in (0, _REFUSED):
        raise InvalidValue("it cannot be read: it takes too much memory, or was stopped")
    text = written.decode()
    if status == _REFUSED:
        raise InvalidValue(text)
    texts = [match[0] for match in _VALUE.finditer(text)]  # one at a time, as other threads want to go on too
    return Values(texts, range(1, len(texts) + 1), "value")


@contextmanager
def _memory(name: str) -> Iterator[IO[bytes]]:
    """A file in memory, without a name."""
    with open(os.memfd_create(f"edgenode {name}", os.MFD_CLOEXEC), "w+b") as file:
        yield file


def main(format: str, most_memory: str) -> None:
    """The process: read standard input, write the values to standard output, each with a NUL behind it."""
    resource.setrlimit(resource.RLIMIT_AS, (int(most_memory),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_LONGEST, _LONGEST))  # if nobody is left to stop it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.disable()  # it would look through all of a document again and again while it grows
    try:
        values = Format.from_text(format).read(sys.stdin.buffer.read())
    except InvalidValue as problem:
        sys.stdout.buffer.write(problem.sentence.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
        os._exit(_REFUSED)
    for text in values.texts:
        sys.stdout.buffer.write(text.encode() + b"\0")
    sys.stdout.flush()
    os._exit(0)  # without taking the document apart
