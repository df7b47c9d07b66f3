"""The example of edge functions: right as it stands, and each function lets in and keeps out whom it says."""

from __future__ import annotations

import contextlib
import importlib
import json
import pathlib
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edgenode.__main__ import main
from edgenode.config.load import Configuration
from edgenode.model.exchange import Response
from edgenode.testing import Client, FakeOrigin, MemoryNode
from tests.examples.test_examples import ROOT

joserfc = pytest.importorskip("joserfc")
FOLDER = ROOT / "examples" / "functions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A copy of the example, with its certificates, and with its functions where Python finds them."""
    folder = tmp_path_factory.mktemp("functions")
    shutil.copytree(FOLDER, folder / "examples" / "functions", ignore=shutil.ignore_patterns("pki", "__pycache__"))
    lines = re.findall(r"^#   \$ python -m edgenode pki (.*)$", (FOLDER / "functions.ini").read_text(), re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in lines:
            assert main(["pki", *shlex.split(line)]) == 0
        patch.syspath_prepend(str(folder / "examples" / "functions"))
        yield folder / "examples" / "functions"
    sys.modules.pop("edge_functions", None)


def example() -> Any:
    """The module of the functions."""
    return importlib.import_module("edge_functions")


@pytest.fixture
def issuer(folder: pathlib.Path) -> Any:
    """The key of the issuer of tokens, whose public part the example reads."""
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
    (folder / "issuer.jwks").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    example()._key_set.cache_clear()
    return key


@contextlib.contextmanager
def asking(folder: pathlib.Path, address: str = "127.0.0.1") -> Iterator[tuple[Client, dict[str, FakeOrigin]]]:
    """A client of a node with the example's configuration, and its two origins."""
    origins = {"site": FakeOrigin(), "canary": FakeOrigin()}
    with MemoryNode(Configuration.load(folder / "functions.ini"), origins) as node:
        yield node.client("localhost", address=address), origins


def test_the_example_is_right(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has neither errors nor warnings."""
    assert main(["check", str(folder / "functions.ini")]) == 0
    assert ", 0 warnings" in capsys.readouterr().out


def test_only_what_is_signed_gets_to_the_partners(folder: pathlib.Path) -> None:
    """By the secret, for this method, target and body, and not long ago; the origin does not see the signature."""
    now = int(time.time())

    def header(at: int = now, secret: str = "an-example-of-a-secret", body: bytes = b"[1]") -> list[tuple[str, str]]:
        value = example().signature(secret, b"%d" % at, b"POST", b"/partners/a?b", body).decode()
        return [("X-Signature", f"t={at},v1={value}")]

    with asking(folder) as (client, origins):
        good = header()
        assert client.ask("POST", "/partners/a?b", good, b"[1]").status == 200
        assert origins["site"].requests[-1].header(b"x-signature") is None
        for fields in ([], header(now - 400), header(now + 400), header(secret="x"), header(body=b"[2]"), good + good):
            assert client.ask("POST", "/partners/a?b", fields, b"[1]").status == 401
        assert client.ask("POST", "/partners/a?c", good, b"[1]").status == 401
        assert client.ask("PUT", "/partners/a?b", good, b"[1]").status == 401
        assert client.ask("POST", "/partners/a?b", good, b"a" * 200_000).status == 401
        assert len(origins["site"].requests) == 1


def test_scopes_of_a_token_are_tags_and_a_wrong_token_is_refused(folder: pathlib.Path, issuer: Any) -> None:
    """Expired, for others, of others, signed by others, or by an algorithm of the client's choice."""
    from joserfc import jwt
    from joserfc.jwk import ECKey, OctKey

    now = int(time.time())
    right = {"iss": "https://login.example", "aud": "shop", "exp": now + 60, "sub": "ann", "scope": "orders.read x"}

    def bearer(key: Any = issuer, algorithm: str = "ES256", **claims: object) -> list[tuple[str, str]]:
        header = {"alg": algorithm, "kid": "one"}
        return [("Authorization", "Bearer " + jwt.encode(header, {**right, **claims}, key, algorithms=[algorithm]))]

    public = json.dumps(issuer.as_dict(private=False))
    none = "eyJhbGciOiJub25lIn0." + bearer()[0][1].split(".")[1] + "."
    wrong = [
        bearer(exp=now - 1),
        bearer(iss="https://other.example"),
        bearer(aud="other"),
        bearer(ECKey.generate_key("P-256", {"kid": "one"}, private=True)),
        bearer(OctKey.import_key(public.encode()), "HS256"),
        [("Authorization", f"Bearer {none}")],
        [("Authorization", "Bearer x")],
        bearer() + bearer(),
    ]
    with asking(folder) as (client, origins):
        assert client.get("/api/orders", bearer()).status == 200
        assert origins["site"].requests[-1].header(b"x-subject") == b"ann"
        for fields in wrong:
            assert client.get("/api/orders", fields).status == 401
        assert client.get("/api/orders", bearer(scope="other")).status == 403
        assert client.get("/api/orders").status == 403
        assert len(origins["site"].requests) == 1


def test_a_share_of_the_clients_is_sent_to_the_canary(folder: pathlib.Path) -> None:
    """Always the same ones; who asks for it only if he may."""
    seen = set()
    for number in range(40):
        with asking(folder, f"192.0.2.{number}") as (client, origins):
            client.get("/")
            client.get("/", [("X-Canary", "yes")])
            seen.add((len(origins["site"].requests), len(origins["canary"].requests)))
    assert seen == {(2, 0), (0, 2)}
    with asking(folder, "198.51.100.7") as (client, origins):
        client.get("/", [("X-Canary", "yes")])
        assert origins["canary"].requests[-1].header(b"x-canary") == b"yes"


def test_no_stack_trace_gets_out(folder: pathlib.Path) -> None:
    """Nor what has written an answer."""
    with asking(folder) as (client, origins):
        html = (b"content-type", b"text/html")
        origins["site"].answer = origins["canary"].answer = Response(200, (html, (b"server", b"a")), b"<p>hello</p>")
        answer = client.get("/")
        assert (answer.status, answer.body, dict(answer.headers).get(b"server")) == (200, b"<p>hello</p>", None)
        trace = b"<pre>Traceback (most recent call last):\n  File"
        origins["site"].answer = origins["canary"].answer = Response(500, (html,), trace)
        answer = client.get("/")
        assert (answer.status, answer.body) == (500, b"Something went wrong.\n")
