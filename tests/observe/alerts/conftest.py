"""Fixtures of alerts."""

from __future__ import annotations

import pytest

from tests.support.node import PKI


@pytest.fixture(scope="package")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates of the node and of receivers."""
    return PKI.make(tmp_path_factory.mktemp("pki"))
