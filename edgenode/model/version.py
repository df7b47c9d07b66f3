"""Which version this is."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """The version of the package, as it was installed."""
    try:
        return importlib.metadata.version("edgenode")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
