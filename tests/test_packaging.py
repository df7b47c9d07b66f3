"""What a user gets who installs the package: a complete wheel, and a ``twistd`` that knows ``edgenode``."""

from __future__ import annotations

import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LISTENS = re.compile(r"listener public on \S*:(\d+)")
NODE = """
[listener public]
endpoint = tcp:0:interface=127.0.0.1
server-groups = site
[certificate site]
chain = pki/site.pem
key = pki/site.key
[server-group site]
hosts = localhost
certificate = site
mtls = off
security-policy = site
[security-policy site]
path-maps = everything
[path-map everything]
origin = nobody
[origin nobody]
servers = http://127.0.0.1:9
"""
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "edgenode", "twisted")


def run(*command: str | pathlib.Path, folder: pathlib.Path) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | pathlib.Path, folder: pathlib.Path, python: pathlib.Path | str = sys.executable) -> None:
    """Run pip with what is installed here: neither a network nor an isolated build is needed."""
    common = ("--disable-pip-version-check", "--no-input", "--quiet")
    run(sys.executable, "-m", "pip", "--python", python, *common, *arguments, folder=folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the sources, so that building leaves nothing in the tree."""
    folder = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: pathlib.Path) -> pathlib.Path:
    """The wheel built from the sources, behind ``make man``."""
    (checkout / "build" / "man").mkdir(parents=True)
    (checkout / "build" / "man" / "edgenode.1").write_text(".TH EDGENODE 1\n")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".", folder=checkout)
    (built,) = (checkout / "dist").glob("edgenode-*.whl")
    return built


@pytest.fixture
def python(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The interpreter of a virtual environment with all that is installed here, except edgenode."""
    monkeypatch.delenv("PYTHONPATH", raising=False)  # it may name the checkout
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A .pth file adds a folder without reading the .pth files in it: an editable edgenode stays out of sight.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def commands_of_twistd(python: pathlib.Path, folder: pathlib.Path) -> str:
    """What ``twistd --help`` prints."""
    return run(python, "-c", "from twisted.scripts.twistd import run; run()", "--help", folder=folder)


def test_wheel_is_complete(wheel: pathlib.Path) -> None:
    """The wheel has every module, the plugin and the type marker, and no file that is Twisted's own."""
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "edgenode").rglob("*.py")}
    assert modules <= names
    assert {"edgenode/py.typed", "twisted/plugins/edgenode_plugin.py"} <= names
    assert {name for name in names if name.startswith("twisted/")} == {"twisted/plugins/edgenode_plugin.py"}
    assert not any(name.startswith(("tests/", "bench/", "docs/")) for name in names)
    assert [name.partition(".data/")[2] for name in names if name.endswith(".1")] == ["data/share/man/man1/edgenode.1"]


def test_twistd_lists_edgenode_of_a_wheel(wheel: pathlib.Path, python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """``twistd`` knows the command once the wheel is installed, and not before."""
    assert "edgenode" not in commands_of_twistd(python, tmp_path)
    pip("install", "--no-deps", "--no-index", wheel, folder=tmp_path, python=python)
    assert "edgenode" in commands_of_twistd(python, tmp_path)


def test_a_wheel_brings_the_command(wheel: pathlib.Path, python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """``edgenode`` stands beside the interpreter, knows its version, and is what ``python -m edgenode`` is."""
    pip("install", "--no-deps", "--no-index", wheel, folder=tmp_path, python=python)
    command = python.with_name("edgenode")
    assert run(command, "--version", folder=tmp_path) == f"edgenode {wheel.name.split('-')[1]}\n"
    for words in ("--help",), ("run", "--help"), ("reference", "access-log"):
        assert run(command, *words, folder=tmp_path) == run(python, "-m", "edgenode", *words, folder=tmp_path)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the node is asked with curl")
@pytest.mark.parametrize("command", ["edgenode run node.ini", "twistd -n --pidfile= edgenode --config node.ini"])
def test_a_node_runs_from_a_wheel(
    wheel: pathlib.Path, python: pathlib.Path, tmp_path: pathlib.Path, command: str
) -> None:
    """In an environment and a folder with nothing else of ours: certificates, a node that answers, and its end."""
    pip("install", "--no-deps", "--no-index", wheel, folder=tmp_path, python=python)
    program, *words = command.split()
    if program == "twistd":  # Twisted is not installed there, only seen
        line = [str(python), "-c", "from twisted.scripts.twistd import run; run()", *words]
    else:
        line = [str(python.with_name(program)), *words]
    for made in ("ca", "pki"), ("server", "pki", "site", "--san", "DNS:localhost"):
        run(python.with_name("edgenode"), "pki", *made, folder=tmp_path)
    (tmp_path / "node.ini").write_text(NODE)
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as node:
        try:
            assert node.stdout is not None
            port = next(found[1] for found in map(LISTENS.search, node.stdout) if found)
            asked = f"curl -sS --cacert pki/ca.pem -w %{{http_code}} https://localhost:{port}/"
            assert run(*asked.split(), folder=tmp_path) == "502 Bad Gateway\n502"
        finally:
            node.send_signal(signal.SIGTERM)
        rest = node.stdout.read()
    assert node.returncode == 0, rest
    assert "GET localhost" in rest


def test_twistd_lists_edgenode_of_a_checkout(
    checkout: pathlib.Path, python: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """``twistd`` knows the command of an editable install made as the Makefile makes it."""
    (how,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("INSTALL"))
    mode = how.split()[-2:]
    assert mode[0] == "--config-settings"
    pip("install", "--no-deps", "--no-build-isolation", *mode, "-e", checkout, folder=tmp_path, python=python)
    assert "edgenode" in commands_of_twistd(python, tmp_path)
