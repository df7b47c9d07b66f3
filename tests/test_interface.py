"""What other people's programs stand on: public names with their signatures, and the schema of events."""

from __future__ import annotations

import pytest

from tests.support.interface import FILES, FOLDER


@pytest.mark.parametrize("file", FILES)
def test_the_public_interface_is_what_it_was(file: str) -> None:
    """A name, a signature or a field of an event changes only together with the file that says so."""
    kept, found = (FOLDER / file).read_text(encoding="utf-8"), FILES[file]()
    assert found == kept, (
        f"the public interface is another than docs/interface/{file} says. If that is meant, run "
        "`python -m tests.support.interface`, look at the difference, and tell of it in CHANGELOG.md. "
        "docs/stability.rst says what may change in which release."
    )
