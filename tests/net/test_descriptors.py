"""How many clients the process's limit of descriptors allows."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edgenode.net.descriptors import Descriptors


@contextlib.contextmanager
def limit(soft: int) -> Iterator[None]:
    """The limit of this process for a while; what is open above it stays open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("descriptors", "clients"), [(128, 48), (1024, 496), (33, 1), (10, 1)])
def test_each_client_may_have_an_origin(descriptors: int, clients: int) -> None:
    """A client is worth two descriptors, some are spare, and one client there always is."""
    with limit(descriptors):
        assert Descriptors().most == clients


def test_no_room_for_more_clients_than_that() -> None:
    """The count stops accepting, and a client that leaves lets it go on."""
    counted = Descriptors()
    with limit(1024):
        counted.clients = 495
        assert counted.room(1)
        counted.clients = 496
        assert not counted.room(1)
        counted.clients = 495
        assert counted.room(1)


def test_no_room_if_others_have_opened_too_many() -> None:
    """Descriptors that somebody else in the process has opened count too, before the last one is gone."""
    opened = [os.dup(1) for _ in range(200)]
    try:
        with limit(opened[-1] + 10):
            assert not Descriptors().room(1)
            for descriptor in opened[100:]:
                os.close(descriptor)
            del opened[100:]
            assert Descriptors().room(1)
        with limit(opened[-1]):
            assert not Descriptors().room(1)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def test_looking_leaves_nothing_open() -> None:
    """To look whether there is room takes a descriptor and gives it back."""
    before = os.dup(1)
    os.close(before)
    for _ in range(10):
        assert Descriptors().room(1)
    after = os.dup(1)
    os.close(after)
    assert before == after


def test_limit_is_raised() -> None:
    """A process takes all the descriptors that it is allowed."""
    code = (
        "import resource\nfrom edgenode.net.descriptors import raise_limit\nraise_limit()\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = ["sh", "-c", 'ulimit -n 300; ulimit -Sn 200; exec "$0" -c "$1"', sys.executable, code]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "300 300\n"
