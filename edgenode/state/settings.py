"""``[state]``: where what is remembered between requests is kept."""

from __future__ import annotations

import re
import stat
from importlib.util import find_spec
from typing import Annotated, ClassVar

from attrs import frozen
from OpenSSL import SSL

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, File, Reference, Seconds, Secret, Size, Word, setting
from edgenode.tls.certificates import LoadedCertificate, read
from edgenode.tls.policies import client_context
from edgenode.tls.truststores import LoadedTrustStore

_URL = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^\s:@/?#]*)(?P<password>:[^\s@]*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?(?:/(?P<database>\d{0,5}))?"
)
_SOCKET = re.compile(r"unix:(?://)?(?P<path>/[!-.0-9;->@-~][!->@-~]*)(?:\?db=(?P<database>\d{1,5}))?")
_LONGEST_PATH = 107  # bytes of sun_path but the last: unix(7)
_LONGEST_PASSWORD = 1023

_OF_SERVERS = (
    "user", "password", "password_file", "trust_store", "certificate", "server_name", "prefix", "timeout", "absent",
)  # fmt: skip


@frozen
class ServerUrl:
    """Where a server of Redis is.

    :ivar host: a name or an address, IPv6 without brackets; or the path of a socket.
    :ivar port: the TCP port; 0 for a socket.
    :ivar tls: whether it speaks TLS.
    :ivar database: its number.
    :ivar user: whom the URL names; empty for nobody.
    """

    host: str
    port: int
    tls: bool = False
    database: int = 0
    user: str = ""

    def __str__(self) -> str:
        if not self.port:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, so that nobody is on the way."""
        return not self.port or self.host in ("localhost", "::1") or self.host.startswith("127.")

    @classmethod
    def from_text(cls, text: str) -> ServerUrl:
        """Read a URL.

        :raises InvalidValue: if it is none of a server of Redis.
        """
        if match := _SOCKET.fullmatch(text):
            if len(match["path"].encode()) > _LONGEST_PATH:
                raise InvalidValue(f"the path of a socket has at most {_LONGEST_PATH} bytes", match.start("path"))
            return cls(match["path"], 0, database=int(match["database"] or 0))
        match = _URL.fullmatch(text)
        if match is None:
            raise InvalidValue("expected redis://host:port/0, rediss://host:port/0 for TLS, or unix:/path", 0)
        if match["password"] is not None:
            raise InvalidValue("a password stands in password-file, not in an address", match.start("password"))
        port = int(match["port"] or 6379)
        if not 0 < port < 65536:
            raise InvalidValue("a port is a number from 1 to 65535", match.start("port"))
        tls = match["scheme"] == "rediss"
        return cls(match["host"].strip("[]").lower(), port, tls, int(match["database"] or 0), match["user"] or "")


@frozen
class StateSection:
    """Where counters, bans and the quarantine are kept: in memory, or shared with other nodes by a server of Redis or
    Valkey, which needs the package ``txredisapi``. The section has no name and may be left out."""

    kind: ClassVar[str] = "state"

    url: ServerUrl | None = setting(
        "The server that nodes share: ``redis://host:port/0``, ``rediss://host:port/0`` for TLS, ``unix:/path`` or "
        "``unix:/path?db=0``; a user may stand before the host: ``rediss://edge@host``. Without the key each node "
        "counts for itself.",
        None,
    )
    user: Word | None = setting(
        "The user to log in as (ACL); without one, here and in ``url``, the server's default user.", None
    )
    password: Secret | None = setting("The password to log in with; without one nobody logs in.", None)
    password_file: File | None = setting(
        "A file whose first line is the password. Only its owner, and at most one group, should be able to read it.",
        None,
    )
    trust_store: Annotated[str, Reference("trust-store")] | None = setting(
        "The authorities that are trusted to issue the server's certificate; without the key the system's.", None
    )
    certificate: Annotated[str, Reference("certificate")] | None = setting(
        "The client certificate presented to the server; it needs the EKU clientAuth.", None
    )
    server_name: Word | None = setting(
        "The name sent as SNI and required in the server's certificate; without the key the host of ``url``.", None
    )
    prefix: Word = setting(
        "What the names of all keys begin with; nodes with the same share what they count.", Word("edgenode")
    )
    timeout: Seconds = setting(
        "How long a request waits for the server. Then the connection is given up, and ``absent`` holds.", Seconds(0.1)
    )
    absent: Annotated[str, Choice(("local", "open", "closed"))] = setting(
        "What happens while the server cannot be asked: with ``local`` each node counts for itself, with ``open`` "
        "nothing is counted, and with ``closed`` requests that would be counted are refused with 503.",
        "local",
    )
    keys: Annotated[int, Between(1000, 100_000_000)] = setting(
        "The maximum number of counters in the node's own memory; the coldest are dropped.", 1_000_000
    )
    memory: Size = setting("The maximum size of the counters in the node's own memory.", Size(256 * 1024**2))

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        for faulty, key, sentence in (
            (
                self.password is not None and self.password_file is not None,
                "password-file",
                "there is one password: password and password-file exclude each other",
            ),
            (
                self.user is not None and self.url is not None and bool(self.url.user),
                "user",
                "there is one user: url names another place for it",
            ),
            (
                bool(self.login_name) and self.password is None and self.password_file is None,
                "user" if self.user else "url",
                "a user logs in with a password: password-file is missing",
            ),
            (bool(re.search(r"[{}\s]", self.prefix)), "prefix", "braces say which part of a key names its shard"),
            (not 0.001 <= self.timeout <= 10, "timeout", "a time from 1ms to 10s"),
            (self.memory < 1 << 20, "memory", "at least 1m"),
        ):
            if faulty:
                raise InvalidValue(sentence, which=key)

    @property
    def login_name(self) -> str:
        """The user to log in as; empty for the default user."""
        return self.user or ("" if self.url is None else self.url.user)

    def read_password(self) -> bytes | None:
        """The password to log in with; ``None`` for none.

        :raises InvalidValue: if its file cannot be used.
        """
        if self.password_file is None:
            return None if self.password is None else self.password.encode()
        line = read(self.password_file).partition(b"\n")[0].removesuffix(b"\r")
        if not 0 < len(line) <= _LONGEST_PASSWORD:
            raise InvalidValue(f"{self.password_file}: its first line is no password, 1 to {_LONGEST_PASSWORD} bytes")
        return line

    def faults(self) -> tuple[tuple[str, str, bool], ...]:
        """What is wrong with it, or doubtful: the key, a sentence, and whether it is a warning."""
        if self.url is None:
            return tuple(
                (name.replace("_", "-"), "has no effect without url", True)
                for name in _OF_SERVERS
                if getattr(self, name) != getattr(_DEFAULT, name)
            )
        found: list[tuple[str, str, bool]] = []
        if find_spec("txredisapi") is None:
            found.append(("url", "a server of Redis needs the package txredisapi: pip install txredisapi", False))
        try:
            self.read_password()
        except InvalidValue as problem:
            found.append(("password-file", problem.sentence, False))
        else:
            if self.password_file is not None and self.password_file.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
                sentence = f"{self.password_file} is open to others than its owner and group; chmod 600 or 640 it"
                found.append(("password-file", sentence, True))
        if not self.url.tls:
            found += [
                (key.replace("_", "-"), "has no effect without TLS: rediss://", True)
                for key in ("trust_store", "certificate", "server_name")
                if getattr(self, key) is not None
            ]
            if not self.url.is_here:
                sentence = "without TLS whoever is on the way can read and change what nodes share: use rediss://"
                found.append(("url", sentence, True))
        return tuple(found)


_DEFAULT = StateSection()


@frozen
class Server:
    """A server of Redis, with all that it takes to connect to it.

    :ivar section: what is written of it; it has a URL.
    """

    section: StateSection
    certificate: LoadedCertificate | None = None
    trust_store: LoadedTrustStore | None = None

    @property
    def url(self) -> ServerUrl:
        """Where it is."""
        assert self.section.url is not None
        return self.section.url

    @property
    def name(self) -> str:
        """The name that its certificate must have."""
        return self.section.server_name or (self.url.host if self.url.port else "localhost")

    def context(self) -> SSL.Context | None:
        """The TLS of a connection to it; ``None`` for none."""
        if not self.url.tls:
            return None
        return client_context(certificate=self.certificate, trust_store=self.trust_store, protocols=())
