"""The public names of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgenode


@pytest.mark.parametrize("name", edgenode.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """A name in ``__all__`` can be had, is what its own module calls so, and says what it is."""
    found = getattr(edgenode, name)
    assert getattr(found, "__name__", name) == name  # a constant has none
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = edgenode.Nothing


def test_importing_the_package_loads_no_room_and_no_reactor() -> None:
    """Whoever imports the package may still install the reactor of his choice, even with all public names."""
    program = (
        "import sys, edgenode\n"
        "assert not [name for name in sys.modules if name.startswith('edgenode.')]\n"
        "for name in edgenode.__all__: getattr(edgenode, name)\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
