"""``[action]``: the consequences that a filter can have, one class each.

Law: the stronger action wins, in the order of :data:`TYPES`; a monitoring action never changes what becomes of a
request.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from attrs import field, frozen

from edgenode import decision
from edgenode.decision import Action, Forward, Outcome, Respond
from edgenode.errors import InvalidValue
from edgenode.exchange import Exchange, Response
from edgenode.settings import Between, Choice, setting

TEXT = "text/plain; charset=utf-8"

_REDIRECTS = (301, 302, 303, 307, 308)
_LOCATION = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(?:[/?#][!-\[\]-~]*)?|/(?!/)[!-\[\]-~]*", re.ASCII)
_CONTENT_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ -~]*[!-~])?", re.ASCII)


@frozen
class Skip(Action):
    """Forward the request at once; the remaining stages are skipped."""

    default_priority: ClassVar[int] = 600
    skips: ClassVar[bool] = True

    def outcome(self, exchange: Exchange) -> Outcome:
        """Forwarding."""
        return Forward()


@frozen
class Block(Action):
    """Answer in the origin's place.

    :ivar status: the HTTP status.
    :ivar body: the whole body.
    :ivar content_type: its media type.
    """

    default_priority: ClassVar[int] = 500
    skips: ClassVar[bool] = True

    status: int = field(default=403, kw_only=True)
    body: bytes = field(default=b"Forbidden.\n", kw_only=True)
    content_type: bytes = field(default=TEXT.encode(), kw_only=True)

    def outcome(self, exchange: Exchange) -> Outcome:
        """The answer; no cache may keep it, or one client's refusal would be served to others."""
        headers = ((b"content-type", self.content_type), (b"cache-control", b"no-store"))
        return Respond(Response(self.status, headers, self.body))


@frozen
class Close(Action):
    """Close the connection without a byte."""

    default_priority: ClassVar[int] = 400
    skips: ClassVar[bool] = True

    def outcome(self, exchange: Exchange) -> Outcome:
        """Closing."""
        return decision.Close()


@frozen
class Redirect(Action):
    """Send the client elsewhere.

    :ivar location: where to, a URI or an absolute path.
    :ivar status: the HTTP status.
    """

    default_priority: ClassVar[int] = 300
    skips: ClassVar[bool] = True

    location: bytes = field(kw_only=True)
    status: int = field(default=302, kw_only=True)

    def outcome(self, exchange: Exchange) -> Outcome:
        """The redirection (RFC 9110, section 15.4)."""
        return Respond(Response(self.status, ((b"location", self.location),)))


@frozen
class Monitor(Action):
    """Forward the request as if nothing had matched; the event says what has."""

    default_priority: ClassVar[int] = 100

    def outcome(self, exchange: Exchange) -> Outcome:
        """Forwarding."""
        return Forward()


TYPES: Mapping[str, type[Action]] = MappingProxyType(
    {
        "skip": Skip,
        "block": Block,
        "close": Close,
        "redirect": Redirect,
        "monitor": Monitor,
    }
)
"""Every type of action, strongest first."""

PREDEFINED: Mapping[str, Action] = MappingProxyType(
    {
        "skip": Skip("skip"),
        "block": Block("block"),
        "close": Close("close"),
        "monitor": Monitor("monitor"),
    }
)
"""The actions that exist without a section; a section of the same name replaces one."""

FAILURE = Block("failure", priority=sys.maxsize, status=503, body=b"Service unavailable.\n")
"""What becomes of a request if a stage has failed and the failure policy is ``closed``; nothing is stronger."""


_STRENGTHS = ", ".join(f"{word} {action.default_priority}" for word, action in TYPES.items())


@frozen
class ActionSection:
    """What a filter does with the requests that it matches.

    The strongest of all proposed actions wins: skip, block, close, redirect, monitor, in this order unless ``priority``
    says otherwise; of two equals the one whose filter stands earlier in the file.
    """

    kind: ClassVar[str] = "action"

    type: Annotated[str, Choice(tuple(TYPES))] = setting(
        "``skip`` forwards at once and skips the remaining stages, ``block`` answers with a status, ``close`` closes "
        "the connection without a byte, ``redirect`` sends the client elsewhere, ``monitor`` only reports."
    )
    priority: Annotated[int, Between(1, 1000)] | None = setting(
        f"Its strength; the higher wins. Without the key its type's: {_STRENGTHS}.", None
    )
    status: Annotated[int, Between(301, 599)] | None = setting(
        "The HTTP status: of ``block`` from 400 to 599, without the key 403; of ``redirect`` 301, 302, 303, 307 or "
        "308, without the key 302.",
        None,
    )
    body: str | None = setting("The body of ``block``, sent as UTF-8 with a line feed at its end.", None)
    content_type: str | None = setting(f"The media type of that body; without the key ``{TEXT}``.", None)
    location: str | None = setting("Where ``redirect`` leads: http://, https://, or a path from ``/``.", None)

    def action(self, name: str) -> Action:
        """The action that this section describes.

        :param name: the section's name.
        :raises InvalidValue: if a key does not belong to the type, is missing, or has a value that the type cannot use.
        """
        keys = _KEYS.get(self.type, {})
        for key in ("status", "body", "content_type", "location"):
            if key not in keys and getattr(self, key) is not None:
                raise InvalidValue(f"{key.replace('_', '-')} has no meaning for an action of type {self.type}")
        given = {key: read(getattr(self, key)) for key, read in keys.items() if getattr(self, key) is not None}
        if self.type == "redirect" and self.location is None:
            raise InvalidValue("an action of type redirect needs a location")
        return TYPES[self.type](name, priority=self.priority, **given)


def _block_status(status: int) -> int:
    if not 400 <= status <= 599:
        raise InvalidValue("the status of an action of type block is a number from 400 to 599")
    return status


def _redirect_status(status: int) -> int:
    if status not in _REDIRECTS:
        raise InvalidValue(f"the status of an action of type redirect is one of {', '.join(map(str, _REDIRECTS))}")
    return status


def _body(text: str) -> bytes:
    return f"{text}\n".encode() if text else b""


def _content_type(text: str) -> bytes:
    if not _CONTENT_TYPE.fullmatch(text):
        raise InvalidValue("content-type is a media type, such as text/html; charset=utf-8")
    return text.encode("ascii")


def _location(text: str) -> bytes:
    # A control character would end the header field; // or a backslash would lead to another host than it seems.
    if not _LOCATION.fullmatch(text):
        raise InvalidValue("location begins with http://, https:// or a single /, in ASCII without spaces")
    return text.encode("ascii")


_KEYS: Mapping[str, Mapping[str, Callable[..., int | bytes]]] = MappingProxyType(
    {
        "block": {"status": _block_status, "body": _body, "content_type": _content_type},
        "redirect": {"status": _redirect_status, "location": _location},
    }
)
"""The keys of each type besides ``type`` and ``priority``, and how each is read."""
