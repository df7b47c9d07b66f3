"""The judgement: reasons, tags and exemptions add up, the strongest action wins.

A :class:`Decision` is a monoid: :data:`NOTHING` is its neutral element, ``|`` joins two, and joining is associative.
So stages can be judged one by one, or all filters at once, with the same outcome. A decision changes only while the
pipeline that made it gathers what its stages say; nobody changes :data:`NOTHING` or what a stage has returned.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Generator
from typing import Any, ClassVar, Protocol

from attrs import asdict, astuple, define, field, frozen

from edgenode.model.exchange import Exchange, Headers, Response

MODES = ("off", "monitoring", "block")
"""The modes of filtration, loosest first: ``off`` judges nothing, ``monitoring`` refuses nothing."""


@define
class Forward:
    """Pass the request to its origin.

    :ivar headers: header fields to set on its way, in place of what the client sent under these names; names in lower
        case.
    """

    headers: Headers = ()


FORWARD = Forward()


@define
class Respond:
    """Answer the client from here; the origin never sees the request.

    :ivar response: the answer.
    """

    response: Response


@frozen
class Close:
    """Close the connection without a byte, nginx's 444."""


Outcome = Forward | Respond | Close


@frozen
class Action:
    """A consequence that a filter proposes; ``policy.actions`` has one subclass for each type.

    :cvar default_priority: the strength of the type; a higher number wins.
    :cvar skips: whether the remaining stages are skipped once this action has won.
    :ivar name: the name of its section.
    :ivar priority: the strength of this action, ``None`` for its type's own.
    :ivar tags: put on the exchange if it wins.
    :ivar exempts: the stages that are left out because of it. With any it competes with no other action.
    """

    default_priority: ClassVar[int] = 0
    skips: ClassVar[bool] = False

    name: str
    priority: int | None = field(default=None, kw_only=True)
    tags: frozenset[str] = field(default=frozenset(), kw_only=True)
    exempts: frozenset[str] = field(default=frozenset(), kw_only=True)

    @property
    def needs(self) -> frozenset[str]:
        """What its outcome looks at besides the head of a request: see ``rules.fields.Field.needs``."""
        return frozenset()

    @property
    def strength(self) -> int:
        """The number by which actions are compared."""
        return self.default_priority if self.priority is None else self.priority

    def outcome(self, exchange: Exchange) -> Outcome:
        """What becomes of the exchange if this action wins."""
        raise TypeError(f"{type(self).__name__} has no outcome")


@frozen(cache_hash=True, slots=False)
class Reason:
    """Why: one filter that matched, and the entry that made it match.

    :ivar stage: the stage, such as ``global-filters``.
    :ivar filter: the name of the filter's section.
    :ivar entry: the matching entry as ``category: value``; several are joined with ``and``.
    :ivar annotation: the annotations of those entries.
    :ivar action: the name of the action that the filter proposes, or an empty string.
    :ivar display_name: what people call the filter; empty if it has no other name.
    """

    stage: str
    filter: str
    entry: str = ""
    annotation: str = ""
    action: str = ""
    display_name: str = ""

    @functools.cached_property
    def json(self) -> str:
        """It as a JSON object in printable ASCII, for events: kept with it, for filters match again and again."""
        told = {name: value for name, value in asdict(self).items() if value or name != "display_name"}
        return json.dumps(told, separators=(",", ":"))

    @functools.cached_property
    def counted_as(self) -> str:
        """Stage, filter and action, a line each: under which it is counted, whatever entry has matched."""
        return f"{self.stage}\n{self.filter}\n{self.action}"


_NO_TAGS: frozenset[str] = frozenset()


