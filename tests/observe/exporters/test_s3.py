"""``type = s3``: what a server of S3 has of a batch, and when it takes none."""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread

from edgenode.model.settings import File, Secret, Word
from edgenode.observe.exporters.http import HTTPSender, SentHeader
from edgenode.observe.exporters.receiver import Outgoing, Unavailable
from edgenode.observe.exporters.s3 import S3, Bucket
from tests.observe.exporters.support import Received, configured, events
from tests.support.moto import Moto, needs_moto
from tests.support.node import PKI
from tests.support.origins import Origin, answering
from tests.support.pools import pool_to

pytestmark = pytest.mark.deadline(120)  # a process starts, and it is not alone on the machine

KEYS = S3(
    bucket=Word("events"), prefix="edge node/", access_key=Word("AKID"), secret_key=Secret("s3cret"),
    region=Word("eu-central-1"),
)  # fmt: skip


@pytest.fixture(scope="module")
def moto(pki: PKI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A server that is not to be told anything which others would see."""
    with Moto(tmp_path_factory.mktemp("moto"), pki.servers) as moto:
        yield moto


@pytest.fixture
def bucket(moto: Moto) -> str:
    """A bucket of a test's own."""
    name = f"events-{len(moto.client().list_buckets()['Buckets'])}"
    moto.client().create_bucket(Bucket=name)
    return name


def objects(moto: Moto, bucket: str) -> dict[str, bytes]:
    """All that is in a bucket."""
    client = moto.client()
    names = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {name: client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}


@contextlib.contextmanager
def sending(pki: PKI, port: int, keys: S3, **settings: Any) -> Iterator[HTTPSender]:
    """What sends to a server on a port of this host."""
    with pool_to(pki, port, **{"host": Word("s3.amazonaws.com"), **settings}) as pool:
        yield keys.sender(pool, 20.0, "edge-1")


def placed(count: int, first: int = 0) -> list[Outgoing]:
    """Some events with their places in the journal."""
    return [evolve(each, place=f"000007-{number:012}") for number, each in enumerate(events(count, first), first)]


async def unavailable(sender: HTTPSender, batch: list[Outgoing]) -> Unavailable:
    """Why a batch was not taken."""
    with pytest.raises(Unavailable) as caught:
        await sender.send(batch)
    return caught.value


UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": lambda data: pytest.importorskip("zstandard").ZstdDecompressor().decompress(data),
    "off": bytes,
}


@needs_moto
@pytest.mark.parametrize(("compression", "end"), [("gzip", ".gz"), ("zstd", ".zst"), ("off", "")])
async def test_a_batch_is_an_object(pki: PKI, moto: Moto, bucket: str, compression: str, end: str) -> None:
    """Of lines, compressed, under a name that says when and where from."""
    batch = placed(300)
    keys = evolve(KEYS, bucket=Word(bucket), compression=compression)
    with sending(pki, moto.port, keys) as sender:
        assert not (await sender.send(batch)).refused
    ((name, content),) = (await deferToThread(objects, moto, bucket)).items()
    assert re.fullmatch(rf"edge node/2026/11/30/17/edge-1-000007-000000000000-[0-9a-f]{{8}}\.jsonl{end}", name)
    assert UNPACK[compression](content) == b"".join(each.line + b"\n" for each in batch)


@needs_moto
async def test_what_is_sent_again_is_there_once(pki: PKI, moto: Moto, bucket: str) -> None:
    """Also if more has come meanwhile: it takes the place of what was there."""
    keys = evolve(KEYS, bucket=Word(bucket))
    with sending(pki, moto.port, keys) as sender:
        await sender.send(placed(20))
        await sender.send(placed(20))
        await sender.send(placed(50))
        await sender.send(placed(10, 50))
    found = await deferToThread(objects, moto, bucket)
    assert len(found) == 2
    lines = b"".join(gzip.decompress(found[name]) for name in sorted(found)).splitlines()
    assert [json.loads(each)["id"] for each in lines] == [each.event["id"] for each in events(60)]


@needs_moto
async def test_the_host_may_name_the_bucket(pki: PKI, moto: Moto, bucket: str) -> None:
    """Then the path does not."""
    keys = evolve(KEYS, bucket=Word(bucket), addressing="host", headers=(SentHeader("x-amz-meta-by", "edge"),))
    host = Word(f"{bucket}.s3.amazonaws.com")
    with sending(pki, moto.port, keys, host=host) as sender:
        await sender.send(placed(2))
    assert len(await deferToThread(objects, moto, bucket)) == 1


