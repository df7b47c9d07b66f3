"""``edgenode import``: the rules of another product, as sections of a configuration here."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import Any

from edgenode.config.curiefense import convert
from edgenode.config.curiefense_documents import together
from edgenode.model.errors import InvalidValue


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.description = (
        "Make sections of the rules of another product. The exit status is 1 if something could not be expressed; "
        "standard error says what."
    )
    parser.add_argument("product", choices=("curiefense",), help="curiefense, or Link11 WAAP")
    parser.add_argument(
        "files", metavar="FILE", nargs="+",
        help="its global filters, rate limits, ACL profiles, flows, dynamic rules and security policies: JSON, or a "
        "folder of such files",
    )  # fmt: skip
    parser.add_argument("--actions", metavar="FILE", help="its actions, JSON")


def main(options: argparse.Namespace) -> int:
    """Import rules: 0; 1 if something could not be expressed, or a file cannot be read."""
    try:
        paths = [path for each in options.files for path in _files(pathlib.Path(each))]
        data = _load(paths[0]) if len(paths) == 1 else together(map(_load, paths))
        name = pathlib.Path(options.files[0]).name
        imported = convert(data, _load(options.actions) if options.actions else [], name)
    except InvalidValue as why:
        print(why, file=sys.stderr)
        return 1
    print(imported.text, end="")
    for remark in imported.remarks:
        print(f"look at this: {remark}", file=sys.stderr)
    for loss in imported.losses:
        print(f"not expressed: {loss}", file=sys.stderr)
    return 1 if imported.losses else 0


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """A file itself, and of a folder those of JSON in it."""
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _load(path: str | pathlib.Path) -> Any:
    try:
        return json.loads(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{path}: not JSON: {error}") from None