@frozen
class Rewrite:
    """What is changed of a message on its way: of a request to its origin, or of an answer to the client.

    :ivar headers: header fields to set, in place of all fields of these names; names in lower case.
    :ivar removed: the names of fields that are taken away, in lower case.
    :ivar origin: of a request, the name of the origin that is asked; empty for that of its path map.
    """

    headers: Headers = ()
    removed: frozenset[bytes] = frozenset()
    origin: str = ""

    @property
    def gone(self) -> frozenset[bytes]:
        """The names of the fields of which none is left as it was."""
        return self.removed.union(name for name, _ in self.headers)

    def of(self, headers: Headers) -> Headers:
        """Header fields, changed so."""
        gone = self.gone
        return (*(each for each in headers if each[0] not in gone), *self.headers)

    def then(self, later: Rewrite) -> Rewrite:
        """This, and what is changed after it."""
        return Rewrite(later.of(self.headers), self.removed | later.removed, later.origin or self.origin)


class After(Protocol):
    """Wants to know what a request was answered."""

    def responded(self, status: int, sent: int, origin_status: int) -> None:
        """The exchange is over; called once, whatever came of it, and must not raise.

        :param status: what the client was sent; 444 closed by the node, 499 closed by the client, 0 nothing.
        :param sent: bytes of the body that were sent.
        :param origin_status: what the origin answered; 502 or 504 if it was asked and did not, 0 if it was not asked.
        """


@define(weakref_slot=False)
class Decision:
    """Tags, reasons, and the strongest action proposed so far.

    Of two actions with the same strength the earlier one stays.

    :ivar tags: the tags to put on the exchange.
    :ivar reasons: every filter that matched, in the order judged.
    :ivar action: the strongest action proposed.
    :ivar timings: each stage with the microseconds that it took; no part of what is decided, so not compared.
    :ivar exempt: the names of the stages that are left out.
    :ivar mode: the mode of filtration it was made in; of two the looser. Only under ``block`` is anything refused.
    :ivar headers: header fields for whatever answer the client gets; names in lower case.
    :ivar after: what wants to know the answer, once there is one.
    :ivar rewrite: what is changed of the request on its way to the origin; ``None`` for nothing.
    """

    tags: frozenset[str] = _NO_TAGS
    reasons: tuple[Reason, ...] = ()
    action: Action | None = None
    timings: tuple[tuple[str, float], ...] = field(default=(), eq=False)
    exempt: frozenset[str] = _NO_TAGS
    mode: str = "block"
    headers: Headers = ()
    after: tuple[After, ...] = field(default=(), eq=False)
    rewrite: Rewrite | None = None

    def add(self, other: Decision) -> None:
        """Join another decision to this one, as ``|`` does, but in place."""
        if other.tags:
            self.tags = self.tags | other.tags if self.tags else other.tags
        if other.reasons:
            self.reasons += other.reasons
        action = other.action
        if action is not None and (self.action is None or action.strength > self.action.strength):
            self.action = action
        if other.timings:
            self.timings += other.timings
        if other.exempt:
            self.exempt = self.exempt | other.exempt
        if other.mode != self.mode:
            self.mode = min(self.mode, other.mode, key=MODES.index)
        if other.headers:
            self.headers += other.headers
        if other.after:
            self.after += other.after
        if other.rewrite is not None:
            self.rewrite = other.rewrite if self.rewrite is None else self.rewrite.then(other.rewrite)

    def __or__(self, other: Decision) -> Decision:
        joined = Decision(
            self.tags,
            self.reasons,
            self.action,
            self.timings,
            self.exempt,
            self.mode,
            self.headers,
            self.after,
            self.rewrite,
        )
        joined.add(other)
        return joined

    def __await__(self) -> Generator[None, None, Decision]:
        """Itself: ``await pipeline.decide(exchange)`` works whether or not anything had to be waited for."""
        return self
        yield  # only this makes it a generator

    def outcome(self, exchange: Exchange) -> Outcome:
        """What becomes of the exchange: its action's outcome, or forwarding if none was proposed. Where the mode is not
        ``block`` nothing is refused, whatever the action.

        :param exchange: with the tags of this decision or without them; it stays as it is.
        """
        if self.action is None:
            return FORWARD
        outcome = self.action.outcome(exchange if exchange.tags is self.tags else exchange.tagged(self.tags))
        if outcome is not FORWARD:
            check_outcome(outcome)
        return outcome if self.mode == "block" or isinstance(outcome, Forward) else FORWARD


