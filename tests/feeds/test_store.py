"""The folder ``state``: what is kept there survives, and is believed no more than a download."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.feeds import store
from edgenode.feeds.store import Status, Stored
from edgenode.model.errors import InvalidValue

URL = "https://feeds.example.net/a"
HEADER = "list office"
CONTENT = Stored(URL, b"192.0.2.1\n", '"a"', "Fri, 20 Nov 2026 10:00:00 GMT")


def keep(folder: pathlib.Path, stored: Stored = CONTENT) -> pathlib.Path:
    """Keep a content, and return its file."""
    store.publish(store.stage(folder, stored), HEADER)
    return store.content_path(folder, HEADER)


def read(folder: pathlib.Path, source: str = URL, max_size: int = 1000) -> Stored | None:
    """Read it again."""
    return store.read(folder, HEADER, source, max_size)


def read_if_sound(folder: pathlib.Path) -> Stored | None:
    """The same; ``None`` too if it is said to be damaged."""
    with contextlib.suppress(InvalidValue):
        return read(folder)
    return None


def test_what_is_kept_is_read_again(tmp_path: pathlib.Path) -> None:
    """With its validators, from a file that nobody else can read; another section has another file."""
    assert read(tmp_path) is None
    path = keep(tmp_path)
    assert read(tmp_path) == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["list.office.feed"]
    assert store.read(tmp_path, "global-filter office", URL, 1000) is None


def test_a_content_is_replaced_in_one_step(tmp_path: pathlib.Path) -> None:
    """What is staged changes nothing, and leaves nothing if it is discarded."""
    keep(tmp_path)
    staged = store.stage(tmp_path, Stored(URL, b"new"))
    assert read(tmp_path) == CONTENT
    store.discard(staged)
    assert len(list(tmp_path.iterdir())) == 1
    keep(tmp_path, Stored(URL, b"new"))
    assert read(tmp_path) == Stored(URL, b"new")


def test_a_content_of_another_source_is_none(tmp_path: pathlib.Path) -> None:
    """Whoever changes the source does not go on with what came from the old one."""
    keep(tmp_path)
    assert read(tmp_path, "https://feeds.example.net/b") is None


@given(at=st.integers(0, 1 << 16), bits=st.integers(1, 255))
def test_a_damaged_content_is_not_believed(tmp_path_factory: pytest.TempPathFactory, at: int, bits: int) -> None:
    """Wherever a byte of it has changed: it is as if there were none, or said to be damaged; never another content."""
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    path = keep(folder)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= bits
    path.write_bytes(data)
    found = read_if_sound(folder)
    assert found is None or found.data == CONTENT.data


def test_half_a_content_is_not_believed(tmp_path: pathlib.Path) -> None:
    """Cut off anywhere."""
    path = keep(tmp_path)
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        assert read_if_sound(tmp_path) is None


def test_a_content_that_is_too_large_is_not_read(tmp_path: pathlib.Path) -> None:
    """Neither a file that is too large for its head and content, nor a content that is too large in a small file."""
    keep(tmp_path, Stored(URL, bytes(200_000)))
    with pytest.raises(InvalidValue, match="larger"):
        read(tmp_path)
    keep(tmp_path, Stored(URL, bytes(1001)))
    with pytest.raises(InvalidValue, match="larger than max-size"):
        read(tmp_path)


def test_links_pipes_and_folders_are_not_read(tmp_path: pathlib.Path) -> None:
    """A link could lead anywhere, and whoever opens a pipe waits for its writer."""
    path = keep(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("elsewhere")
    with pytest.raises(InvalidValue, match="cannot read"):
        read(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidValue, match="no regular file"):
        read(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InvalidValue, match="cannot read"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_of_the_folder_owns_what_root_writes_there(tmp_path: pathlib.Path) -> None:
    """A node that has dropped root can read it; a file of somebody else's is not read."""
    os.chown(tmp_path, 65534, 65534)
    path = keep(tmp_path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    assert read(tmp_path) == CONTENT
    os.chown(path, 12345, 12345)
    with pytest.raises(InvalidValue, match="no regular file of the folder's owner"):
        read(tmp_path)


def test_a_folder_that_everybody_can_write_to_is_refused(tmp_path: pathlib.Path) -> None:
    """So everybody could write rules; its group may, as in containers."""
    tmp_path.chmod(0o770)
    store.check_folder(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(InvalidValue, match="everybody can write"):
        store.check_folder(tmp_path)
    tmp_path.chmod(0o1777)
    with pytest.raises(InvalidValue, match="everybody can write"):
        store.check_folder(tmp_path)


def test_status_is_kept(tmp_path: pathlib.Path) -> None:
    """And is of one source only."""
    status = Status(URL, 1000.5, 900.0, 3, "the server answers 500")
    assert store.read_status(tmp_path, HEADER, URL) == Status(URL)
    store.write_status(tmp_path, HEADER, status)
    assert store.read_status(tmp_path, HEADER, URL) == status
    assert store.read_status(tmp_path, HEADER, "https://other/") == Status("https://other/")


@pytest.mark.parametrize(
    "written",
    [
        "", "[]", "{", "null", '{"asked": 1}', json.dumps({"source": URL, "asked": "now"}),
        json.dumps({"source": URL, "asked": -1.0}), json.dumps({"source": URL, "asked": float("nan")}),
        json.dumps({"source": URL, "asked": 1e300}), json.dumps({"source": URL, "confirmed": float("inf")}),
        json.dumps({"source": URL, "failures": 1.5}), json.dumps({"source": URL, "other": 1}),
        json.dumps({"source": URL, "failures": -1}), "[" * 60_000,
    ],
)  # fmt: skip
def test_a_status_that_makes_no_sense_is_none(tmp_path: pathlib.Path, written: str) -> None:
    """As if the source had never been asked."""
    (tmp_path / "list.office.status").write_text(written)
    assert store.read_status(tmp_path, HEADER, URL) == Status(URL)


def test_the_digest_is_of_the_content(tmp_path: pathlib.Path) -> None:
    """SHA-256, in hexadecimal, on the first line, with all that is not content."""
    line, _, data = keep(tmp_path).read_bytes().partition(b"\n")
    assert data == CONTENT.data
    head = json.loads(line)
    assert head.pop("sha256") == hashlib.sha256(data).hexdigest()
    assert head == {"source": URL, "etag": '"a"', "last_modified": "Fri, 20 Nov 2026 10:00:00 GMT"}
