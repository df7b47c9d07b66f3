"""The examples of embedding, run as they are written; only the port is one that is free."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))).removesuffix(os.pathsep),
    "EDGENODE_INI": "examples/embedding.ini",
}
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile="]
pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None, reason="tried out with curl and openssl"
)
ENDPOINT = "edgenode:examples/embedding.ini:listener=public"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the examples and the certificates that the commands in the configuration make."""
    folder = tmp_path_factory.mktemp("checkout")
    names = shutil.ignore_patterns("pki", "__pycache__", "migrating")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=names)
    ini = folder / "examples" / "embedding.ini"
    text = ini.read_text()
    commands = re.findall(r"^#   \$ python (.*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        subprocess.run(
            [sys.executable, *shlex.split(command)], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True
        )
    ini.write_text(text.replace("tcp:8446:", "tcp:0:"))
    return folder


@contextlib.contextmanager
def running(folder: pathlib.Path, *command: str) -> Iterator[int]:
    """The port of a program that says on what it listens; Ctrl-C ends it."""
    with started(folder, *command) as (port, _):
        yield port


@contextlib.contextmanager
def started(folder: pathlib.Path, *command: str) -> Iterator[tuple[int, int]]:
    """The same with its process."""
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                match = re.search(r"listening on port (\d+)|listener public on \S*:(\d+): ", line)
                if match is not None:
                    yield int(match[1] or match[2]), process.pid
                    break
            else:
                pytest.fail(said)
        finally:
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=30)
    assert "Traceback" not in rest
    assert "failed" not in rest


