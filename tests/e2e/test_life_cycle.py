"""The life of a node's process: bound, root given up, reloaded, drained, and in systemd's hands."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest

from edgenode.proxy.http2.engines import ENGINE
from tests.support.node import GROUPS, OK, PKI, Changes, Client, Origin, Served, get, ini
from tests.support.twistd import COMMAND, LISTENING, ROOT, Twistd, failing, twistd

NOBODY = pwd.getpwnam("nobody").pw_uid
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")


@pytest.fixture(scope="module")
def pki() -> Iterator[PKI]:
    """The certificates, in a folder that everybody may enter: pytest's own are their owner's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield PKI.make(folder)


@pytest.fixture
def file(pki: PKI, origin: Origin) -> pathlib.Path:
    """A good configuration file."""
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(origin.port))
    return file


def broken(origin: Origin) -> str:
    """The same with two mistakes."""
    return ini(origin.port, {"edge": {"nome": "x"}, "listener public": {"server-groups": "nobody"}})


def blocking(origin: Origin) -> str:
    """The same, good, and everything is refused with 403."""
    return ini(origin.port, {"global-filter all": {"action": "block", "path": "^/"}})


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """``edgenode reload``."""
    whole = [sys.executable, "-m", "edgenode", "reload", *arguments]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(whole, env=surroundings, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def read_until(node: Twistd, text: str) -> None:
    """Read the node's log until it says something."""
    assert node.process.stdout is not None
    while text not in node.log:
        line = node.process.stdout.readline()
        assert line, node.log
        node.log += line.decode()


# -- reload ----------------------------------------------------------------------------------------------------------


def test_a_hangup_reloads(origin: Origin, file: pathlib.Path) -> None:
    """SIGHUP ends no node: all problems of a bad file are reported, and a good one is in use when the log says so."""
    with twistd(file) as node, Client(node.port) as client:
        file.write_text(broken(origin))
        node.process.send_signal(signal.SIGHUP)
        read_until(node, "nothing has changed")
        assert "[edge] nome: unknown key" in node.log
        assert "[listener public] server-groups: there is no [server-group nobody]" in node.log
        assert client.ask(get()).status == 200
        file.write_text(blocking(origin))
        node.process.send_signal(signal.SIGHUP)
        read_until(node, ": reloaded")
        assert client.ask(get()).status == 403


def test_the_command_reloads_and_says_so(origin: Origin, file: pathlib.Path) -> None:
    """When it is back the new configuration is in use, and its warnings have been shown; status 0."""
    with twistd(file) as node, Client(node.port) as client:
        file.write_text(blocking(origin) + "[origin unused]\nservers = http://127.0.0.1:1\n")
        done = command("--pid", str(node.process.pid))
        assert client.ask(get()).status == 403
        assert (done.returncode, done.stderr) == (0, "")
        number = file.read_text().splitlines().index("[origin unused]") + 1
        warning = f"{file}:{number}: warning: [origin unused]: nothing refers to this section"
        assert done.stdout == f"{warning}\n{file}: reloaded\n"


def test_feeds_list_shows_what_the_running_node_uses(origin: Origin, file: pathlib.Path) -> None:
    """Not what the file says meanwhile; with the age of its content."""
    feed = file.parent / "bad.txt"
    feed.write_text("192.0.2.1\n192.0.2.7-192.0.2.9\n")
    fed = {"action": "block", "feed": "ip", "source": "file:bad.txt"}
    file.write_text(ini(origin.port, {"global-filter bad": fed}))
    with twistd(file) as node:
        file.write_text(ini(origin.port, {"global-filter other": fed}))
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
        whole = [sys.executable, "-m", "edgenode", "feeds", "list", "--pid", str(node.process.pid), str(file)]
        done = subprocess.run(whole, env=surroundings, capture_output=True, text=True, timeout=60, check=True)
        (line,) = done.stdout.splitlines()[1:]
        assert re.fullmatch(rf"global-filter bad +file:{re.escape(str(feed))} +2 +0:0[01]:[0-9]{{2}} +-", line)


def test_status_tells_what_the_running_node_is(origin: Origin, file: pathlib.Path) -> None:
    """Not what the file says meanwhile; and what came of the last reload."""
    with twistd(file) as node, Client(node.port) as client:
        assert client.ask(get()).status == 200
        file.write_text(broken(origin))
        assert command("--pid", str(node.process.pid)).returncode == 1
        whole = [sys.executable, "-m", "edgenode", "status", "--json", "--pid", str(node.process.pid)]
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(whole, env=surroundings, capture_output=True, text=True, timeout=60, check=True)
        told = json.loads(done.stdout)
        assert (told["pid"], told["path"]) == (node.process.pid, str(file))
        assert told["reload"]["done"] is False
        assert told["reload"]["at"] > told["loaded"]
        assert any("nome: unknown key" in problem for problem in told["reload"]["problems"])
        (listener,) = told["listeners"]
        assert (listener["address"], listener["connections"]) == (f"127.0.0.1:{node.port}", 1)
        assert {each["name"] for each in told["certificates"]} == {"edge", "edge-client"}
        assert told["rates"]["statuses"].keys() == {"2xx"}
        del whole[4]
        shown = subprocess.run(whole, env=surroundings, capture_output=True, text=True, timeout=60, check=True).stdout
        assert "ago: cannot be used, and nothing has changed\n" in shown
        assert f"public    127.0.0.1:{node.port}" in shown


def test_a_named_pipe_is_no_configuration(origin: Origin, file: pathlib.Path) -> None:
    """A reload does not wait for its writer: neither the next one nor the end of the node would ever come."""
    with twistd(file) as node, Client(node.port) as client:
        file.unlink()
        os.mkfifo(file)
        done = command("--pid", str(node.process.pid))
        assert done.returncode == 1
        assert done.stderr.startswith(f"cannot read {file}: it is no regular file\n")
        file.unlink()
        file.write_text(blocking(origin))
        assert command("--pid", str(node.process.pid)).returncode == 0
        assert client.ask(get()).status == 403


def test_the_command_shows_every_problem(origin: Origin, file: pathlib.Path) -> None:
    """As ``check`` does, with status 1, and the node goes on as before."""
    with twistd(file) as node, Client(node.port) as client:
        file.write_text(broken(origin))
        done = command("--pid", str(node.process.pid))
        assert (done.returncode, done.stdout) == (1, "")
        checked = subprocess.run(
            [sys.executable, "-m", "edgenode", "check", str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.splitlines()[:-1] == checked.stderr.splitlines()[:-1]
        assert done.stderr.splitlines()[-1] == f"{file}: cannot be used, and nothing has changed"
        assert client.ask(get()).status == 200


def test_the_command_finds_its_node_by_twistds_file(file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """In the current folder, or wherever it is; the last ``--pidfile`` counts."""
    with twistd(file, options=["--pidfile", str(tmp_path / "twistd.pid")]):
        assert command(cwd=tmp_path).returncode == 0
        assert command("--pid-file", str(tmp_path / "twistd.pid")).returncode == 0


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (None, "no node is known here: cannot read twistd.pid: No such file or directory"),
        ("junk", "no node is known here: there is no process number in twistd.pid"),
        ("1", "process 1 cannot be asked: no node runs there"),
    ],
)
def test_without_a_node_the_command_says_so(tmp_path: pathlib.Path, written: str | None, sentence: str) -> None:
    """In one sentence, with status 1."""
    if written is not None:
        (tmp_path / "twistd.pid").write_text(written)
    done = command(cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"edgenode reload: {sentence}\n")


def test_many_who_ask_at_once_are_all_told(origin: Origin, file: pathlib.Path) -> None:
    """They share a reload that began after they had asked, and connections that ask for nothing do not stop them."""
    with twistd(file) as node, contextlib.ExitStack() as idle:
        for data in (b"", b"rel", b"junk", b"reload\nreload\n"):
            sock = idle.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(f"\0edgenode.{node.process.pid}")
            sock.sendall(data)
        file.write_text(blocking(origin))
        answers: list[int] = []
        asking = [
            threading.Thread(target=lambda: answers.append(command("--pid", str(node.process.pid)).returncode))
            for _ in range(5)
        ]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert answers == [0] * 5
        with Client(node.port) as client:
            assert client.ask(get()).status == 403


@AS_ROOT
def test_a_node_obeys_no_stranger(file: pathlib.Path) -> None:
    """Another user's command is refused, and changes nothing."""
    with twistd(file) as node:
        stranger = "import os, sys; from edgenode.__main__ import main; import edgenode.commands.reload; "
        stranger += f"os.setuid({NOBODY}); sys.exit(main())"
        arguments = [sys.executable, "-c", stranger, "reload", "--pid", str(node.process.pid)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "it takes no orders from this user" in done.stderr
    assert ": reloaded" not in node.log


def test_the_command_believes_no_stranger() -> None:
    """Whoever has taken the name of a node's socket is not that node."""
    # A process that does nothing until it is ended.
    with subprocess.Popen(["sleep", "60"]) as process, socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0edgenode.{process.pid}")
        sock.listen()
        done = command("--pid", str(process.pid))
        process.kill()
    assert (done.returncode, done.stdout) == (1, "")
    assert "somebody else answers in its place" in done.stderr


# -- the end ---------------------------------------------------------------------------------------------------------


def _stalling(asked: threading.Event, let: threading.Event, served: Served) -> None:
    while served.request() is not None:
        asked.set()
        assert let.wait(20)
        served.send(OK)


def test_sigterm_lets_requests_end(origin: Origin, file: pathlib.Path) -> None:
    """What is under way is answered, nothing new is accepted, and the status is 0."""
    asked, let = threading.Event(), threading.Event()
    origin.behaviour = lambda served: _stalling(asked, let, served)
    file.write_text(ini(origin.port, {"edge": {"drain-timeout": "1h"}}))
    with twistd(file) as node, Client(node.port) as client:
        client.send(get())
        assert asked.wait(10)
        node.process.send_signal(signal.SIGTERM)
        read_until(node, "SIGTERM")
        while True:
            # A connection that waits in the kernel's queue while the socket is closed is reset.
            with contextlib.suppress(ConnectionResetError):
                try:
                    socket.create_connection(("127.0.0.1", node.port)).close()
                except ConnectionRefusedError:
                    break
        let.set()
        assert client.answer().status == 200
        assert node.process.wait(10) == 0


def test_a_second_sigterm_does_not_wait(origin: Origin, file: pathlib.Path) -> None:
    """Whatever the ``drain-timeout``, and the status is 0 all the same."""
    asked, let = threading.Event(), threading.Event()
    origin.behaviour = lambda served: _stalling(asked, let, served)
    file.write_text(ini(origin.port, {"edge": {"drain-timeout": "1h"}}))
    with twistd(file) as node, Client(node.port) as client:
        client.send(get())
        assert asked.wait(10)
        node.process.send_signal(signal.SIGTERM)
        read_until(node, "SIGTERM")
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(60) == 0
        assert client.rest() == b""
        let.set()


def test_a_port_that_is_taken_ends_the_node_with_one_sentence(origin: Origin, file: pathlib.Path) -> None:
    """And with status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(ini(origin.port, {"listener public": {"endpoint": f"tcp:{port}:interface=127.0.0.1"}}))
        said = failing(file)
    assert f"edgenode: cannot listen on 127.0.0.1:{port}: Address already in use\n" in said
    assert "Traceback" not in said


def test_events_that_cannot_be_written_end_the_node_with_one_sentence(origin: Origin, file: pathlib.Path) -> None:
    """And with status 1."""
    file.write_text(ini(origin.port, {"edge": {"events": "/proc/events"}}))
    said = failing(file)
    assert "edgenode: cannot write the events: " in said
    assert "Traceback" not in said


# -- root ------------------------------------------------------------------------------------------------------------


@AS_ROOT
def test_root_is_given_up_after_binding(pki: PKI, origin: Origin) -> None:
    """A port below 1024 is bound and the key read by root, which is gone then for good; what it may read it reloads."""
    file = pki.folder / "private" / "edgenode.ini"
    file.parent.mkdir()
    text = ini(origin.port, {"edge": {"events": "events"}, "listener public": {"endpoint": "tcp:PORT"}})
    for each in pki.folder.glob("*.*"):
        shutil.copy2(each, file.parent)
    with _privileged_port() as port:
        file.write_text(text.replace("tcp:PORT", f"tcp:{port}:interface=127.0.0.1"))
        options = ["--uid", "nobody", "--gid", "nogroup"]
        with twistd(file, options=options, extra_groups=[0, 4]) as node, Client(node.port) as client:
            assert node.port == port
            status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
            for name in ("Uid", "Gid", "Groups"):
                numbers = re.findall(rf"(?m)^{name}:\s+(.*)$", status)[0].split()
                assert numbers
                assert "0" not in numbers
            assert re.findall(r"CapEff:\s+(\w+)", status) == ["0" * 16]
            done = command("--pid", str(node.process.pid))
            assert done.returncode == 1
            assert "edge.key cannot be read: Permission denied" in done.stderr
            assert client.ask(get()).status == 200
            for key in file.parent.glob("*.key"):
                os.chown(key, 0, grp.getgrnam("nogroup").gr_gid)
                key.chmod(0o640)
            done = command("--pid", str(node.process.pid))
            assert done.returncode == 0, done
            file.write_text(text.replace("tcp:PORT", "tcp:1"))
            done = command("--pid", str(node.process.pid))
            assert "[listener public] endpoint: cannot listen on 0.0.0.0:1: Permission denied" in done.stderr
            assert client.ask(get()).status == 200
    assert (file.parent / "events").read_text().count("\n") == 2


@contextlib.contextmanager
def _privileged_port() -> Iterator[int]:
    """A port below 1024 that nobody has; it is let go right before it is used."""
    for port in range(1023, 600, -1):
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            break
    yield port


# -- systemd ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(origin: Origin, file: pathlib.Path, tmp_path: pathlib.Path, abstract: bool) -> None:
    """Ready once it serves, reloading with the time, ready again, stopping; by path and in the abstract namespace."""
    name = f"@edgenode-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        systemd.settimeout(20)
        with twistd(file, {"NOTIFY_SOCKET": name}) as node:
            assert systemd.recv(4096) == b"READY=1\nSTATUS=serving"
            before = time.monotonic_ns() // 1000
            assert command("--pid", str(node.process.pid)).returncode == 0
            reloading = systemd.recv(4096).decode().splitlines()
            assert reloading[0] == "RELOADING=1"
            assert before < int(reloading[1].removeprefix("MONOTONIC_USEC=")) < time.monotonic_ns() // 1000
            assert systemd.recv(4096) == b"READY=1\nSTATUS=serving"
            file.write_text(broken(origin))
            assert command("--pid", str(node.process.pid)).returncode == 1
            assert systemd.recv(4096).startswith(b"RELOADING=1\n")
            assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=serving; the last reload failed")
        assert systemd.recv(4096).startswith(b"STOPPING=1\n")


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Passes a socket as systemd does: as descriptor 3, to a process that knows from its own number that it is meant."""


@contextlib.contextmanager
def activated(file: pathlib.Path, sock: socket.socket) -> Iterator[Twistd]:
    """A node that gets a socket from systemd, named ``web``."""
    number = sock.fileno()
    with twistd(file, shell=[sys.executable, "-c", ACTIVATE, str(number)], pass_fds=[number]) as node:
        yield node


@pytest.mark.parametrize("endpoint", ["systemd:name=web", "systemd:domain=INET:index=0"])
def test_a_socket_of_systemds_is_adopted(origin: Origin, file: pathlib.Path, endpoint: str) -> None:
    """Who has connected before the node was there is served; a reload that drops the listener can bring it back."""
    public: Changes = {"listener public": {"endpoint": endpoint}}
    other: Changes = {"listener public": {"endpoint": "tcp:0:interface=127.0.0.1"}}
    file.write_text(ini(origin.port, public))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        early: list[int] = []
        asking = threading.Thread(target=lambda: early.append(_status(port)))
        asking.start()
        with activated(file, sock) as node:
            assert node.port == port
            asking.join()
            assert early == [200]
            for changes in (public, other, public):
                file.write_text(ini(origin.port, changes))
                assert command("--pid", str(node.process.pid)).returncode == 0
            assert _status(port) == 200
            file.write_text(ini(origin.port, {"listener public": {"endpoint": "systemd:name=nobody"}}))
            done = command("--pid", str(node.process.pid))
            assert "cannot listen on systemd:name=nobody: systemd has passed no such socket" in done.stderr
            assert _status(port) == 200


def _status(port: int) -> int:
    with Client(port, patience=20) as client:
        return client.ask(get()).status


def test_what_is_no_listening_socket_is_not_adopted(origin: Origin, file: pathlib.Path) -> None:
    """One sentence, and status 1."""
    file.write_text(ini(origin.port, {"listener public": {"endpoint": "systemd:index=0"}}))
    assert "cannot listen on systemd:index=0: systemd has passed no such socket" in failing(file)
    with socket.socket() as deaf, pytest.raises(AssertionError, match="else than a listening TCP socket"):
        activated(file, deaf).__enter__()


# -- what a node says of itself ----------------------------------------------------------------------------------------


def test_a_node_says_what_it_is_and_one_line_for_each_exchange(origin: Origin, file: pathlib.Path) -> None:
    """Version and process, configuration and logs, each listener with its groups; and nothing of a library."""
    file.write_text(ini(origin.port, {"edge": {"access-log": None}}))
    with twistd(file) as node, Client(node.port) as client:
        assert client.ask(get()).status == 200
        read_until(node, "GET open.test/")
    said = [line.partition("] ")[2] for line in node.log.splitlines() if "[edgenode.node." in line]
    assert re.fullmatch(rf"edgenode \S+, PID {node.process.pid}", said[0])
    assert said[1:4] == [
        f"configuration {file}: events off, access log to standard output",
        f"HTTP/2 by {ENGINE}",
        f"listener public on 127.0.0.1:{node.port}: {', '.join(GROUPS)}",
    ]
    shown = r"[-\d]{10}T[:\d]{8}Z  200  127\.0\.0\.1  GET open\.test/ \| no certificate \| .*forwarded to origin"
    assert len(re.findall(rf"^{shown}$", node.log, re.MULTILINE)) == 1
    for noise in ("starting on", "_Callers", "IPv4Address", "Closed)"):
        assert noise not in node.log


def test_a_log_that_is_a_file_keeps_every_line(origin: Origin, file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The access log and the node's own, both to standard output: neither writes over the other."""
    file.write_text(ini(origin.port, {"edge": {"access-log": None}}))
    with (tmp_path / "out").open("wb") as out:
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
        whole = [*COMMAND, "edgenode", "--config", str(file)]
        with subprocess.Popen(whole, env=surroundings, cwd=tmp_path, stdout=out, stderr=out) as node:
            while (found := LISTENING.search((tmp_path / "out").read_text())) is None:
                assert node.poll() is None
                time.sleep(0.05)
            with Client(int(found[2])) as client:
                assert [client.ask(get()).status for _ in range(20)] == [200] * 20
            node.send_signal(signal.SIGTERM)
    lines = (tmp_path / "out").read_text().splitlines()
    assert sum("GET open.test/" in line for line in lines) == 20
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in lines)
    assert lines[-1].endswith("Server Shut Down.")


def test_run_is_a_node_in_the_foreground(origin: Origin, file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It serves, reloads by command, drains by SIGTERM with status 0; its log has nothing but its own words."""
    file.write_text(ini(origin.port, {"edge": {"access-log": None}}))
    line = [sys.executable, "-m", "edgenode", "run", str(file)]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "access").open("wb") as access, subprocess.Popen(
        line, env=surroundings, cwd=tmp_path, stdout=access, stderr=subprocess.PIPE, text=True
    ) as node:  # fmt: skip
        assert node.stderr is not None
        log = [node.stderr.readline() for _ in range(4)]
        found = LISTENING.search(log[3])
        assert found is not None, log
        assert f", PID {node.pid}\n" in log[0]
        with Client(int(found[2])) as client:
            assert client.ask(get()).status == 200
            file.write_text(blocking(origin))
            assert command("--pid", str(node.pid)).returncode == 0
            assert client.ask(get()).status == 403
        node.send_signal(signal.SIGTERM)
        rest = node.stderr.read()
        assert node.wait() == 0
    assert all(each.partition("] ")[0].rpartition("[")[2].startswith("edgenode.") for each in rest.splitlines()), rest
    assert [each.split("  ")[1] for each in (tmp_path / "access").read_text().splitlines()] == ["200"]


def test_a_wrong_file_prints_its_errors_alone(file: pathlib.Path) -> None:
    """And not how twistd is used, for the command line was right."""
    file.write_text("[edge]\nnome = x\n")
    written = failing(file)
    assert f"{file}:2: [edge] nome: unknown key" in written
    assert "Usage" not in written
    assert "--config" not in written