NOTHING = Decision()

_EMPTY = Response(200)
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # section 5.5


def check_said(said: Decision) -> None:
    """Whether all parts of a decision are what they should be: it may be that of an extension, and what is wrong in it
    would otherwise fail where it is used, such as in the event, or make a rule on tags miss it.

    :raises TypeError: if one is not.
    :raises ValueError: if a header is none.
    """
    _texts("tags", said.tags)
    _texts("exempt", said.exempt)
    action = said.action
    if action is not None:
        if not isinstance(action, Action) or not isinstance(action.name, str) or not isinstance(action.strength, int):
            raise TypeError(f"a stage proposes what is no action with a name and a strength: {action!r}")
        _texts("tags of the action", action.tags)
        _texts("exempts of the action", action.exempts)
    for why in _several("reasons", said.reasons):
        if not isinstance(why, Reason) or not all(isinstance(value, str) for value in astuple(why)):
            raise TypeError(f"a stage gives what is no reason of strings: {why!r}")
    check_headers(said.headers)
    _check_rewrite(said.rewrite)
    for each in _several("after", said.after):
        if not callable(getattr(each, "responded", None)):
            raise TypeError(f"a stage gives what cannot be told of an answer: {each!r}")
    for taken in _several("timings", said.timings):
        match taken:
            case (str(), int() | float()):
                continue
        raise TypeError(f"a stage gives what is no timing: {taken!r}")
    if said.mode not in MODES:
        raise TypeError(f"a stage gives what is no mode: {said.mode!r}")


def check_headers(headers: object) -> None:
    """Whether these are header fields: pairs of a name in lower case and a value, without line ends.

    :raises TypeError: if they are no tuple.
    :raises ValueError: if one is none.
    """
    for name, value in _several("headers", headers):
        if name != name.lower() or not _FIELD.fullmatch(name) or _NO_VALUE.search(value):
            raise ValueError(f"a stage gives what is no header in lower case: {name!r}: {value!r}")


def _check_rewrite(rewrite: object) -> None:
    if rewrite is None:
        return
    if not isinstance(rewrite, Rewrite) or not isinstance(rewrite.origin, str):
        raise TypeError(f"a stage gives what is no Rewrite: {rewrite!r}")
    check_headers(rewrite.headers)
    check_headers(tuple((name, b"") for name in rewrite.removed))


def _texts(what: str, values: object) -> None:
    if not isinstance(values, frozenset | set) or not all(isinstance(each, str) for each in values):
        raise TypeError(f"a stage gives {what} that are no set of strings: {values!r}")


def _several(what: str, values: object) -> tuple[Any, ...]:
    if not isinstance(values, tuple):
        raise TypeError(f"a stage gives {what} that are no tuple: {values!r}")
    return values


def check_outcome(outcome: object) -> None:
    """Whether an outcome can be carried out: it may be that of an extension, and a line end in a header would be the
    beginning of another answer.

    :raises TypeError: if it is none.
    :raises ValueError: if a header or a status of it is none.
    """
    if isinstance(outcome, Close):
        return
    if not isinstance(outcome, Forward | Respond):
        raise TypeError(f"an action came to {type(outcome).__name__}, and not to Forward, Respond or Close")
    headers = outcome.response.headers if isinstance(outcome, Respond) else outcome.headers
    response = outcome.response if isinstance(outcome, Respond) else _EMPTY
    status, body = response.status, response.body
    if not isinstance(status, int) or not 200 <= status <= 599 or not isinstance(body, bytes):
        raise ValueError("an action answers with a status from 200 to 599, and a body of bytes")
    if not isinstance(headers, tuple | list):
        raise TypeError(f"an action gives headers that are no tuple: {headers!r}")
    for name, value in headers:
        if isinstance(outcome, Forward) and name != name.lower():  # what the client sent would stay beside it
            raise ValueError(f"an action sets a header whose name is not in lower case: {name!r}")
        if not _FIELD.fullmatch(name) or _NO_VALUE.search(value):
            raise ValueError(f"an action sets what is no header: {name!r}: {value!r}")