@needs_moto
async def test_a_server_that_checks_signatures(pki: PKI, tmp_path: pathlib.Path) -> None:
    """It takes what is signed with its key; with another, or without a right, or a bucket, it takes nothing."""
    with Moto(tmp_path, pki.servers) as moto:
        client = await deferToThread(moto.client)
        await deferToThread(client.create_bucket, Bucket="events")
        identifier, secret = await deferToThread(moto.demand, "s3:PutObject")
        (tmp_path / "secret").write_text(f"{secret}\n")
        (tmp_path / "secret").chmod(0o600)
        keys = evolve(KEYS, access_key=Word(identifier), secret_key=None, secret_key_file=File(tmp_path / "secret"))
        with sending(pki, moto.port, keys) as sender:
            await sender.send(placed(5))
            (tmp_path / "secret").write_text("another")
            assert "SignatureDoesNotMatch" in str(await unavailable(sender, placed(1, 5)))
            (tmp_path / "secret").write_text(secret)
            await sender.send(placed(1, 5))
        with sending(pki, moto.port, evolve(keys, access_key=Word("AKIANOBODY"))) as sender:
            assert "InvalidAccessKeyId" in str(await unavailable(sender, placed(1)))
        with sending(pki, moto.port, evolve(keys, bucket=Word("not-there"))) as sender:
            assert "NoSuchBucket" in str(await unavailable(sender, placed(1)))
        await deferToThread(moto.check, False)
        assert len(await deferToThread(objects, moto, "events")) == 2


@needs_moto
async def test_a_server_that_starts_again(pki: PKI, tmp_path: pathlib.Path) -> None:
    """What was not taken is sent again."""
    with Moto(tmp_path, pki.servers) as moto, sending(pki, moto.port, KEYS) as sender:
        moto.kill()
        assert "Connection refused" in str(await unavailable(sender, placed(3)))
        await deferToThread(moto.start)
        assert "NoSuchBucket" in str(await unavailable(sender, placed(3)))
        client = await deferToThread(moto.client)
        await deferToThread(client.create_bucket, Bucket="events")
        await sender.send(placed(3))
        assert len(await deferToThread(objects, moto, "events")) == 1


async def test_a_server_that_is_too_busy_is_left_alone(pki: PKI) -> None:
    """503 SlowDown, for as long as it says; and no other status takes an event away."""
    said = b"<Error><Code>SlowDown</Code></Error>"
    for status, after in ((503, 7.0), (500, 0.0), (400, 0.0), (403, 0.0), (204, 0.0), (307, 0.0)):
        more = f"Retry-After: {after:.0f}\r\n" if after else ""
        answer = b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more.encode(), len(said), said)
        answer = b"HTTP/1.1 204 X\r\n\r\n" if status == 204 else answer
        with Origin(pki, answering(answer)) as origin, sending(pki, origin.port, KEYS) as sender:
            error = await unavailable(sender, placed(1))
            assert str(status) in str(error)
            assert error.after == after


async def test_what_is_signed_is_what_is_sent(pki: PKI) -> None:
    """The Host, what the body is, its digests, and further header fields."""
    keys = evolve(KEYS, headers=(SentHeader("x-amz-storage-class", "STANDARD_IA"),))
    with Origin(pki, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as origin:
        with sending(pki, origin.port, keys, host=Word("client")) as sender:
            await sender.send(placed(1))
        request = Received.of(origin.requests[0])
    assert request.line.startswith("PUT /events/edge%20node/2026/11/30/17/edge-1-000007-000000000000-")
    assert request.headers["host"] == f"origin.test:{origin.port}"
    names = re.search(r"SignedHeaders=([a-z0-9;-]+)", request.headers["authorization"])
    assert names is not None
    assert names[1].split(";") == [
        "content-md5", "content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-storage-class",
    ]  # fmt: skip
    assert "Credential=AKID/" in request.headers["authorization"]
    assert "/eu-central-1/s3/aws4_request" in request.headers["authorization"]
    assert "s3cret" not in origin.requests[0].decode("latin-1")


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True), st.integers(1, 10**6))
def test_names_differ_as_their_first_events_do(offsets: list[int], segment: int) -> None:
    """And sort as the journal does."""
    bucket = Bucket(keys=KEYS, host="a", node="edge-1")
    event = events(1)[0]
    one, two = (bucket.name(evolve(event, place=f"{segment:06}-{offset:012}")) for offset in sorted(offsets))
    assert one < two


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("bucket = Events\naccess-key = AKID\nsecret-key = a", "bucket: expected 3 to 63"),
        ("bucket = events\naccess-key = AKID", "secret-key: this key is required, or secret-key-file"),
        ("bucket = events\naccess-key = a,b,c\nsecret-key = a", "access-key: expected an identifier"),
        ("bucket = events\naccess-key = AKID\nsecret-key = a\nprefix = /a", "prefix: expected"),
        ("bucket = events\naccess-key = AKID\nsecret-key = a\nregion = a b", "region: expected a single word"),
        ("bucket = events\nsecret-key = a", "access-key: this key is required"),
        ("access-key = AKID\nsecret-key = a", "bucket: this key is required"),
        ("bucket = events\naccess-key = AKID\nsecret-key = a\ntoken = a", "token: "),
    ],
)
def test_what_cannot_work_is_an_error(keys: str, problem: str) -> None:
    """With its key."""
    found = configured(f"type = s3\n{keys}")
    assert any(each.startswith(f"[exporter x] {problem}") for each in found), found
