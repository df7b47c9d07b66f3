"""Which Python runs the node, and whether it was built with profile-guided optimization (PGO).

That is worth a fifth of the time. ``configure --enable-optimizations`` asks for it, and is then among the words that
the interpreter remembers. Debian and Ubuntu do not say so there, but optimize the interpreters of their packages alike
(``profile-opt`` in the packages' rules).
"""

from __future__ import annotations

import json
import pathlib
import subprocess

from attrs import frozen

_ASK = """
import json, platform, sys, sysconfig
words = sysconfig.get_config_var("CONFIG_ARGS") or ""
release = getattr(platform, "freedesktop_os_release", dict)
try:
    system = release()
except OSError:
    system = {}
systems = f"{system.get('ID', '')} {system.get('ID_LIKE', '')}"
print(json.dumps([platform.python_version(), sys.base_prefix, words, systems]))
"""


@frozen
class Interpreter:
    """A Python.

    :ivar path: what starts it.
    :ivar version: for example ``3.11.2``.
    :ivar pgo: how it is known to be a PGO build; empty if it is not known to be one.
    :ivar lto: whether it was configured with link-time optimization.
    """

    path: str
    version: str
    pgo: str
    lto: bool

    @classmethod
    def of(cls, path: str) -> Interpreter:
        """Ask an interpreter.

        :raises SystemExit: if it does not answer.
        """
        try:
            answer = subprocess.run([path, "-c", _ASK], capture_output=True, check=True, timeout=30).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise SystemExit(f"{path}: {error}") from error
        version, prefix, words, systems = json.loads(answer)
        pgo = ""
        if "--enable-optimizations" in words:
            pgo = "--enable-optimizations"
        elif pathlib.Path(prefix) == pathlib.Path("/usr") and {"debian", "ubuntu"} & set(systems.split()):
            pgo = "the distribution's build"
        return cls(path, version, pgo, "--with-lto" in words)

    def __str__(self) -> str:
        build = (
            f"a PGO build ({self.pgo})" if self.pgo else "NOT known to be a PGO build: expect figures a fifth higher"
        )
        return f"Python {self.version} ({self.path}), {build}{', with LTO' if self.lto else ''}"