def curl(folder: pathlib.Path, *arguments: str) -> str:
    """What curl prints, with the status behind it; of a refused handshake the words of the alert."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-w", "%{http_code}", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def tls(port: int, host: str, path: str, *, client: bool = False) -> list[str]:
    """The arguments of curl for a request over TLS."""
    certificate = ["--cert", "examples/pki/acme.pem", "--key", "examples/pki/acme.key"] if client else []
    place = ["--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}{path}"]
    return ["--cacert", "examples/pki/ca.pem", *certificate, *place]


def test_all_examples_have_the_same_certificates() -> None:
    """They share a folder, so the commands in each are the same: whoever has tried one can go on with another."""
    files = [*(ROOT / "examples").glob("*.ini"), *(ROOT / "examples" / "seeing-why").glob("*.ini")]
    commands = {file.name: re.findall(r"^#   \$ python (.*)$", file.read_text(), re.MULTILINE) for file in files}
    assert set(commands) == {"embedding.ini", "explain.ini", "stricter.ini"}
    assert len({tuple(made) for made in commands.values()}) == 1


def test_a_site_is_filtered(folder: pathlib.Path) -> None:
    """On any endpoint: here without TLS, so that nobody can be a partner."""
    command = [sys.executable, "examples/filtered_site.py", "examples/embedding.ini", "tcp:0:interface=127.0.0.1"]
    with running(folder, *command) as port:
        assert curl(folder, f"http://127.0.0.1:{port}/") == "Hello, stranger. You are a script.\n200"
        assert curl(folder, "-A", "x", f"http://127.0.0.1:{port}/") == "Hello, stranger. You are no script.\n200"
        assert curl(folder, f"http://127.0.0.1:{port}/partners/") == "Forbidden.\n403"


def test_a_filtered_site_on_our_endpoint_knows_its_clients(folder: pathlib.Path) -> None:
    """Over HTTP/2 and HTTP/1.1; and a host of the other server group is not served on this connection."""
    command = [sys.executable, "examples/filtered_site.py", "examples/embedding.ini", ENDPOINT]
    with running(folder, *command) as port:
        for version in ("--http2", "--http1.1"):
            known = curl(folder, version, *tls(port, "localhost", "/partners/", client=True))
            unknown = curl(folder, version, *tls(port, "localhost", "/partners/"))
            astray = curl(folder, version, "-H", f"Host: partners.localhost:{port}", *tls(port, "localhost", "/"))
            assert (known, unknown) == ("Hello, CN=acme. You are a script.\n200", "Forbidden.\n403")
            assert astray.endswith("421")


def test_a_line_protocol_greets_partners_and_nobody_else(folder: pathlib.Path) -> None:
    """With the client that its text names."""
    with running(folder, sys.executable, "examples/mtls_endpoint.py", ENDPOINT) as port:
        for certificate, said in (
            (["-cert", "examples/pki/acme.pem", "-key", "examples/pki/acme.key"], b"Hello, CN=acme.\nhi, hi\n"),
            ([], b""),
        ):
            command = ["openssl", "s_client", "-quiet", "-verify_return_error", "-connect", f"localhost:{port}"]
            name = ["-servername", "partners.localhost", "-CAfile", "examples/pki/ca.pem"]
            with subprocess.Popen(
                [*command, *name, *certificate],
                cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            ) as client:  # fmt: skip
                assert client.stdin is not None
                assert client.stdout is not None
                client.stdin.write(b"hi\n")
                client.stdin.flush()
                assert client.stdout.read(len(said)) == said
                client.kill()


def test_the_last_events_are_written_when_the_reactor_stops(folder: pathlib.Path) -> None:
    """A program that ends with connections open cuts them, tells of each, and complains of nothing."""
    ini = (folder / "examples" / "embedding.ini").read_text()
    (folder / "examples" / "telling.ini").write_text(f"[edge]\nevents = events.json\n\n{ini}")
    command = [sys.executable, "examples/mtls_endpoint.py", "edgenode:examples/telling.ini"]
    name = ["-servername", "localhost", "-CAfile", "examples/pki/ca.pem"]
    with contextlib.ExitStack() as clients:
        with running(folder, *command) as port:
            client = subprocess.Popen(
                ["openssl", "s_client", "-quiet", "-connect", f"localhost:{port}", *name],
                cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            clients.enter_context(client)
            assert client.stdout is not None
            assert client.stdout.readline() == b"Hello, stranger.\n"
        client.communicate(timeout=30)
    (event,) = (folder / "examples" / "events.json").read_text().splitlines()
    assert json.loads(event)["server_group"] == "visitors"


def test_a_node_runs_within_another_program(folder: pathlib.Path) -> None:
    """``twistd -ny examples/node.tac``: the filters are the same, and the origin is really asked."""
    with running(folder, *TWISTD, "-ny", "examples/node.tac") as port:
        assert curl(folder, *tls(port, "localhost", "/partners/")) == "Forbidden.\n403"
        assert curl(folder, *tls(port, "localhost", "/partners/", client=True)) == "502 Bad Gateway\n502"


def test_twistd_serves_a_folder_behind_our_endpoint(folder: pathlib.Path) -> None:
    """``twistd web --listen edgenode:...`` asks for certificates, as every program that takes an endpoint now can."""
    served = folder / "served"
    served.mkdir(exist_ok=True)
    (served / "page.txt").write_text("for partners\n")
    with running(folder, *TWISTD, "-n", "web", "--listen", ENDPOINT, "--path", str(served)) as port:
        known = curl(folder, *tls(port, "partners.localhost", "/page.txt", client=True))
        unknown = curl(folder, *tls(port, "partners.localhost", "/page.txt"))
    assert known == "for partners\n200"
    assert unknown.startswith("000")  # refused in the handshake


@pytest.mark.parametrize("listener", ["nobody", "public:unknown=key"])
def test_twistd_does_not_start_with_an_endpoint_that_cannot_be(folder: pathlib.Path, listener: str) -> None:
    """A wrong name is an error that says so, and not a server without a port."""
    command = [*TWISTD, "-n", "web", "--listen", f"edgenode:examples/embedding.ini:listener={listener}", "--path", "."]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    sentence = "with a name of: public" if listener == "nobody" else "expected edgenode:FILE:listener=NAME"
    assert sentence in done.stdout + done.stderr


def test_the_examples_say_what_is_wrong(folder: pathlib.Path) -> None:
    """All problems of a file, without a traceback."""
    (folder / "broken.ini").write_text("[listener public]\nendpoint = tcp:0\nserver-groups = nobody\nprotocol = x\n")
    for command in (
        ["examples/mtls_endpoint.py", "edgenode:broken.ini"],
        ["examples/filtered_site.py", "broken.ini", "tcp:0"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "[listener public] server-groups" in done.stderr
        assert "[listener public] protocol" in done.stderr
        assert "Traceback" not in done.stderr
