"""The section ``[journal]``."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, InvalidValue
from edgenode.model.settings import Folder, Seconds, Size
from edgenode.observe.journal import journal
from edgenode.observe.journal.journal import Journal
from tests.support.configurations import changed, write_server


@pytest.mark.parametrize(
    ("keys", "which"),
    [
        ({"rotate_size": Size(1)}, "rotate-size"),
        ({"rotate_time": Seconds(0.0)}, "rotate-time"),
        ({"keep_size": Size(100 * 1024**2)}, "keep-size"),
        ({"keep_time": Seconds(60.0)}, "keep-time"),
    ],
)
def test_bounds_go_together(keys: dict[str, Any], which: str) -> None:
    """What is kept has room for more than one file, and a file is no smaller than a batch."""
    with pytest.raises(InvalidValue) as raised:
        Journal(**keys)
    assert raised.value.which == which


@pytest.mark.parametrize(
    ("missing", "keys", "expected"),
    [
        ("duckdb", {}, [("parquet", "pip install duckdb zstandard; or parquet = no")]),
        ("duckdb", {"parquet": False}, []),
        pytest.param(
            "zstandard",
            {},
            [("compression", "pip install duckdb zstandard; or compression = gzip")],
            marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python has Zstandard itself"),
        ),
        ("zstandard", {"compression": "gzip"}, []),
    ],
)
def test_a_missing_package_is_an_error_that_names_what_to_install(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    keys: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    """Before the node starts, and only if it is needed."""
    monkeypatch.setattr(journal, "find_spec", lambda name: None if name == missing else object())
    faults = Journal(folder=Folder(tmp_path), **keys).faults()
    assert [key for key, _, warning in faults if not warning] == [key for key, _ in expected]
    for (_, sentence, _), (_, end) in zip(faults, expected, strict=True):
        assert sentence.endswith(end)


def test_keys_without_a_folder_have_no_effect() -> None:
    """Which is a warning for each."""
    assert Journal().faults() == ()
    assert Journal(parquet=False, keep_time=Seconds(7200.0)).faults() == (
        ("keep-time", "has no effect without folder", True),
        ("parquet", "has no effect without folder", True),
    )


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the user that the node has then; and one that everybody may write in is a warning."""
    assert Journal(folder=Folder(tmp_path)).faults() == ()
    tmp_path.chmod(0o777)
    assert Journal(folder=Folder(tmp_path)).faults() == (
        ("folder", f"everybody may write in {tmp_path}; chmod 750 it", True),
    )
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert Journal(folder=Folder(tmp_path)).faults() == (("folder", f"cannot write in {tmp_path}", False),)


def test_the_problems_of_a_file_say_where_they_are(tmp_path: pathlib.Path) -> None:
    """All at once, each with its key."""
    write_server(tmp_path)
    text = changed({"": "[journal]\nfolder = nowhere\nrotate-size = much\ncompression = lz4\nmax = 3"})
    with pytest.raises(ConfigurationError) as raised:
        Configuration.from_text(text, tmp_path)
    assert [(each.section, each.key) for each in raised.value.problems if not each.warning] == [
        ("journal", "folder"),
        ("journal", "rotate-size"),
        ("journal", "compression"),
        ("journal", "max"),
    ]
