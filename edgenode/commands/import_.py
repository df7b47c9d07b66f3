"""``edgenode import``: the rules of another product, as sections of a configuration here."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import Any

from edgenode.config.curiefense import convert
from edgenode.model.errors import InvalidValue


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.description = (
        "Make sections of the rules of another product. The exit status is 1 if something could not be expressed; "
        "standard error says what."
    )
    parser.add_argument("product", choices=("curiefense",), help="curiefense, or Link11 WAAP")
    parser.add_argument("file", metavar="FILE", help="its global filters, JSON")
    parser.add_argument("--actions", metavar="FILE", help="its actions, JSON")


def main(options: argparse.Namespace) -> int:
    """Import rules: 0; 1 if something could not be expressed, or a file cannot be read."""
    try:
        filters = _load(options.file)
        imported = convert(filters, _load(options.actions) if options.actions else [], pathlib.Path(options.file).name)
    except InvalidValue as why:
        print(why, file=sys.stderr)
        return 1
    print(imported.text, end="")
    for remark in imported.remarks:
        print(f"look at this: {remark}", file=sys.stderr)
    for loss in imported.losses:
        print(f"not expressed: {loss}", file=sys.stderr)
    return 1 if imported.losses else 0


def _load(path: str) -> Any:
    try:
        return json.loads(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{path}: not JSON: {error}") from None
