"""The example's distribution, installed into a folder, and how to run programs that find it there."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from attrs import frozen

from tests.support.configurations import MINIMAL, write_server

ROOT = pathlib.Path(__file__).parent.parent.parent


@frozen
class Outside:
    """A folder of configurations, and the folders where distributions are installed.

    :ivar folder: the folder of configurations, with the certificate that :data:`MINIMAL` names.
    :ivar path: what Python finds besides its own.
    """

    folder: pathlib.Path
    path: tuple[pathlib.Path, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the distributions are there."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, self.path))}

    def run(self, *command: str | pathlib.Path, status: int = 0) -> str:
        """What a command of ``edgenode`` prints, its problems among it."""
        return self.python("-m", "edgenode", *command, status=status)

    def python(self, *command: str | pathlib.Path, status: int = 0) -> str:
        """What a program of Python prints."""
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ini(self, text: str) -> str:
        """Write :data:`MINIMAL` and a text behind it: the name of the file."""
        (self.folder / "node.ini").write_text(f"{MINIMAL}\n{text}")
        return "node.ini"

    def declaring(self, name: str, module: str, entry_points: str) -> Outside:
        """The same with one more distribution, as pip leaves it behind."""
        folder = self.folder / name
        information = folder / f"{name}-1.0.dist-info"
        information.mkdir(parents=True, exist_ok=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(entry_points)
        (folder / f"{name}.py").write_text(module)
        return Outside(self.folder, (*self.path, folder))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The example's distribution as pip installs it."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "extending"
    shutil.copytree(ROOT / "examples" / "extending", source)
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture
def outside(tmp_path: pathlib.Path, installed: pathlib.Path) -> Outside:
    """A folder for configurations, with the example's distribution installed."""
    write_server(tmp_path, "www.test")
    return Outside(tmp_path, (installed, ROOT))
