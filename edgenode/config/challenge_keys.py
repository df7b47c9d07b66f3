"""The secrets behind ``[challenge]``: read from its files, or made up once for as long as the process lasts.

Law: no message of this module contains anything of a secret.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.challenge import ChallengeSection
from edgenode.policy.challenge_tokens import LEAST_SECRET, Keys
from edgenode.tls.certificates import TOO_OPEN, read
from edgenode.tls.problems import Problems

OWN: Final = Keys.of((secrets.token_bytes(LEAST_SECRET),))
"""Those of a node that is given none: the same after a reload, others after a restart."""


def load(section: ChallengeSection) -> tuple[Keys | None, tuple[Problem, ...]]:
    """Read the keys of a section that names files: ``None`` if there is an error, and every problem, warnings too."""
    problems, found = Problems(section.kind), list[bytes]()
    for path in section.keys:
        with problems.reading("keys", path):
            lines = [line for line in map(bytes.strip, read(path).splitlines()) if line]
            if not lines or min(map(len, lines)) < LEAST_SECRET:
                raise InvalidValue(
                    f"{path}: expected secrets of at least {LEAST_SECRET} bytes, one a line; "
                    "openssl rand -base64 32 makes one"
                )
            found += lines
            if os.stat(path).st_mode & TOO_OPEN:
                problems.warn("keys", f"{path} is open to others than its owner and group; chmod 600 or 640 it")
    return (None if problems.fatal else Keys.of(found)), problems.found
