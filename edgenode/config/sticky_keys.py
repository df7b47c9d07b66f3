"""The secrets behind the sticky cookie of an origin: read from its files, or made up once for as long as the process
lasts."""

from __future__ import annotations

import secrets
from typing import Final

from edgenode.config.secret_files import LEAST_SECRET, read_secrets
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.proxy.origin.origin import Origin
from edgenode.tls.problems import Problems

OWN: Final = (secrets.token_bytes(LEAST_SECRET),)
"""Those of a node that is given none: the same after a reload, others after a restart."""


def load(name: str, section: Origin) -> tuple[tuple[bytes, ...], tuple[Problem, ...]]:
    """Read them, and every problem, warnings too.

    :param name: the origin's name.
    """
    if not section.sticky_keys:
        return OWN, ()
    problems = Problems(f"{section.kind} {name}")
    return read_secrets(problems, "sticky-keys", section.sticky_keys), problems.found


def secrets_of(name: str, section: Origin) -> tuple[bytes, ...]:
    """The secrets of an origin that has a sticky cookie; none of another.

    :raises ConfigurationError: if they cannot be used.
    """
    if section.sticky_cookie is None:
        return ()
    found, problems = load(name, section)
    if not all(each.warning for each in problems):
        raise ConfigurationError([*problems])
    return found
