"""The shortest programs of the pages on embedding, run as they are written."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests.examples.test_examples import ENVIRONMENT, TWISTD, curl, folder, running, tls
from tests.support.node import PKI, Origin, ini

__all__ = ["folder"]  # a fixture
SHORTEST = sorted((pathlib.Path(__file__).parent.parent.parent / "examples" / "shortest").glob("*.py"))


def run(folder: pathlib.Path, *command: str) -> str:
    """What a program prints that ends by itself."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", SHORTEST, ids=lambda path: path.stem)
def test_they_are_short(path: pathlib.Path) -> None:
    """Ten lines or so, without imports and documentation, lead to a working program."""
    source = path.read_text().partition("annotations\n")[2].splitlines()
    code = [line for line in source if line.strip() and not line.lstrip().startswith(("import ", "from ", '"""'))]
    assert len(code) <= 14


def test_the_rules_alone(folder: pathlib.Path) -> None:
    """A decision with its reasons."""
    assert run(folder, sys.executable, "examples/shortest/pipeline.py") == "block: partners-area, scripts\n"


def test_an_origin_is_asked(folder: pathlib.Path, pki: PKI) -> None:
    """With the node's certificate."""
    with Origin(pki) as origin:
        configuration = pki.folder / "shortest.ini"
        configuration.write_text(ini(origin.port))
        assert run(folder, sys.executable, "examples/shortest/origin.py", str(configuration), "origin") == "ok"
        assert origin.peers == ["edge as a client"]


def test_a_site_is_filtered(folder: pathlib.Path) -> None:
    """The folder is shown, but not to scripts without a certificate where partners are."""
    with running(folder, sys.executable, "examples/shortest/site.py") as port:
        assert "[listener public]" in curl(folder, *tls(port, "localhost", "/embedding.ini"))
        assert curl(folder, *tls(port, "localhost", "/partners/")) == "Forbidden.\n403"


def test_the_node_is_a_service(folder: pathlib.Path) -> None:
    """Beside another one."""
    with running(folder, *TWISTD, "-ny", "examples/shortest/node.py") as port:
        assert curl(folder, *tls(port, "localhost", "/partners/")) == "Forbidden.\n403"
        assert curl(folder, *tls(port, "localhost", "/", client=True)) == "502 Bad Gateway\n502"


def test_a_rule_is_tested(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """By pytest, in memory."""
    options = ["-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-W", "error"]
    assert "1 passed" in run(folder, sys.executable, "-m", "pytest", *options, "examples/shortest/test_rule.py")


def test_a_protocol_greets_its_client(folder: pathlib.Path) -> None:
    """By openssl, as its page says."""
    with running(folder, sys.executable, "examples/shortest/protocol.py") as port:
        command = ["openssl", "s_client", "-quiet", "-connect", f"localhost:{port}", "-servername", "localhost"]
        command += ["-CAfile", "examples/pki/ca.pem", "-cert", "examples/pki/acme.pem", "-key", "examples/pki/acme.key"]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
    assert done.stdout == "Hello, CN=acme.\n"
