"""A real rsyslogd for tests: an ordinary process that writes what it has read of each message as JSON."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.server_process import ServerProcess
from tests.support.waiting import wait_for

EXECUTABLE = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_PLUGINS = [
    folder for folder in map(pathlib.Path, ("/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib64/rsyslog"))
    if folder.is_dir()
] or [*pathlib.Path("/usr/lib").glob("*/rsyslog")]  # fmt: skip

needs_rsyslog = pytest.mark.skipif(EXECUTABLE is None, reason="there is no rsyslogd")
"""Marks a test that needs the server."""


def drivers() -> list[str]:
    """The TLS drivers that are installed: ``gtls`` and ``ossl``."""
    return [each for each in ("gtls", "ossl") if any((folder / f"lmnsd_{each}.so").exists() for folder in _PLUGINS)]


CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k" {tls})
module(load="imtcp" maxSessions="500" {mode})
template(name="json" type="list" option.jsonf="on") {{
    property(outname="facility" name="syslogfacility-text" format="jsonf")
    property(outname="severity" name="syslogseverity-text" format="jsonf")
    property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="app_name" name="app-name" format="jsonf")
    property(outname="process" name="procid" format="jsonf")
    property(outname="kind" name="msgid" format="jsonf")
    property(outname="data" name="structured-data" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
    property(outname="version" name="protocol-version" format="jsonf")
}}
ruleset(name="all") {{ action(type="omfile" file="{folder}/messages" template="json" {omfile}) }}
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="all")
"""


class Rsyslog(ServerProcess):
    """A server.

    :param folder: of its files; has ``origin.pem``, ``origin.key`` and ``servers.pem``, the authority of its clients.
    :param driver: of TLS, which then demands a client certificate of this name; empty for none.
    :param peer: the name.
    """

    def __init__(self, folder: pathlib.Path, driver: str = "", peer: str = "edge as a client") -> None:
        super().__init__(folder, "log")
        self._driver = driver
        self._peer = peer

    def _started(self, port: int) -> bool:
        tls = mode = ""
        if self._driver:
            files = (("CA", "servers.pem"), ("Cert", "origin.pem"), ("Key", "origin.key"))
            names = (f'defaultNetstreamDriver{kind}File="{self.folder / name}"' for kind, name in files)
            tls = f'defaultNetstreamDriver="{self._driver}" {" ".join(names)}'
            mode = (
                f'streamDriver.name="{self._driver}" streamDriver.mode="1" streamDriver.authMode="x509/name"'
                f' permittedPeer=["{self._peer}"]'
            )
        (self.folder / "rsyslog.conf").write_text(
            CONFIGURATION.format(folder=self.folder, tls=tls, mode=mode, port=port, omfile="")
        )
        (self.folder / "rsyslog.pid").unlink(missing_ok=True)  # of one that was killed
        command = [str(EXECUTABLE), "-n", "-f", "rsyslog.conf", "-i", str(self.folder / "rsyslog.pid")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        listens = f" 0100007F:{port:04X} 00000000:0000 0A "

        def ready() -> bool:
            return self._ended or listens in pathlib.Path("/proc/net/tcp").read_text()

        wait_for(ready, "rsyslogd listens", 60)
        return not self._ended and "could not bind" not in self._log.read_text()

    def stop(self) -> None:
        """End it in order."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def messages(self) -> list[dict[str, Any]]:
        """What it has written, as it has read it."""
        try:
            lines = (self.folder / "messages").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]
