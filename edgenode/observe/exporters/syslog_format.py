"""Events as syslog messages (RFC 5424), and their framing (RFC 5425, section 4.3; RFC 6587, section 3.4.1).

Law: whatever a client has sent, a message is one message: what stands in its header is printable ASCII without spaces,
what stands in structured data cannot end its quotes, and the frame says how long it is. No control character is sent,
for who writes messages to a file may not escape them.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from attrs import frozen

from edgenode.model.errors import printable

FACILITIES: Mapping[str, int] = MappingProxyType({
    "user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "audit": 13, "alert": 14,
    **{f"local{number}": 16 + number for number in range(8)},
})  # fmt: skip
"""RFC 5424, section 6.2.1, table 1, without those of the kernel and of mail."""

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
"""RFC 5424, section 6.2.1, table 2."""

_BOM = b"\xef\xbb\xbf"
_NIL = "-"
_LONGEST_HOST, _LONGEST_NAME, _LONGEST_PROCESS, _LONGEST_KIND = 255, 48, 128, 32

_PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "listener": ("listener",),
    "client": ("client",),
    "server_group": ("server_group",),
    "security_policy": ("security_policy",),
    "path_map": ("path_map",),
    "method": ("request", "method"),
    "authority": ("request", "authority"),
    "status": ("status",),
    "action": ("action",),
    "mode": ("mode",),
    "origin": ("origin", "name"),
    "reason": ("reason",),
    "entry": ("entry", "value"),
})  # fmt: skip
"""Structured data: where the value of each parameter stands in an event; what it has not is left out."""


def severity(event: Mapping[str, Any]) -> int:
    """How severe an event is: an error of the node, of an origin or of the state is :data:`ERROR`, an action that was
    taken :data:`WARNING`, another status of 400 and more :data:`NOTICE`, and the rest :data:`INFO`."""
    status = event.get("status")
    status = status if isinstance(status, int) else 0
    if _at(event, ("event", "type")) == "error" or _at(event, ("error", "fault")) == "origin":
        return ERROR
    if event.get("action"):
        return WARNING
    return ERROR if status >= 500 else NOTICE if status >= 400 else INFO


def kind(event: Mapping[str, Any]) -> str:
    """What kind of event it is: MSGID. ``exchange``, ``connection`` for one without a request, or what has happened to
    the state, such as ``quarantine-held``."""
    happened = _at(event, ("event", "action"))
    if isinstance(happened, str) and happened:
        return happened
    return "exchange" if event.get("request") else "connection"


def summary(event: Mapping[str, Any]) -> str:
    """An event in a line for people: who, what, which status, and why."""
    return " ".join(each for each in _words(event) if each)


def _words(event: Mapping[str, Any]) -> Iterator[str]:
    if _at(event, ("event", "action")):
        yield f"{_at(event, ('event', 'action'))}:"
        yield _text(_at(event, ("entry", "key")))
        yield _text(_at(event, ("entry", "value")))
        yield _text(event.get("reason"))
        return
    yield _text(event.get("client"))
    request = event.get("request")
    if isinstance(request, Mapping):
        where = f"{_text(request.get('scheme'))}://{_text(request.get('authority'))}{_text(request.get('target'))}"
        yield f"{_text(request.get('method'))} {where}"
    else:
        yield "no request"
    yield _text(event.get("status"))
    yield _text(event.get("action"))
    reasons = event.get("reasons")
    if isinstance(reasons, list) and reasons:
        yield f"({', '.join(_text(_at(each, ('filter',))) for each in reasons)})"
    yield _text(_at(event, ("error", "reason")))


@frozen
class Header:
    """What the messages of one exporter have in common.

    :ivar facility: a number of :data:`FACILITIES`.
    :ivar host: HOSTNAME: the node's name.
    :ivar app_name: APP-NAME.
    :ivar process: PROCID.
    :ivar element: the SD-ID of the structured data; empty for none.
    :ivar bom: whether a byte order mark says that the message is UTF-8.
    """

    facility: int
    host: str
    app_name: str
    process: str
    element: str
    bom: bool = True

    def message(self, time: float, event: Mapping[str, Any], key: str, content: str) -> bytes:
        """An event as a message.

        :param time: when it happened; seconds since the epoch.
        :param key: tells it from every other.
        :param content: MSG.
        """
        moment = datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat(timespec="microseconds")
        head = (
            f"<{self.facility * 8 + severity(event)}>1 {moment.removesuffix('+00:00')}Z"
            f" {_word(self.host, _LONGEST_HOST)} {_word(self.app_name, _LONGEST_NAME)}"
            f" {_word(self.process, _LONGEST_PROCESS)} {_word(kind(event), _LONGEST_KIND)}"
            f" {self._structured(event, key)} "
        )
        text = content.encode("utf-8", "backslashreplace")
        return head.encode("utf-8", "backslashreplace") + (_BOM if self.bom else b"") + text

    def _structured(self, event: Mapping[str, Any], key: str) -> str:
        if not self.element:
            return _NIL
        found = {"id": key, **{name: _text(_at(event, path)) for name, path in _PARAMETERS.items()}}
        return f"[{self.element}{''.join(f' {name}={quoted(text)}' for name, text in found.items() if text)}]"


def framed(message: bytes) -> bytes:
    """A message with its length in front: octet counting, which both TLS and TCP know."""
    return b"%d %b" % (len(message), message)


def quoted(text: str) -> str:
    """The value of a parameter: ``"``, ``\\`` and ``]`` escaped (RFC 5424, section 6.3.3)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]") + '"'


def _word(text: str, most: int) -> str:
    """A field of the header: printable ASCII without spaces; ``-`` if nothing is left."""
    return "".join(each for each in text if "!" <= each <= "~")[:most] or _NIL


def _text(value: Any) -> str:
    return "" if value is None else printable(str(value))


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
