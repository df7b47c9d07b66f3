"""``[action]``: the consequences that a filter can have, one class each.

Law: the stronger action wins, in the order of :data:`TYPES`; a monitoring action never changes what becomes of a
request; and what exempts from some stages stands beside every other action.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from attrs import evolve, field, frozen

from edgenode.model import decision
from edgenode.model.decision import FORWARD, Action, Decision, Forward, Outcome, Respond, check_said
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.model.extensions import Extension, failed
from edgenode.model.settings import Between, Choice, Extends, Tag, Word, setting
from edgenode.policy import escaping
from edgenode.policy.challenge import Challenge
from edgenode.policy.escaping import HeaderField, Location
from edgenode.policy.tagging import check_own_tag
from edgenode.policy.templates import Fields, Filled, Template, rendered
from edgenode.rules.fields import NEEDS
from edgenode.rules.tags import canonical

TEXT = "text/plain; charset=utf-8"

EXEMPTIBLE = ("inspection", "quarantine", "flows", "dynamic-rules", "rate-limits", "acl", "content-filter")
"""The words for the stages that an action can exempt from, besides stages of one's own; without effect where a node has
no such stage."""

REDIRECTS = (301, 302, 303, 307, 308)
_CONTENT_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ -~]*[!-~])?", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


def _needs(*several: Filled) -> frozenset[str]:
    return frozenset().union(*(each.needs for each in several))


@frozen
class Skip(Action):
    """Forward the request at once; the remaining stages are skipped. If it ``exempts`` from some, only those are, and
    the strongest other action is taken."""

    default_priority: ClassVar[int] = 600
    skips: ClassVar[bool] = True

    def outcome(self, exchange: Exchange) -> Outcome:
        """Forwarding."""
        return FORWARD


@frozen
class Block(Action):
    """Answer in the origin's place.

    :ivar status: the HTTP status.
    :ivar body: the whole body.
    :ivar content_type: its media type.
    :ivar headers: further header fields of the answer.
    :ivar location: where the answer leads, if it does.
    :ivar own_body: whether somebody has written the body for it; else an error page may take its place.
    """

    default_priority: ClassVar[int] = 500
    skips: ClassVar[bool] = True

    status: int = field(default=403, kw_only=True)
    body: Filled = field(default=escaping.body(Template.from_text("Forbidden.\n"), TEXT), kw_only=True)
    content_type: bytes = field(default=TEXT.encode(), kw_only=True)
    headers: Fields = field(default=(), kw_only=True)
    location: Location | None = field(default=None, kw_only=True)
    own_body: bool = field(default=False, kw_only=True, eq=False)

    @property
    def needs(self) -> frozenset[str]:
        """What its body, its location and its headers look at."""
        places = () if self.location is None else (self.location.rest,)
        return _needs(self.body, *places, *(value for _, value in self.headers))

    def outcome(self, exchange: Exchange) -> Outcome:
        """The answer; no cache may keep it, or one client's refusal would be served to others."""
        headers: Headers = ((b"content-type", self.content_type), (b"cache-control", b"no-store"))
        if self.body.template.values:
            headers += ((b"x-content-type-options", b"nosniff"),)  # it is escaped as what it says it is
        if self.location is not None:
            headers += ((b"location", self.location.render(exchange)),)
        headers += rendered(self.headers, exchange)
        return Respond(Response(self.status, headers, self.body.render(exchange), not self.own_body))


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
    :ivar headers: further header fields of the answer.
    """

    default_priority: ClassVar[int] = 300
    skips: ClassVar[bool] = True

    location: Location = field(kw_only=True)
    status: int = field(default=302, kw_only=True)
    headers: Fields = field(default=(), kw_only=True)

    @property
    def needs(self) -> frozenset[str]:
        """What its location and its headers look at."""
        return _needs(self.location.rest, *(value for _, value in self.headers))

    def outcome(self, exchange: Exchange) -> Outcome:
        """The redirection (RFC 9110, section 15.4)."""
        headers: Headers = ((b"location", self.location.render(exchange)),)
        if self.location.rest.template.values:
            headers += ((b"cache-control", b"no-store"),)  # others are led elsewhere
        return Respond(Response(self.status, headers + rendered(self.headers, exchange)))


@frozen
class Monitor(Action):
    """Forward the request as if nothing had matched; the event says what has.

    :ivar headers: header fields that the origin gets, in place of the client's of the same names.
    """

    default_priority: ClassVar[int] = 100

    headers: Fields = field(default=(), kw_only=True)

    @property
    def needs(self) -> frozenset[str]:
        """What its headers look at."""
        return _needs(*(value for _, value in self.headers))

    def outcome(self, exchange: Exchange) -> Outcome:
        """Forwarding."""
        return Forward(rendered(self.headers, exchange)) if self.headers else FORWARD


TYPES: Mapping[str, type[Action]] = MappingProxyType(
    {
        "skip": Skip,
        "block": Block,
        "close": Close,
        "redirect": Redirect,
        "challenge": Challenge,
        "monitor": Monitor,
    }
)
"""Every type of action, strongest first."""

PREDEFINED: Mapping[str, Action] = MappingProxyType(
    {
        "skip": Skip("skip"),
        "block": Block("block"),
        "close": Close("close"),
        "challenge": Challenge("challenge"),
        "monitor": Monitor("monitor"),
        "rate-limit": Block(
            "rate-limit", status=429, body=escaping.body(Template.from_text("Too many requests.\n"), TEXT)
        ),
    }
)
"""The actions that exist without a section; a section of the same name replaces one."""

FAILURE = Block(
    "failure",
    priority=sys.maxsize,
    status=503,
    body=escaping.body(Template.from_text("Service unavailable.\n"), TEXT),
)
"""What becomes of a request if a stage has failed and the failure policy is ``closed``; nothing is stronger."""


def refuses(action: Action) -> bool:
    """Whether an action does anything but let a request pass."""
    return not isinstance(action, Skip | Monitor)


def taken_tags(action: Action) -> frozenset[str]:
    """The tags of a request because an action is taken: its own, and ``action:`` with its name."""
    return action.tags | {canonical(f"action:{action.name}")}


_STRENGTHS = ", ".join(f"{word} {action.default_priority}" for word, action in TYPES.items())


@frozen
class ActionSection:
    """What a filter does with the requests that it matches.

    The strongest of all proposed actions wins: skip, block, close, redirect, challenge, monitor, in this order unless
    ``priority`` says otherwise; of two equals the one whose filter stands earlier in the file. Values of the exchange
    can be put into its texts, as in ``${ip.src}``.
    """

    kind: ClassVar[str] = "action"
    common: ClassVar[tuple[str, ...]] = ("type", "priority", "tags")
    """The keys that actions of extensions have besides their own."""

    type: Annotated[str, Extends("action", tuple(TYPES))] = setting(
        "``skip`` forwards at once and skips the remaining stages, ``block`` answers with a status, ``close`` closes "
        "the connection without a byte, ``redirect`` sends the client elsewhere, ``challenge`` has a browser work "
        "before it lets it pass, ``monitor`` only reports. An extension's type has the extension's keys, besides "
        "``priority`` and ``tags``."
    )
    priority: Annotated[int, Between(1, 1000)] | None = setting(
        f"The action of highest priority is taken. Without the key it is that of the type: {_STRENGTHS}.", None
    )
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the requests that it is taken for, besides ``action:NAME``.", ()
    )
    skip: tuple[Annotated[str, Choice(EXEMPTIBLE, "stage")], ...] = setting(
        "The stages that ``skip`` exempts from; without the key all that remain. With the key the action "
        "does not compete with others: the one of highest priority is taken in addition.",
        (),
    )
    status: Annotated[int, Between(200, 599)] | None = setting(
        "The HTTP status, of ``block`` without the key 403; of ``redirect`` 301, 302, 303, 307 or 308, without it 302.",
        None,
    )
    headers: tuple[HeaderField, ...] = setting(
        "Header fields, one ``name: value`` a line: of ``block``, ``redirect`` and ``challenge`` for the answer, of "
        "``monitor`` for the origin, in place of what the client sent under these names.",
        (),
    )
    body: Template | None = setting("The body of ``block``, sent as UTF-8 with a line feed at its end.", None)
    content_type: str | None = setting(f"The media type of that body; without the key ``{TEXT}``.", None)
    location: Template | None = setting(
        "The ``Location`` of ``redirect``, or of the answer of ``block``: http://, https://, or a path that "
        "begins with ``/``.",
        None,
    )
    extension: Extension | None = field(default=None, kw_only=True)

    def action(self, name: str) -> Action:
        """The action that this section describes.

        :param name: the section's name.
        :raises InvalidValue: if a key does not belong to the type, is missing, or has a value that the type cannot use.
        """
        for key, problem in self.faults():
            raise InvalidValue(f"{key}: {problem.sentence}")
        if self.extension is not None:
            return self._of_extension(self.extension, name)
        given = {key: getattr(self, key) for key in _KEYS[self.type]}
        read = {key: _READERS[key](self, value) for key, value in given.items() if value not in (None, ())}
        arguments = dict(read.values())
        if self.body is not None:
            arguments["own_body"] = True
        return TYPES[self.type](name, priority=self.priority, tags=frozenset(self.tags), **arguments)

    def _of_extension(self, extension: Extension, name: str) -> Action:
        made = extension.made(name)
        if not isinstance(made, Action) or made.name != name:
            raise InvalidValue("the extension has made no Action of the name that it was given", 0)
        try:
            check_said(Decision(action=made))
            unknown = frozenset(made.needs) - NEEDS
        except Exception as error:
            raise InvalidValue(failed("the extension has made an Action that cannot be used", error), 0) from error
        if unknown:
            raise InvalidValue(f"the action needs what there is not: {', '.join(sorted(map(str, unknown)))}", 0)
        for tag in made.tags:
            check_own_tag(tag)
        priority = made.priority if self.priority is None else self.priority
        try:
            return evolve(made, priority=priority, tags=made.tags.union(self.tags))
        except Exception as error:
            raise InvalidValue(f"the extension's class of actions is no attrs class of its own: {error}", 0) from error

    def faults(self) -> Iterator[tuple[str, InvalidValue]]:
        """What is wrong, each with its key; the column points into the text of that."""
        for tag in self.tags:
            try:
                check_own_tag(tag)
            except InvalidValue as problem:
                yield "tags", InvalidValue(problem.sentence)
        if self.extension is not None:
            try:
                self._of_extension(self.extension, "tried")
            except InvalidValue as problem:
                yield problem.which or "type", problem
            return
        for attribute, read in _READERS.items():
            key, value = attribute.replace("_", "-"), getattr(self, attribute)
            if value in (None, ()):
                continue
            if attribute not in _KEYS[self.type]:
                yield key, InvalidValue(f"has no meaning for an action of type {self.type}")
                continue
            try:
                read(self, value)
            except InvalidValue as problem:
                yield key, problem
        if self.location is None and (self.type == "redirect" or (self.type == "block" and self.status in REDIRECTS)):
            which = "of type redirect" if self.type == "redirect" else f"with the status {self.status}"
            yield "location", InvalidValue(f"an action {which} needs one")


# -- how the keys are read; each gives an argument of the action's class ----------------------------------------------

Argument = tuple[str, Any]


def _status(section: ActionSection, status: int) -> Argument:
    if section.type == "redirect" and status not in REDIRECTS:
        raise InvalidValue(f"that of an action of type redirect is one of {', '.join(map(str, REDIRECTS))}")
    return "status", status


def _body(section: ActionSection, body: Template) -> Argument:
    if body.pieces:
        body = Template(body.text, (*body.pieces, "\n"))
    return "body", escaping.body(body, section.content_type or TEXT)


def _content_type(section: ActionSection, text: str) -> Argument:
    if not _CONTENT_TYPE.fullmatch(text):
        raise InvalidValue("expected a media type, such as text/html; charset=utf-8")
    if section.body is not None and section.body.values:
        # Read in another character set, what is escaped here may be something else.
        charset = _CHARSET.search(text)
        if charset is None and text.lower().startswith("text/"):
            text = f"{text}; charset=utf-8"
        elif charset is not None and charset[1].lower() != "utf-8":
            raise InvalidValue("a body with values in it is UTF-8: charset=utf-8")
    return "content_type", text.encode("ascii")


def _headers(section: ActionSection, headers: tuple[HeaderField, ...]) -> Argument:
    return "headers", tuple(
        (each.name.encode("ascii"), escaping.header_value(each.value, each.name)) for each in headers
    )


def _location(section: ActionSection, template: Template) -> Argument:
    return "location", escaping.location(template)


def _exempt(section: ActionSection, stages: tuple[str, ...]) -> Argument:
    return "exempts", frozenset(stages)


_READERS: Mapping[str, Callable[[ActionSection, Any], Argument]] = MappingProxyType(
    {
        "skip": _exempt,
        "status": _status,
        "headers": _headers,
        "body": _body,
        "content_type": _content_type,
        "location": _location,
    }
)
"""The keys that not every type has, and how each is read."""

_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "skip": ("skip",),
        "block": ("status", "headers", "body", "content_type", "location"),
        "close": (),
        "redirect": ("status", "headers", "location"),
        "challenge": ("headers",),
        "monitor": ("headers",),
    }
)
"""Which of them each type has."""
