"""``[admin]``: how it is written, and its socket."""

from __future__ import annotations

import os
import pathlib
import socket
import stat

import pytest
from twisted.internet.error import CannotListenError

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, InvalidValue
from edgenode.observe import admin
from edgenode.observe.admin import Admin, AdminEndpoint, SocketMode
from edgenode.observe.admin_socket import AdminSocket, sentence
from edgenode.testing import Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


def problems(sandbox: Sandbox, text: str) -> list[str]:
    """What is wrong with a configuration, warnings too, without the place."""
    try:
        found = Configuration.from_text(f"{sandbox.write().read_text()}\n{text}", sandbox.folder, {}).warnings
    except ConfigurationError as error:
        found = error.problems
    return [f"[{each.section}] {each.key}: {each.sentence}" for each in found]


def test_an_endpoint_is_a_socket_or_an_address() -> None:
    """A path, or what a listener has; each comes back as it was written, or means the same."""
    assert AdminEndpoint.from_text("unix:/run/edgenode/admin.sock").path == "/run/edgenode/admin.sock"
    assert str(AdminEndpoint.from_text("unix:/a.sock")) == "unix:/a.sock"
    assert str(AdminEndpoint.from_text("tcp:9100:interface=127.0.0.1")) == "127.0.0.1:9100"
    assert SocketMode.from_text("0660").bits == 0o660
    assert str(SocketMode.from_text("660")) == "660"


@pytest.mark.parametrize("text", ["unix:admin.sock", "unix:", "unix:/", f"unix:/{'a' * 107}", "9100", "tcp:x", ""])
def test_what_is_no_endpoint_is_an_error(text: str) -> None:
    """A path begins with a slash, and fits into a kernel's address."""
    with pytest.raises(InvalidValue):
        AdminEndpoint.from_text(text)


@pytest.mark.parametrize("text", ["", "8", "888", "+60", "rw", "10660"])
def test_what_are_no_permissions_is_an_error(text: str) -> None:
    """They are three octal digits, perhaps behind a 0."""
    with pytest.raises(InvalidValue):
        SocketMode.from_text(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", None),
        ("endpoint = tcp:9100:interface=127.0.0.1", None),
        ("endpoint = tcp6:9100:interface=\\:\\:1", None),
        ("endpoint = unix:/run/a.sock\nmode = 660", None),
        ("endpoint = tcp:9100", "[admin] endpoint: is no loopback address"),
        ("endpoint = systemd:name=admin", "[admin] endpoint: is no loopback address"),
        ("endpoint = tcp:9100:interface=127.0.0.1\nmode = 660", "[admin] mode: has no effect on an address"),
        ("mode = 660", "[admin] mode: has no effect without endpoint"),
        ("endpoint = tcp:443:interface=127.0.0.1", "[admin] endpoint: [listener public] listens on port 443 too"),
        ("endpoint = tcp:443", "[admin] endpoint: [listener public] listens on port 443 too"),
        ("endpoint = unix:a", "[admin] endpoint: the path of a socket begins with /"),
    ],
)
def test_check_says_what_is_doubtful(sandbox: Sandbox, text: str, said: str | None) -> None:
    """An address that others reach is a warning, one that a listener has an error, and so on."""
    found = problems(sandbox, f"[admin]\n{text}\n")
    assert any(each.startswith(said) for each in found) if said else not found


def test_metrics_need_a_package(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a section that listens is an error, which names the extra."""
    monkeypatch.setattr(admin, "find_spec", lambda name: None)
    (found,) = problems(sandbox, "[admin]\nendpoint = unix:/run/a.sock\n")
    assert found.endswith("needs the package prometheus-client: pip install prometheus-client")
    assert not problems(sandbox, "[admin]\n")


# -- its socket --------------------------------------------------------------------------------------------------------


def section(path: pathlib.Path, mode: int = 0o600) -> Admin:
    """A section with a socket."""
    return Admin(endpoint=AdminEndpoint(str(path)), mode=SocketMode(mode))


def test_a_socket_has_its_permissions_and_goes_with_its_node(tmp_path: pathlib.Path) -> None:
    """They can be changed, and the file is removed in the end; nothing that has taken its place is."""
    path = tmp_path / "a.sock"
    listening = AdminSocket(section(path, 0o640), None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    listening.chmod(section(path, 0o666))
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    listening.close()
    assert not path.exists()
    listening = AdminSocket(section(path), None)
    path.unlink()
    path.write_text("another's")
    listening.chmod(section(path, 0o666))
    listening.close()
    assert path.read_text() == "another's"
    assert stat.S_IMODE(path.stat().st_mode) != 0o666


def test_the_socket_of_a_dead_node_is_replaced(tmp_path: pathlib.Path) -> None:
    """Nobody listens there; one at which somebody does is left alone, and so is every other file."""
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listening = AdminSocket(section(path), None)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    with pytest.raises(CannotListenError) as failed:
        AdminSocket(section(path), None)
    assert sentence(failed.value) == f"cannot listen on unix:{path}: Address already in use"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listening.close()
    path.write_text("a file")
    with pytest.raises(CannotListenError, match="no socket"):
        AdminSocket(section(path), None)
    assert path.read_text() == "a file"
    path.unlink()
    os.symlink("nowhere", path)
    with pytest.raises(CannotListenError):
        AdminSocket(section(path), None)


def test_a_node_that_is_busy_is_not_dead(tmp_path: pathlib.Path) -> None:
    """Somebody listens, though nobody can connect for now."""
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        try:
            for each in clients:
                each.setblocking(False)
                each.connect_ex(str(path))
            with pytest.raises(CannotListenError, match="in use"):
                AdminSocket(section(path), None)
        finally:
            for each in clients:
                each.close()


def test_a_socket_in_a_folder_that_there_is_not(tmp_path: pathlib.Path) -> None:
    """It cannot be had, and that is said in one sentence."""
    with pytest.raises(CannotListenError) as failed:
        AdminSocket(section(tmp_path / "none" / "a.sock"), None)
    assert sentence(failed.value).endswith("none/a.sock: No such file or directory")
