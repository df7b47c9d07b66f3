"""The secret behind ``[masking]``: read from its file, or made up once for as long as the process lasts.

Law: no message of this module contains anything of a secret.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.contentfilter.masked import Masking
from edgenode.policy.contentfilter.masking import MaskKey
from edgenode.tls.certificates import TOO_OPEN, read
from edgenode.tls.problems import Problems

LEAST_SECRET = 32
"""Bytes."""

OWN: Final = MaskKey.of(secrets.token_bytes(LEAST_SECRET))
"""That of a node that is given none: the same after a reload, another after a restart."""


def load(section: Masking) -> tuple[MaskKey | None, tuple[Problem, ...]]:
    """Read the key of a section that names a file: ``None`` if there is an error, and every problem, warnings too."""
    problems, path, found = Problems(section.kind), section.key, None
    assert path is not None
    with problems.reading("key", path):
        secret = read(path).strip()
        if len(secret) < LEAST_SECRET:
            raise InvalidValue(
                f"{path}: expected a secret of at least {LEAST_SECRET} bytes; openssl rand -base64 32 makes one"
            )
        found = MaskKey.of(secret)
        if os.stat(path).st_mode & TOO_OPEN:
            problems.warn("key", f"{path} is open to others than its owner and group; chmod 600 or 640 it")
    return (None if problems.fatal else found), problems.found
