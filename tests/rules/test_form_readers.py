"""What servers read in a form by their own parsers: rules see it, or the body is known to be ambiguous and refused."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgenode.rules.views.arguments import all_arguments
from edgenode.rules.views.bodies import ambiguous
from tests.rules.test_twisted_forms import HEAD, MULTIPART, TYPES, asked, lines, multiparts, of_part
from tests.support.form_readers import IN_PYTHON, PROGRAMS, Found, Program, php, twisted_arguments

Reader = Callable[[bytes, bytes], Found]


PROBES = {
    "busboy": ["node", "-e", "require('busboy')"],
    "rack": ["ruby", "-rrack", "-e", ""],
    "go": ["go", "version"],
    "php": ["php-cgi", "-v"],
}
COMMANDS = {
    "busboy": ["node", str(PROGRAMS / "form.js")],
    "rack": ["ruby", str(PROGRAMS / "form.rb")],
    "go": ["go", "run", str(PROGRAMS / "form.go")],
}
"""What starts those in other languages, and what succeeds where they are installed."""

readers = pytest.mark.parametrize("name", ["twisted", *IN_PYTHON, *PROBES])


@functools.cache
def _reader(name: str) -> Reader | None:
    """A server's parser, if it is installed."""
    if name == "twisted":
        return twisted_arguments
    if name in IN_PYTHON:
        return IN_PYTHON[name] if importlib.util.find_spec(name) else None
    probe = PROBES[name]
    if shutil.which(probe[0]) is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        return None
    return php if name == "php" else Program(*COMMANDS[name]).read


def reader_of(name: str) -> Reader:
    """The same; without it the test is skipped."""
    return _reader(name) or pytest.skip(f"{name} is not installed")


def unseen(reader: Reader, content_type: bytes, data: bytes) -> list[tuple[bytes, bytes]]:
    """What a reader finds in a body and rules do not; but for what has bytes that are none of UTF-8."""
    seen = all_arguments(asked(content_type, data))
    found = [(name, value) for name, values in reader(content_type, data).items() for value in values]
    return [pair for pair in found if None not in pair and b"\xef\xbf\xbd" not in b"".join(pair)
            and pair[1] not in seen.get(pair[0], ())]  # fmt: skip


odd = st.one_of(
    multiparts,
    st.builds(lambda more, value: of_part(HEAD + more, value), st.lists(lines, max_size=2).map(b"".join),
              st.lists(lines, max_size=3).map(b"".join)),
    st.builds(lambda more: of_part(HEAD, b"1\r\n--b\r\n" + more + b"\r\n\r\n2"),
              st.lists(lines, max_size=3).map(b"".join)),
)  # fmt: skip


@readers
def test_what_a_server_reads_in_an_odd_body_is_seen_or_the_body_refused(name: str) -> None:
    """No parser finds an argument that rules do not, in a body that is not ambiguous."""
    reader = reader_of(name)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(TYPES), odd)
    def check(content_type: bytes, data: bytes) -> None:
        assert unseen(reader, content_type, data) == [] or ambiguous(asked(content_type, data)) is not None

    check()


names = st.text("acXYZ019-", min_size=1, max_size=5).map(str.encode)
values = st.lists(st.sampled_from((b"a", b" ", b"\r\n", b"--", b"\n", b"\r", b"=", b"%41", b"\xc3\xa4")), max_size=6)
heads = st.sampled_from((
    b'Content-Disposition: form-data; name="%b"',
    b"content-disposition:form-data;name=%b",
    b'X-Y: z\r\nContent-Disposition: form-data; name="%b"',
    b'Content-Disposition: form-data; name="%b"\r\nContent-Transfer-Encoding: binary',
))  # fmt: skip


@readers
def test_all_servers_read_a_body_alike_that_is_not_ambiguous(name: str) -> None:
    """Names and values come out as they were put in, by every parser."""
    reader = reader_of(name)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.dictionaries(names, st.tuples(heads, values.map(b"".join)), min_size=1, max_size=4))
    def check(fields: dict[bytes, tuple[bytes, bytes]]) -> None:
        parts = (b"--b\r\n%b\r\n\r\n%b\r\n" % (head % key, value) for key, (head, value) in fields.items())
        data = b"".join(parts) + b"--b--\r\n"
        assert ambiguous(asked(MULTIPART, data)) is None
        found = {key: list(values) for key, values in reader(MULTIPART, data).items()}
        assert found == {key: [value] for key, (_, value) in fields.items()}

    check()


@readers
def test_a_boundary_in_the_middle_of_a_line_is_seen_as_django_takes_it(name: str) -> None:
    """For one, wherever it stands."""
    data = of_part(HEAD, b"1--b\r\n" + HEAD.replace(b"q", b"r") + b"\r\n\r\nattack")
    assert unseen(reader_of(name), MULTIPART, data) == []
    assert all_arguments(asked(MULTIPART, data))[b"r"] == (b"attack",)
