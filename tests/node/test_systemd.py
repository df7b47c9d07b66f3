"""What systemd hears of the node, on a socket as systemd has it."""

from __future__ import annotations

import os
import pathlib
import socket
import time
from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from edgenode.node import systemd


class Manager:
    """Systemd's end.

    :param address: where it listens; abstract with a zero byte in front.
    """

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def hear(self) -> dict[str, str]:
        """The assignments of one message."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().split("\n"))

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    """Systemd, that has named its socket."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@edgenode-test-{os.getpid()}"
    manager = Manager(name.replace("@", "\0", 1))
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    yield manager
    manager.close()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the node's log says meanwhile."""
    found: list[str] = []

    def hear(event: LogEvent) -> None:
        found.append(formatEvent(event))

    globalLogPublisher.addObserver(hear)  # type: ignore[arg-type]
    yield found
    globalLogPublisher.removeObserver(hear)  # type: ignore[arg-type]


def test_ready_comes_with_a_status(manager: Manager) -> None:
    """After the start and after each reload."""
    systemd.ready("serving")
    assert manager.hear() == {"READY": "1", "STATUS": "serving"}


def test_a_reload_comes_with_the_time_of_its_beginning(manager: Manager) -> None:
    """In microseconds of the monotonic clock, or systemd takes an earlier message for the end of it."""
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    heard = manager.hear()
    assert heard.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert heard["RELOADING"] == "1"
    assert before <= int(heard["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_stopping_is_said_before_the_last_request_has_ended(manager: Manager) -> None:
    """With a status that says what is waited for."""
    systemd.stopping()
    assert manager.hear() == {"STOPPING": "1", "STATUS": "open requests end"}


def test_each_message_is_one_datagram(manager: Manager) -> None:
    """And none is joined to another."""
    systemd.reloading()
    systemd.ready("serving")
    assert "RELOADING" in manager.hear()
    assert manager.hear() == {"READY": "1", "STATUS": "serving"}


@pytest.mark.parametrize("name", [None, ""])
def test_without_systemd_nothing_is_sent(name: str | None, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """And nothing is said of it: most nodes run without."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if name is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setattr("edgenode.node.systemd.socket.socket", None)
    systemd.ready("serving")
    assert said == []


def test_a_manager_that_is_gone_is_a_warning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """The node goes on."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.ready("serving")
    assert said == ["systemd was not notified: No such file or directory"]


def test_a_manager_that_does_not_read_holds_up_nobody(manager: Manager, said: list[str]) -> None:
    """Its queue is full after a while; then it does not hear of a state, and the log says so."""
    for _ in range(10_000):
        systemd.ready("serving")
        if said:
            break
    assert said == ["systemd was not notified: Resource temporarily unavailable"]
    assert manager.hear() == {"READY": "1", "STATUS": "serving"}


def test_no_socket_is_left_open(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after a message nor after one that could not be sent."""
    before = os.listdir("/proc/self/fd")
    systemd.ready("serving")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    systemd.ready("serving")
    assert os.listdir("/proc/self/fd") == before
