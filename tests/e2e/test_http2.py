"""HTTP/2 with the clients of others: curl, nghttp and h2load against a node in a process of its own."""

from __future__ import annotations

import hashlib
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.node import PKI, Alone, Origin, Served, alone

BIG = b"0123456789abcdef" * 65536


def _echo(served: Served) -> None:
    """Answer with a digest of the body, or with what is asked for."""
    while (request := served.request()) is not None:
        head, _, body = request.partition(b"\r\n\r\n")
        target = head.split(b" ", 2)[1]
        if target == b"/big":
            answer = BIG
        elif target == b"/hints":
            served.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style>; rel=preload\r\n\r\n")
            answer = b"hinted"
        else:
            answer = b"%d %b" % (len(body), hashlib.sha256(body).hexdigest().encode())
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))


@pytest.fixture(scope="module")
def node(pki: PKI) -> Iterator[Alone]:
    """A node in front of it."""
    changes = {"path-map all": {"max-body-size": "100m"}, "listener public": {"max-requests": "1000"}}
    with Origin(pki, _echo) as origin, alone(pki, origin, changes) as node:
        yield node


def _run(*words: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no {words[0]} here")
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.decode("latin-1") + done.stderr.decode("latin-1")


def curl(pki: PKI, node: Alone, path: str, *options: str, host: str = "open.test") -> str:
    """What curl prints: with the status and the version behind it."""
    trusted, place = str(pki.folder / "servers.pem"), f"{host}:{node.port}:127.0.0.1"
    said = ("-sS", "--http2", "--cacert", trusted, "--resolve", place, "-w", "\n%{http_code} %{http_version}\n")
    return _run("curl", *said, *options, f"https://{host}:{node.port}{path}")


def test_curl_asks_and_sends(pki: PKI, node: Alone, tmp_path: pathlib.Path) -> None:
    """Small and large bodies, with a length and without one, and a response without a body."""
    file = tmp_path / "body"
    file.write_bytes(BIG * 4)
    assert curl(pki, node, "/").endswith("\n200 2\n")
    digest = f"{len(BIG) * 4} {hashlib.sha256(BIG * 4).hexdigest()}"
    assert curl(pki, node, "/", "--data-binary", f"@{file}") == f"{digest}\n200 2\n"
    file.write_bytes(BIG[:100_000])
    framed = curl(pki, node, "/", "-T", str(file), "-H", "Content-Length:")  # in chunks, to the origin
    assert int(framed.split()[0]) > 100_000
    assert framed.endswith("\n200 2\n")
    assert curl(pki, node, "/", "-H", "Expect: 100-continue", "-d", "ab").startswith("2 ")
    assert curl(pki, node, "/", "-I").endswith("\n200 2\n")
    assert curl(pki, node, "/big").encode().startswith(BIG)


def test_curl_sends_many_requests_on_one_connection(pki: PKI, node: Alone) -> None:
    """All at once, and with a client certificate where one is needed."""
    pki.client.write(pki.folder, "curl")
    names = f"https://strict.test:{node.port}/[1-40]"
    said = curl(
        pki, node, "/last", "-Z", "--cert", str(pki.folder / "curl.pem"), "--key", str(pki.folder / "curl.key"),
        names, host="strict.test",
    )  # fmt: skip
    assert len(re.findall(r"\b200 2\b", said)) == 41
    assert "400 2" in curl(pki, node, "/", host="strict.test")


def test_nghttp_hears_of_hints(node: Alone) -> None:
    """An interim response, and a large one, on streams of one connection."""
    url = f"https://127.0.0.1:{node.port}"
    said = _run("nghttp", "-nvy", "-H", ":authority: open.test", f"{url}/hints", f"{url}/big")
    assert said.count(":status: 200") == 2
    assert ":status: 103" in said


def test_h2load_is_served(node: Alone) -> None:
    """Two thousand requests, a hundred at a time on ten connections, and large downloads."""
    for path, count in (("/", 2000), ("/big", 60)):
        said = _run(
            "h2load", "-c10", "-m10", f"-n{count}", f"--connect-to=127.0.0.1:{node.port}", f"https://open.test{path}"
        )
        assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in said
        assert f"status codes: {count} 2xx" in said
