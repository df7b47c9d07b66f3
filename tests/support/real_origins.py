"""Servers that others wrote, as origins that ask for a client certificate: OpenSSL's ``s_server``, and nginx."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
import subprocess
from collections.abc import Iterator

from tests.support.waiting import wait_for

NGINX = """
daemon off; master_process {master}; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    {temporary}
    server {{
        listen {listen} ssl{http2}; ssl_protocols {protocol};
        ssl_certificate {folder}/origin.pem; ssl_certificate_key {folder}/origin.key;
        ssl_client_certificate {folder}/{clients}; ssl_verify_client on; {extra}
        location / {{ return 200 "$ssl_client_s_dn $request_method $host"; }}
    }}
    server {{ listen unix:{folder}/plain.sock; location / {{ return 200 "$request_method $host"; }} }}
}}"""


@contextlib.contextmanager
def s_server(folder: pathlib.Path, *options: str) -> Iterator[int]:
    """The port of an ``openssl s_server`` that demands a certificate of the authority in ``servers.pem``.

    It answers a GET with a page, and serves one connection after the other.

    :param options: more of its options, such as ``-tls1_2``.
    """
    command = [
        "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "origin.pem", "-key", "origin.key", "-Verify", "5",
        "-verify_return_error", "-CAfile", "servers.pem", "-www", *options,
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        assert process.stdout is not None
        try:
            said = b""
            while (match := re.search(rb"ACCEPT 127.0.0.1:(\d+)\n", said)) is None:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield int(match[1])
        finally:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def nginx(
    folder: pathlib.Path,
    protocol: str = "TLSv1.2 TLSv1.3",
    extra: str = "",
    *,
    http2: bool = False,
    master: bool = False,
    clients: str = "servers.pem",
) -> Iterator[int]:
    """The port of an nginx that demands such a certificate; without TLS it listens on ``plain.sock``.

    :param protocol: its ``ssl_protocols``.
    :param extra: more directives of its server.
    :param http2: whether it knows HTTP/2.
    :param clients: the file of the authorities of its clients.
    :param master: whether it has a master process, without which it cannot reload its configuration.
    """
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = int(unused.getsockname()[1])
    temporary = " ".join(
        f"{kind}_temp_path {folder}/t;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    values = {"protocol": protocol, "http2": " http2" if http2 else "", "extra": extra, "temporary": temporary}
    values |= {"master": "on" if master else "off", "clients": clients}
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, listen=f"127.0.0.1:{port}", **values))
    (folder / "plain.sock").unlink(missing_ok=True)
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        wait_for(lambda: process.poll() is not None or (folder / "nginx.pid").exists(), "nginx has started")
        assert process.poll() is None, "nginx did not start"
        yield port
    finally:
        process.terminate()
        process.wait()
