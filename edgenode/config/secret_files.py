"""Files of secrets, one a line: those by which challenges and cookies are signed.

Law: no message of this module contains anything of a secret.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

from edgenode.model.errors import InvalidValue
from edgenode.tls.certificates import TOO_OPEN, read
from edgenode.tls.problems import Problems

LEAST_SECRET = 32
"""Bytes of a secret at least: as many as a signature by SHA-256 has."""


def read_secrets(problems: Problems, key: str, paths: Iterable[pathlib.Path]) -> tuple[bytes, ...]:
    """The secrets of some files.

    :param problems: takes what is wrong with them.
    :param key: that names them.
    """
    found = list[bytes]()
    for path in paths:
        with problems.reading(key, path):
            lines = [line for line in map(bytes.strip, read(path).splitlines()) if line]
            if not lines or min(map(len, lines)) < LEAST_SECRET:
                raise InvalidValue(
                    f"{path}: expected secrets of at least {LEAST_SECRET} bytes, one a line; "
                    "openssl rand -base64 32 makes one"
                )
            found += lines
            if os.stat(path).st_mode & TOO_OPEN:
                problems.warn(key, f"{path} is open to others than its owner and group; chmod 600 or 640 it")
    return tuple(found)
