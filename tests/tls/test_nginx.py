"""The table of nginx_matrix.py, asked of a real nginx; skipped where none is installed on OpenSSL 3."""

from __future__ import annotations

import pathlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.support.certificates import write_pem
from tests.support.nginx_matrix import MODES, NOT_YET, Scene, cells
from tests.support.waiting import wait_for

NOT_YET_3 = "certificate is not yet valid"


def openssl_of_nginx() -> str:
    """What ``nginx -V`` says of its OpenSSL; empty without nginx."""
    if shutil.which("nginx") is None:
        return ""
    return subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr


pytestmark = pytest.mark.skipif("OpenSSL 3." not in openssl_of_nginx(), reason="no nginx on OpenSSL 3")

SERVER = """
server {{
    listen unix:{folder}/{mode}-{crl}.sock ssl; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/root.pem; ssl_verify_client {nginx_mode}; {crl_line}
    error_page 495 =200 /495; error_page 496 =200 /496;
    location = /495 {{ return 200 "495 $ssl_client_verify"; }}
    location = /496 {{ return 200 "496 $ssl_client_verify"; }}
    location / {{ return 200 "200 $ssl_client_verify"; }}
}}"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pathlib.Path, Scene]]:
    """A running nginx with one socket for each mode, with and without a CRL; and the certificates."""
    folder, scene = tmp_path_factory.mktemp("nginx"), Scene.make()
    (folder / "logs").mkdir()
    write_pem(folder / "root.pem", [scene.root])
    write_pem(folder / "crl.pem", [scene.crl])
    scene.server.write(folder, "server")
    servers = [
        SERVER.format(
            folder=folder, mode=mode, crl=crl, nginx_mode=mode.replace("-", "_"),
            crl_line=f"ssl_crl {folder}/crl.pem;" if crl else "",
        )
        for mode in MODES for crl in (False, True)
    ]  # fmt: skip
    temporary = " ".join(
        f"{kind}_temp_path {folder}/t;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/logs/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary} {''.join(servers)} }}\n"
    )
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: process.poll() is not None or (folder / "pid").exists(), "nginx has started")
        assert process.poll() is None, "nginx did not start"
        yield folder, scene
    finally:
        process.terminate()
        process.wait()


def ask(path: pathlib.Path, context: ssl.SSLContext) -> str:
    """The body of nginx's answer."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(path))
        with context.wrap_socket(raw) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_table_is_what_nginx_does(nginx: tuple[pathlib.Path, Scene], version: ssl.TLSVersion) -> None:
    """Every cell of the table is nginx's own answer, in both TLS versions."""
    folder, scene = nginx
    contexts: Mapping[str, ssl.SSLContext] = {kind: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for kind in scene.clients}
    for kind, chain in scene.clients.items():
        context = contexts[kind]
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if chain:
            file = folder / "client.pem"
            file.write_bytes(b"".join(issued.pem for issued in chain) + chain[0].key_pem())
            context.load_cert_chain(file)
    wrong = []
    for cell in cells():
        answer = ask(folder / f"{cell.mode}-{cell.crl}.sock", contexts[cell.kind]).replace(NOT_YET_3, NOT_YET)
        if answer != f"{cell.status} {cell.verify}":
            wrong.append(f"{cell}: {answer}, not {cell.status} {cell.verify}")
    assert wrong == []
