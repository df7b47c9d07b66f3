"""``type = s3``: a batch as an object of lines of JSON, in S3 and what is compatible with it.

Law: an object's name follows from the first event in it, so that a batch that is sent again takes the place of what was
there of it, and every event is in one object.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import hashlib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Choice, File, Secret, Word, setting
from edgenode.observe.exporters.http import (
    Answer,
    HTTPReceiver,
    HTTPRequest,
    HTTPSender,
    SentHeader,
    authority,
    secret,
)
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Unavailable
from edgenode.observe.exporters.signature_v4 import Credentials, Scope, encoded, signed
from edgenode.proxy.origin.pool import OriginPool

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
_ACCESS_KEY = re.compile(r"[!-+.-~-]{3,128}")
_PREFIX = re.compile(r"(?!/)[ -~]{0,512}")
_GZIP_LEVEL = 6
_ENDS = {"gzip": ".gz", "zstd": ".zst", "off": ""}
_TYPES = {"gzip": "application/gzip", "zstd": "application/zstd", "off": "application/x-ndjson"}


def zstandard() -> Callable[[bytes], bytes]:
    """What compresses by Zstandard.

    :raises ImportError: if nothing does.
    """
    compress: Callable[[bytes], bytes]
    try:  # in Python 3.14 and later
        compress = importlib.import_module("compression.zstd").compress
    except ImportError:
        compress = importlib.import_module("zstandard").ZstdCompressor().compress
    return compress


@frozen
class S3:
    """A bucket of S3, or of what is compatible with it."""

    streams: ClassVar[bool] = False

    headers: tuple[SentHeader, ...] = setting("Further header fields, one ``name: value`` a line; they are signed.", ())
    bucket: Word = setting("The bucket.")
    prefix: str = setting(
        "What the names of objects begin with, such as ``edgenode/``; behind it stand the year, month, day and hour of "
        "the first event, UTC, and the node.",
        "",
    )
    region: Word = setting("The region that signatures are made for.", Word("us-east-1"))
    addressing: Annotated[str, Choice(("path", "host"))] = setting(
        "Where the bucket is named: in the ``path``, as compatible servers and old regions have it, or already in the "
        "``host``, the server of the origin: ``https://BUCKET.s3.REGION.amazonaws.com``.",
        "path",
    )
    access_key: Word = setting("The identifier of the access key.")
    secret_key: Secret | None = setting("The secret access key.", None)
    secret_key_file: File | None = setting(
        "A file whose first line is the secret access key; it is read for every request. Only its owner, and at most "
        "one group, should be able to read it.",
        None,
    )
    session_token_file: File | None = setting(
        "A file whose first line is the session token of temporary credentials; it is read for every request.", None
    )
    compression: Annotated[str, Choice(tuple(_ENDS))] = setting(
        "How objects are compressed; their names end in ``.jsonl.gz``, ``.jsonl.zst`` or ``.jsonl``. ``zstd`` needs "
        "the package ``zstandard`` before Python 3.14.",
        "gzip",
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        for faulty, key, sentence in (
            (not _BUCKET.fullmatch(self.bucket), "bucket", "expected 3 to 63 lower case letters, digits, - and ."),
            (not _PREFIX.fullmatch(self.prefix), "prefix", "expected at most 512 ASCII characters, without / in front"),
            (not _REGION.fullmatch(self.region), "region", "expected letters, digits and hyphens: eu-central-1"),
            (not _ACCESS_KEY.fullmatch(self.access_key), "access-key", "expected an identifier without commas"),
            (
                self.secret_key is not None and self.secret_key_file is not None,
                "secret-key-file",
                "there is one secret: secret-key and secret-key-file exclude each other",
            ),
        ):
            if faulty:
                raise InvalidValue(sentence, which=key)

    def sender(self, pool: OriginPool, timeout: float, node: str) -> HTTPSender:
        """What sends to it."""
        return HTTPSender(Bucket(keys=self, host=authority(pool), node=node, headers=self.headers), pool, timeout)

    def faults(self) -> Sequence[tuple[str, str, bool]]:
        """What is wrong with its keys, or doubtful: the key, a sentence, and whether it is a warning."""
        found = []
        try:
            if secret(self.secret_key, self.secret_key_file) is None:
                found.append(("secret-key", "this key is required, or secret-key-file", False))
        except InvalidValue as problem:
            found.append(("secret-key-file", problem.sentence, False))
        try:
            secret(None, self.session_token_file)
        except InvalidValue as problem:
            found.append(("session-token-file", problem.sentence, False))
        if self.compression == "zstd":
            try:
                zstandard()
            except ImportError:
                sentence = "Zstandard needs Python 3.14, or the package zstandard: pip install zstandard"
                found.append(("compression", sentence, False))
        return found


@frozen(kw_only=True)
class Bucket(HTTPReceiver):
    """A bucket as what is sent requests.

    :ivar keys: what is written of it.
    :ivar host: the Host of requests, which is signed.
    """

    refusing: ClassVar[frozenset[int]] = frozenset()
    """No status is an event's fault: a key, a bucket or a right is wrong, and can be put right."""

    keys: S3
    host: str

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """The object."""
        lines, compression = b"".join(b"%b\n" % each.line for each in events), self.keys.compression
        body = lines
        if compression == "gzip":
            body = gzip.compress(lines, _GZIP_LEVEL, mtime=0)
        elif compression == "zstd":
            body = zstandard()(lines)
        place = f"/{self.keys.bucket}/" if self.keys.addressing == "path" else "/"
        headers = {
            "content-type": _TYPES[compression],
            "content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii"),
        }
        return HTTPRequest(body, headers, b"PUT", encoded(f"{place}{self.name(events[0])}"))

    def name(self, first: Outgoing) -> str:
        """The name of an object, by the first event in it."""
        hour = datetime.datetime.fromtimestamp(first.time, datetime.UTC).strftime("%Y/%m/%d/%H")
        digest = hashlib.sha256(first.key.encode()).hexdigest()[:8]
        return f"{self.keys.prefix}{hour}/{self.node}-{first.place}-{digest}.jsonl{_ENDS[self.keys.compression]}"

    def finish(self, request: HTTPRequest, body: bytes, now: float) -> Mapping[str, str]:
        """The signature, of the object and of all that is said of it.

        :raises InvalidValue: if the file of a secret cannot be used.
        """
        keys = self.keys
        credentials = Credentials(
            keys.access_key,
            secret(keys.secret_key, keys.secret_key_file) or "",
            secret(None, keys.session_token_file) or "",
        )
        fields = {"host": self.host, **{each.name: each.value for each in keys.headers}, **request.headers}
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        digest = hashlib.sha256(body).hexdigest()
        return signed("PUT", request.target, fields, digest, moment, credentials, Scope(keys.region))

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """Only 200 says that the object is there."""
        if answer.status != 200:
            raise Unavailable(answer.said)
        return TAKEN
