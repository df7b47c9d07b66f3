"""The secrets behind ``[challenge]``: read from its files, or made up once for as long as the process lasts.

Law: no message of this module contains anything of a secret.
"""

from __future__ import annotations

import secrets
from typing import Final

from edgenode.config.secret_files import read_secrets
from edgenode.model.errors import Problem
from edgenode.policy.challenge import ChallengeSection
from edgenode.policy.challenge_tokens import LEAST_SECRET, Keys
from edgenode.tls.problems import Problems

OWN: Final = Keys.of((secrets.token_bytes(LEAST_SECRET),))
"""Those of a node that is given none: the same after a reload, others after a restart."""


def load(section: ChallengeSection) -> tuple[Keys | None, tuple[Problem, ...]]:
    """Read the keys of a section that names files: ``None`` if there is an error, and every problem, warnings too."""
    problems = Problems(section.kind)
    found = read_secrets(problems, "keys", section.keys)
    return (None if problems.fatal else Keys.of(found)), problems.found
