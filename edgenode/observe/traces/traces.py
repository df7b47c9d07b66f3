"""``[traces]``: which requests are traced, and where their spans go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, File, Reference, Seconds, Secret, Word, setting
from edgenode.proxy.header_names import ONE_HOP
from edgenode.proxy.trace_context import PARENTS, Tracing, threshold
from edgenode.tls.certificates import read

_SHARE = re.compile(r"0(?:\.[0-9]{1,9})?|1(?:\.0{1,9})?")
_PATH = re.compile(r"/[!-\"$-~]*")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_TOKEN = re.compile(r"[ -~]{1,4096}")
_INSTALL = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-common"
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.common")


@frozen
class Share:
    """A part of all: ``0.01`` is one of a hundred."""

    value: float

    @classmethod
    def from_text(cls, text: str) -> Share:
        """Read a share.

        :raises InvalidValue: if it is none.
        """
        if not _SHARE.fullmatch(text):
            raise InvalidValue("expected a number from 0 to 1, such as 0.01 for one of a hundred")
        return cls(float(text))

    def __str__(self) -> str:
        return f"{self.value:.9f}".rstrip("0").rstrip(".")


@frozen
class Traces:
    """Which requests are traced, and where their spans go: W3C Trace Context, and OpenTelemetry's OTLP over HTTP, which
    needs the packages of the extra ``traces``. The section has no name, and without ``origin`` no request is traced."""

    kind: ClassVar[str] = "traces"

    origin: Annotated[str, Reference("origin")] | None = setting(
        "The origin that takes spans by OTLP over HTTP; its servers, certificate and trust store are used.", None
    )
    path: str = setting("The path to which spans are sent.", "/v1/traces")
    token: Secret | None = setting("The token by which the origin knows the node.", None)
    token_file: File | None = setting(
        "A file whose first line is the token; it is read for every request. Only its owner, and at most one group, "
        "should be able to read it.",
        None,
    )
    token_header: Word = setting(
        "The header field of the token. In ``authorization`` the word ``Bearer`` stands before it.",
        Word("authorization"),
    )
    sample: Share = setting("The share of new traces of which spans are made.", Share(0.01))
    parent: Annotated[str, Choice(PARENTS)] = setting(
        "Whose ``traceparent`` is continued, with its decision whether the trace is sampled: that of trusted proxies, "
        "with ``respect`` everybody's, with ``ignore`` nobody's. Of others a new trace begins, which links to theirs.",
        PARENTS[0],
    )
    service_name: Word = setting("The ``service.name`` of the spans.", Word("edgenode"))
    query: bool = setting("Whether spans have the query of a request (``url.query``): secrets are often in it.", False)
    timeout: Seconds = setting("The time for a request to the origin and its answer.", Seconds(10.0))
    interval: Seconds = setting("The longest time for which spans wait for others to be sent with.", Seconds(5.0))
    batch: Annotated[int, Between(1, 10_000)] = setting(
        "The number of requests whose spans are sent at once, at most.", 256
    )
    queue: Annotated[int, Between(1, 100_000)] = setting(
        "The number of requests whose spans wait, at most; those of further ones are dropped, and counted.", 2048
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        for faulty, key, sentence in (
            (
                not _PATH.fullmatch(self.path),
                "path",
                "expected a path that begins with /, without spaces or a fragment",
            ),
            (
                self.token is not None and self.token_file is not None,
                "token-file",
                "there is one token: token and token-file exclude each other",
            ),
            (
                not _HEADER.fullmatch(self.token_header) or self.token_header.lower().encode() in ONE_HOP,
                "token-header",
                "expected the name of a header field, and none of one hop or of the framing",
            ),
            (not 0.1 <= self.interval <= 3600, "interval", "a time from 100ms to 1h"),
            (not 0.1 <= self.timeout <= 600, "timeout", "a time from 100ms to 10m"),
        ):
            if faulty:
                raise InvalidValue(sentence, which=key)

    @property
    def tracing(self) -> Tracing | None:
        """How traces begin; ``None`` if no request is traced."""
        return None if self.origin is None else Tracing(threshold(self.sample.value), self.parent)

    def read_token(self) -> str | None:
        """The token; ``None`` for none.

        :raises InvalidValue: if its file cannot be used.
        """
        if self.token_file is None:
            return self.token
        line = read(self.token_file).partition(b"\n")[0].removesuffix(b"\r").decode("latin-1")
        if not _TOKEN.fullmatch(line):
            raise InvalidValue(f"{self.token_file}: its first line is no token of 1 to 4096 printable characters")
        return line

    def faults(self) -> Iterator[tuple[str, str, bool]]:
        """What is wrong with it, or doubtful: the key, a sentence, and whether it is a warning."""
        if self.origin is None:
            if self != Traces():
                yield "", "has no effect without origin", True
            return
        if any(not _installed(each) for each in _PACKAGES):
            yield "origin", f"traces need the packages of the extra edgenode[traces]: {_INSTALL}", False
        if self.token is not None and not _TOKEN.fullmatch(self.token):  # not before, where the value would be shown
            yield "token", "expected at most 4096 printable ASCII characters", False
        try:
            self.read_token()
        except InvalidValue as problem:
            yield "token-file", problem.sentence, False


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of what it is within
        return False
