"""nginx takes the PROXY headers that the node writes, in front of a request and in front of TLS."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest
import pytest_twisted

from tests.support.node import PKI, Changes, started
from tests.support.server_process import ServerProcess
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="no nginx")

CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ }}
http {{
    access_log off; {temporary}
    server {{
        listen 127.0.0.1:{port} proxy_protocol {ssl};
        ssl_certificate {pki}/origin.pem; ssl_certificate_key {pki}/origin.key;
        location / {{ return 200 "$proxy_protocol_addr to $proxy_protocol_server_port for $http_x_forwarded_for"; }}
    }}
}}
"""


class Nginx(ServerProcess):
    """An nginx that takes no connection without a PROXY header.

    :param tls: whether it speaks TLS behind it.
    """

    def __init__(self, folder: pathlib.Path, pki: PKI, *, tls: bool) -> None:
        super().__init__(folder, "nginx.log")
        self._values = {"pki": pki.folder, "ssl": "ssl" if tls else ""}

    def _started(self, port: int) -> bool:
        folder = self.folder
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {folder}/t;" for kind in kinds)
        text = CONFIGURATION.format(folder=folder, port=port, temporary=temporary, **self._values)
        (folder / "nginx.conf").write_text(text)
        command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self._process = subprocess.Popen(command)
        wait_for(lambda: self._ended or (folder / "nginx.pid").exists(), "nginx has started")
        return not self._ended


@pytest.mark.parametrize(("version", "tls"), [("v1", False), ("v2", False), ("v2", True)])
@pytest_twisted.ensureDeferred
async def test_nginx_hears_whose_a_connection_is(pki: PKI, tmp_path: pathlib.Path, version: str, tls: bool) -> None:
    """By its own reader, which closes connections without a good header."""
    scheme = "https" if tls else "http"
    with Nginx(tmp_path, pki, tls=tls) as nginx:
        origin: dict[str, str | None] = {"servers": f"{scheme}://127.0.0.1:{nginx.port}", "proxy-protocol": version}
        if not tls:
            origin |= {"certificate": None, "trust-store": None, "server-name": None}
        changes: Changes = {"origin origin": origin, "listener public": {"tls": "no", "server-groups": "open"}}
        async with started(pki, nginx.port, changes) as node:
            answer = await node.plain(b"GET / HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n\r\n")
            assert answer.endswith(b"127.0.0.1 to %d for 127.0.0.1" % node.port)
