"""``edgenode``, or ``python -m edgenode``: every command; ``twistd edgenode`` runs the node as well.

A configuration that cannot be used ends every command alike: with all its problems, and 1.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence

from cryptography.utils import CryptographyDeprecationWarning

from edgenode.commands.terminal import shown
from edgenode.commands.tree import parse
from edgenode.model.errors import ConfigurationError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 2 if there is no such command."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    # What a library tells programmers about somebody's certificate is not for whoever runs a node.
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal has every character
    try:
        status: int = options.main(options)
        sys.stdout.flush()
        return status
    except ConfigurationError as error:
        for problem in error.problems:
            print(shown(problem, sys.stderr), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough, as ``head`` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())
