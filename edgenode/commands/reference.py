"""``python -m edgenode reference``: the reference of the configuration, as reStructuredText."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from edgenode.config.reference import reference


def main(arguments: Sequence[str]) -> int:
    """Print the reference."""
    parser = argparse.ArgumentParser("edgenode reference", description="print the reference of the configuration")
    parser.parse_args(arguments)
    print(reference(), end="")
    return 0
