"""The folder ``state``: the last good content of every source, and when each was asked.

Law: what is read from here is believed no more than a download. A file is read only if nobody else could have written
it and it is whole, and its content is then checked like a fresh one. A file is replaced in one step, and survives a
power failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import stat
import tempfile
from typing import Any

from attrs import asdict, astuple, field, frozen

from edgenode.model.errors import InvalidValue

_HEAD = 64 * 1024
"""The most bytes before the content."""


_LATEST = 1e11
"""A time, in seconds since 1970, that no clock will show."""


@frozen
class Stored:
    """The content of a source.

    :ivar source: where it came from.
    :ivar data: the content, as it came but for its compression.
    :ivar etag: the source's own mark for this content (RFC 9110, section 8.8.3); empty without one.
    :ivar last_modified: likewise (section 8.8.2).
    """

    source: str
    data: bytes = field(repr=False)
    etag: str = ""
    last_modified: str = ""


@frozen
class Status:
    """What has come of asking a source.

    :ivar source: which one; several, a line each.
    :ivar asked: when it was last asked, seconds since 1970; 0 never.
    :ivar confirmed: when it last said that our content is its own.
    :ivar failures: how often it has failed since.
    :ivar problem: what was wrong the last time; empty if nothing.
    """

    source: str
    asked: float = 0.0
    confirmed: float = 0.0
    failures: int = 0
    problem: str = ""


def content_path(folder: pathlib.Path, header: str, index: int = 0) -> pathlib.Path:
    """The file of the content of a section's source: ``list.office.feed``, of further ones ``list.office.feed.2``.

    :param index: of the source, from 0.
    """
    return folder / f"{header.replace(' ', '.', 1)}.feed{f'.{index + 1}' if index else ''}"


def _status_path(folder: pathlib.Path, header: str) -> pathlib.Path:
    return folder / f"{header.replace(' ', '.', 1)}.status"


def check_folder(folder: pathlib.Path) -> None:
    """Check that nobody but its owner and group can write into the folder.

    :raises InvalidValue: if anybody can, or it cannot be looked at.
    """
    try:
        mode = folder.stat().st_mode
    except OSError as error:
        raise InvalidValue(f"cannot read {folder}: {error.strerror}") from None
    if mode & stat.S_IWOTH:
        raise InvalidValue(f"everybody can write into {folder}, and so into what rules are made of")


def read(folder: pathlib.Path, header: str, source: str, max_size: int, index: int = 0) -> Stored | None:
    """Read the content of a section's source; ``None`` if there is none of this one.

    :param header: the section's header.
    :param index: of the source, from 0.
    :param source: where it must have come from.
    :raises InvalidValue: if there is one that cannot be believed.
    """
    path = content_path(folder, header, index)
    try:
        data = _read(path, _HEAD + max_size, folder.stat().st_uid)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from None
    line, _, content = data.partition(b"\n")
    head = _object(line[:_HEAD])
    if head.get("source") != source:
        return None
    if head.get("sha256") != hashlib.sha256(content).hexdigest() or len(content) > max_size:
        raise InvalidValue(f"{path} is damaged, or larger than max-size")
    return Stored(source, content, _text(head, "etag"), _text(head, "last_modified"))


def digest(folder: pathlib.Path, header: str, index: int = 0) -> bytes | None:
    """The SHA-256 of what is kept of a section's source, as its first line says; ``None`` if nothing is."""
    try:
        with content_path(folder, header, index).open("rb") as file:
            return bytes.fromhex(_text(_object(file.readline(_HEAD)), "sha256")) or None
    except (OSError, ValueError):
        return None


def stage(folder: pathlib.Path, stored: Stored) -> pathlib.Path:
    """Write a content beside the one that is there: :func:`publish` or :func:`discard` it.

    :raises OSError: if it cannot be written.
    """
    head = asdict(stored, filter=lambda attribute, _: attribute.name != "data")
    head["sha256"] = hashlib.sha256(stored.data).hexdigest()
    return _written(folder, json.dumps(head).encode() + b"\n" + stored.data)


def publish(staged: pathlib.Path, header: str, index: int = 0) -> None:
    """Put a content in the place of the one that is there.

    :param index: of the source, from 0.
    :raises OSError: if that cannot be done.
    """
    _replace(staged, content_path(staged.parent, header, index))


def discard(staged: pathlib.Path) -> None:
    """Put a content away that shall not be used."""
    with contextlib.suppress(OSError):
        staged.unlink()


def read_status(folder: pathlib.Path, header: str, source: str) -> Status:
    """What has come of asking a section's source so far; as if never asked, if that cannot be read."""
    try:
        found = _object(_read(_status_path(folder, header), _HEAD, folder.stat().st_uid))
        status = Status(**found)
    except (OSError, TypeError):
        return Status(source)
    right = all(type(one) is type(other) for one, other in zip(astuple(status), astuple(Status(source)), strict=True))
    if not right or status.source != source:
        return Status(source)
    in_range = 0 <= status.asked < _LATEST and 0 <= status.confirmed < _LATEST and status.failures >= 0
    return status if in_range else Status(source)


def write_status(folder: pathlib.Path, header: str, status: Status) -> None:
    """Remember what has come of it.

    :raises OSError: if it cannot be written.
    """
    _replace(_written(folder, json.dumps(asdict(status)).encode()), _status_path(folder, header))


def _read(path: pathlib.Path, most: int, owner: int) -> bytes:
    # A named pipe would hold up whoever opens it, and a link could lead out of the folder.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid not in (0, owner, os.geteuid()):
            raise PermissionError(1, "it is no regular file of the folder's owner")
        if state.st_size > most:
            raise PermissionError(1, "it is larger than it may be")
        return file.read(most)


def _written(folder: pathlib.Path, data: bytes) -> pathlib.Path:
    """A new file in the folder, on the disk, readable for its owner only."""
    descriptor, name = tempfile.mkstemp(prefix=".", dir=folder)
    path = pathlib.Path(name)
    try:
        with open(descriptor, "wb") as file:
            if os.geteuid() == 0:  # a node that has dropped root must be able to read what root has fetched for it
                owner = folder.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        discard(path)
        raise
    return path


def _replace(new: pathlib.Path, path: pathlib.Path) -> None:
    try:
        new.replace(path)
    except BaseException:
        discard(new)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(head: dict[str, Any], key: str) -> str:
    found = head.get(key)
    return found if isinstance(found, str) else ""
