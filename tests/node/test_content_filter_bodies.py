"""Bodies in a node with a content filter: what may not come, what cannot be seen, and what rules find in them."""

from __future__ import annotations

import gzip
import json

import pytest
from twisted.web.http_headers import Headers

from edgenode.proxy.origin.client import Body
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox
from edgenode.testing.node import result_of

NODE = """
[path-map all]
origin            = app
content-filter    = shop
inspect-body-size = 4k

[content-filter shop]
rules                 = own.conf
content-types         = application/json application/x-www-form-urlencoded multipart/form-data text/xml text/plain
body-depth            = 5
max-files             = 1
file-types            = image/*
graphql-introspection = no
partial               = {partial}
"""

OWN = """
SecDefaultAction "phase:2,log,deny"
SecRule ARGS|XML:/*|REQUEST_BODY "@contains <attack>" "id:1,phase:2,block,t:none,t:urlDecodeUni,msg:'An attack'"
"""

Asked = tuple[dict[str, str], bytes]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    made = Sandbox.make(tmp_path_factory.mktemp("sandbox"))
    (made.folder / "own.conf").write_text(OWN)
    return made


def statuses(sandbox: Sandbox, *requests: Asked, partial: str = "no") -> list[int]:
    """What bodies are answered."""
    with MemoryNode(sandbox.configuration(NODE.format(partial=partial)), {"app": FakeOrigin()}) as node:
        client, found = node.client("www.test"), list[int]()
        for headers, body in requests:
            fields = Headers({name: [value] for name, value in headers.items()})
            waiting = client.request(b"POST", b"https://www.test/", fields, Body(body))
            for _ in range(200):  # what is large is judged in pieces
                if not waiting.called:
                    node.pass_time(0.01)
            found.append(result_of(waiting).code)
        return found


def typed(kind: str, body: bytes, **headers: str) -> Asked:
    """A body of a type."""
    return {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}, body


JSON, FORM = "application/json", "application/x-www-form-urlencoded"
FILE = b"\r\n".join(
    (
        b"--B",
        b'Content-Disposition: form-data; name="f"; filename="a.png"',
        b"Content-Type: image/png",
        b"",
        b"%b",
        b"--B--",
        b"",
    )
)
MULTIPART = "multipart/form-data; boundary=B"


def test_what_is_right_comes_through(sandbox: Sandbox) -> None:
    """Bodies of all kinds that are what they say."""
    right = (
        typed(JSON, b'{"a": [1, {"b": "x"}]}'),
        typed(FORM, b"a=1&b=2"),
        typed("text/xml", b"<a><b>c</b></a>"),
        typed(MULTIPART, FILE % b"\x89PNG\r\n\x1a\n"),
        typed(JSON, json.dumps({"query": "{ a { b } }"}).encode()),
        typed(JSON, gzip.compress(b'{"a": 1}'), content_encoding="gzip"),
    )
    assert statuses(sandbox, *right) == [200] * len(right)


def test_what_may_not_come_is_refused(sandbox: Sandbox) -> None:
    """By type, by depth, by file, and by what GraphQL asks for."""
    wrong = (
        typed("application/x-java-serialized-object", b"\xac\xed"),
        typed(JSON, b"[[[[[[1]]]]]]"),
        typed(MULTIPART, FILE % b"\x7fELF"),
        typed(JSON, json.dumps({"query": "{ __schema { types { name } } }"}).encode()),
    )
    assert statuses(sandbox, *wrong) == [403] * len(wrong)


UNSEEN = (
    typed(FORM, b"a=" + b"b" * 5000),
    typed(JSON, gzip.compress(b" " * 1_000_000 + b"{}"), content_encoding="gzip"),
    typed(JSON, b"{}", content_encoding="br"),
    typed(FORM + "; charset=x-nobody-knows", b"a=1"),
    typed(JSON, b'{"a": '),
    typed("text/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
)


def test_what_cannot_be_seen_is_refused(sandbox: Sandbox) -> None:
    """What is larger than is looked at, also once it is decoded, in a coding or a character set that nobody knows, or
    none of what it says."""
    assert statuses(sandbox, *UNSEEN) == [413, 413, 415, 415, 403, 403]


def test_what_cannot_be_seen_may_be_let_pass(sandbox: Sandbox) -> None:
    """With ``partial = yes``."""
    assert statuses(sandbox, *UNSEEN, partial="yes") == [200] * len(UNSEEN)


def test_an_attack_is_found_in_whatever_it_is_sent(sandbox: Sandbox) -> None:
    """In each kind of body, under another type, in a coding, and in another character set."""
    hidden = (
        typed(FORM, b"a=%3Cattack%3E"),
        typed(FORM, b"b=1;a=%3Cattack%3E"),
        typed(FORM + "; charset=utf-16", "a=<attack>".encode("utf-16")),
        typed(JSON, b'{"a": "\\u003cattack\\u003e"}'),
        typed("text/plain", b'{"a": "\\u003cattack\\u003e"}'),
        typed(JSON, gzip.compress(b'{"a": "\\u003cattack\\u003e"}'), content_encoding="gzip"),
        typed(JSON, '{"a": "<attack>"}'.encode("utf-16-le")),
        typed("text/xml", b"<a>&lt;attack></a>"),
        typed("text/plain", b"<?xml version='1.0'?><a b='&lt;attack>'/>"),
        typed(MULTIPART, b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n<attack>\r\n--B--\r\n'),
        typed(
            MULTIPART,
            b'--B\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
            b"PGF0dGFjaz4=\r\n--B--\r\n",
        ),
    )
    found = statuses(sandbox, *hidden)
    assert [each for each, status in zip(hidden, found, strict=True) if status not in (400, 403)] == []
