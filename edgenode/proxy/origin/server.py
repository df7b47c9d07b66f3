"""A server of an origin, as ``servers`` writes it."""

from __future__ import annotations

import ipaddress
import re
import types
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from edgenode.model.errors import InvalidValue

_PARAMETERS = r"((?:\s+[a-z][a-z-]*(?:=\S*)?)*)\s*"
_SERVER = re.compile(
    rf"(https?|tls|tcp|starttls)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{{1,5}}))?/?{_PARAMETERS}"
)
_SOCKET = re.compile(rf"(?:(https?|tls|tcp)://)?unix:(?://)?(/[!-.0-9;-~][!-9;-~]*)(?::/?)?{_PARAMETERS}")
"""nginx's ``server unix:PATH``, and its ``proxy_pass http://unix:PATH:``; ``unix://PATH`` as others write it."""

_SERVICE = re.compile(r"[A-Za-z0-9_-]{1,60}(?:\.[A-Za-z0-9_-]{1,60}){0,3}")

_WITH_PATH = re.compile(r"(?:https?|tls|tcp|starttls)://(?:unix:/[^:\s]*:|[^/\s]+)(?=/[^/\s])")
_RELATIVE = re.compile(r"(?:(?:https?|tls|tcp)://)?unix:(?://)?(?![/\d])")
_LONGEST_PATH = 107
"""Bytes of ``sun_path`` but the last, which is 0: unix(7)."""


@frozen
class Server:
    """One server of an origin, written ``https://host:port weight=2``, or ``unix:/path`` for a Unix socket; or, if it
    speaks no HTTP, ``tls://host:port``, ``tcp://host:port``, or ``starttls://host:port`` for mail.

    :ivar tls: whether it speaks TLS.
    :ivar host: a name or an address, IPv6 without brackets; or the path of a socket.
    :ivar port: the TCP port; 0 for a socket.
    :ivar weight: its share of the requests.
    :ivar stream: whether it takes a stream of bytes that is no HTTP, such as syslog or mail.
    :ivar starttls: whether TLS begins by STARTTLS, as mail servers have it.
    :ivar backup: whether it is asked only while no other can be.
    :ivar resolve: whether each of its addresses in DNS is a server, asked for again when the answer is old.
    :ivar service: the service whose servers it stands for (SRV), such as ``_https._tcp``; empty for none.
    :ivar at: the address where it is, if that is known from DNS; it is known by its host all the same.
    """

    tls: bool
    host: str
    port: int
    weight: int = 1
    stream: bool = False
    starttls: bool = False
    backup: bool = False
    resolve: bool = False
    service: str = ""
    at: str = ""

    @property
    def scheme(self) -> str:
        """What is spoken to it: ``http``, ``https``, ``tcp``, ``tls`` or ``starttls``."""
        if self.starttls:
            return "starttls"
        return ("tls" if self.tls else "tcp") if self.stream else "https" if self.tls else "http"

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket, and its host the path of that."""
        return self.host.startswith("/")

    @property
    def name(self) -> str:
        """The name that others know it by: its host; of a socket ``localhost``, as nginx has it."""
        return "localhost" if self.is_socket else self.host

    @property
    def address(self) -> str:
        """Where it is: ``host:port``, or ``unix:/path``."""
        if self.is_socket:
            return f"unix:{self.host}"
        host = self.at or self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"

    @classmethod
    def from_text(cls, text: str) -> Server:
        """Read a server.

        :raises InvalidValue: if the text is not of that form.
        """
        if match := _SOCKET.fullmatch(text):
            scheme, host, _ = match.groups()
            if len(host) > _LONGEST_PATH:
                raise InvalidValue(f"the path of a socket has at most {_LONGEST_PATH} bytes", match.start(2))
            parameters = _parameters(text, match.start(3))
            if parameters.get("resolve"):
                raise InvalidValue("a socket has nothing to resolve", match.start(2))
            tls, stream = scheme in ("https", "tls"), scheme in ("tls", "tcp")
            return cls(tls, host, 0, stream=stream, **parameters)
        match = _SERVER.fullmatch(text)
        if match is None:
            raise InvalidValue(*_fault(text))
        scheme, host, port, _ = match.groups()
        stream, starttls = scheme in ("tls", "tcp", "starttls"), scheme == "starttls"
        parameters = _parameters(text, match.start(4))
        if parameters.get("service") and port:
            raise InvalidValue("a service has its ports from DNS: leave this one out", match.start(3))
        if parameters.get("resolve") and is_address(host.strip("[]")):
            raise InvalidValue("an address has nothing to resolve", match.start(2))
        if stream and not port and not parameters.get("service"):
            raise InvalidValue(f"a stream has no usual port: {scheme}://{host}:PORT", match.start(2))
        number = int(port) if port else 443 if scheme == "https" else 80
        if not 0 < number < 65536:
            raise InvalidValue("a port is a number from 1 to 65535", text.index(port))
        tls = starttls or scheme in ("https", "tls")
        return cls(tls, host.strip("[]"), number, stream=stream, starttls=starttls, **parameters)


@frozen
class Parameter:
    """What may stand behind a server.

    :ivar written: how, for people.
    :ivar read: makes its value of what stands behind ``=``, or of ``None`` if there is no ``=``; ``None`` if that is
        none that it may have.
    """

    written: str
    read: Callable[[str | None], Any]


def _weight(text: str | None) -> int | None:
    number = int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 5 else 0
    return number if 1 <= number <= 1000 else None


def _flag(text: str | None) -> bool | None:
    return True if text is None else None


def _service(text: str | None) -> str | None:
    return text if text is not None and _SERVICE.fullmatch(text) else None


PARAMETERS: Mapping[str, Parameter] = types.MappingProxyType(
    {
        "weight": Parameter("weight=N, from 1 to 1000", _weight),
        "backup": Parameter("backup", _flag),
        "resolve": Parameter("resolve", _flag),
        "service": Parameter("service=NAME", _service),
    }
)
"""By their names, which are those of the attributes of :class:`Server`."""


def _parameters(text: str, start: int) -> dict[str, Any]:
    """What stands behind a server.

    :param start: where that begins.
    :raises InvalidValue: if there is no such parameter, or it is there twice, or it cannot have this value.
    """
    found = dict[str, Any]()
    for word in re.compile(r"\S+").finditer(text, start):
        name, equals, value = word[0].partition("=")
        parameter = PARAMETERS.get(name)
        read = None if parameter is None else parameter.read(value if equals else None)
        if read is None:
            raise InvalidValue(
                f"behind a server stands {', or '.join(each.written for each in PARAMETERS.values())}", word.start()
            )
        if name in found:
            raise InvalidValue(f"{name} stands there twice", word.start())
        found[name] = read
    if "service" in found:
        found["resolve"] = True
    return found


def _fault(text: str) -> tuple[str, int]:
    """What is wrong with a text that is no server, and where."""
    if match := _WITH_PATH.match(text):
        return "a server has no path: the request's own is sent to it", match.end()
    if match := _RELATIVE.match(text):
        return "the path of a socket begins with /", match.end()
    return (
        "expected http:// or https:// with host:port, unix:/path, or https://unix:/path for TLS on a socket; or "
        "tls://, tcp:// or starttls:// with host:port for what takes no HTTP; weight=N or backup behind it if wanted",
        0,
    )


def is_address(host: str) -> bool:
    """Whether a host is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
