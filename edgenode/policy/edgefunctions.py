"""``[edge-function]``: a function of one's own that sees requests before or after the filters, or the answers to them.

Law: what a function returns is looked at whole before any of it counts; one that raises, is too late, or returns
something that cannot be is a stage that has failed. A function sees no message of a WebSocket, only its handshake.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from inspect import isawaitable, signature
from typing import Annotated, Any, ClassVar

from attrs import field, fields, frozen
from twisted.internet.defer import Deferred

from edgenode.model.decision import (
    NOTHING,
    Action,
    Decision,
    Outcome,
    Reason,
    Respond,
    Rewrite,
    check_headers,
    check_outcome,
)
from edgenode.model.errors import InvalidValue, printable
from edgenode.model.exchange import Exchange, Response
from edgenode.model.extensions import Extension
from edgenode.model.functions import FunctionResult, OriginResponse
from edgenode.model.settings import Choice, Extends, Reference, Seconds, Size, Tag, Word, setting
from edgenode.policy.actions import Block, taken_tags
from edgenode.policy.awaiting import settled
from edgenode.policy.challenge import met
from edgenode.policy.tagging import MESSAGE, check_own_tag
from edgenode.rules.tags import canonical

STAGE = "edge-function"
"""How reasons name the stage of every edge function; the filter is the function's section."""

REQUEST_BEFORE, REQUEST_AFTER = "request-before", "request-after"
RESPONSE_BEFORE, RESPONSE_AFTER = "response-before", "response-after"
POINTS = (REQUEST_BEFORE, REQUEST_AFTER, RESPONSE_BEFORE, RESPONSE_AFTER)
"""When a function is asked."""

_check_tag = functools.lru_cache(1024)(check_own_tag)

_LONGEST = 500
"""Characters of a reason that are told."""

OF_REQUESTS = (REQUEST_BEFORE, REQUEST_AFTER)
_OF_REQUESTS_ALONE = ("body", "origins")
_OF_RESPONSES_ALONE = ("response_limit", "response_types", "streams", "unseen")


@frozen
class EdgeFunctionSection:
    """A function of one's own, where a path map names it."""

    kind: ClassVar[str] = "edge-function"

    function: Annotated[str, Extends("edge-function")] = setting(
        "The function: ``module:function``, or the name under which an installed distribution declares it. The module "
        "is imported into the node's process, with its rights; also by ``check``, ``explain`` and ``replay``. Its "
        "parameter ``keys``, if it has one, says which further keys the section has: see the page Edge functions."
    )
    point: Annotated[str, Choice(POINTS)] = setting(
        "When it is asked: ``request-before`` the filters, behind the automatic tags, or ``request-after`` all stages "
        "that judge, of a request that none of them has refused; of an origin's answer ``response-before`` the content "
        "filter and response rules, or ``response-after`` both."
    )
    timeout: Seconds | None = setting(
        "How long it may have the request wait; then it has failed. 0 waits for ever; without the key it is "
        "``judging-timeout`` of ``[edge]``.",
        None,
    )
    body: bool = setting(
        "Whether it looks at the body of the request: then as much as ``inspect-body-size`` says is held back for it, "
        "and ``uninspected`` says what becomes of a longer one.",
        False,
    )
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags that it puts on and rules look for, so that ``check`` knows that something sets them; it may put on "
        "others as well.",
        (),
    )
    actions: tuple[Annotated[str, Reference("action")], ...] = setting("The actions that it may propose.", ())
    origins: tuple[Annotated[str, Reference("origin")], ...] = setting(
        "The origins that it may choose in place of the path map's.", ()
    )
    response_limit: Size = setting(
        "How much of an answer's body is held back for a function that sees answers; 0: it sees none.", Size(0)
    )
    response_types: tuple[Word, ...] = setting(
        "The media types of the answers whose bodies it sees, such as ``text/html application/json text/*``; without "
        "the key all.",
        (),
    )
    streams: bool = setting(
        "Whether answers that come bit by bit are held back as well: those of gRPC, and ``text/event-stream``.", False
    )
    unseen: Annotated[str, Choice(("refuse", "pass"))] = setting(
        "What becomes of an answer whose body it would see but not to its end, for it is longer than "
        "``response-limit``, a part (206), or in a content coding that is not known here: ``refuse`` answers 502, "
        "``pass`` lets it through once the function has seen what there is.",
        "refuse",
    )
    extension: Extension | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if the function cannot be called as its point has it, or a key is not for its point."""
        of_requests = self.point in OF_REQUESTS
        for name in _OF_RESPONSES_ALONE if of_requests else _OF_REQUESTS_ALONE:
            if getattr(self, name) != getattr(fields(EdgeFunctionSection), name).default:
                raise InvalidValue(f"has no meaning at the point {self.point}", which=name.replace("_", "-"))
        for each in self.response_types:
            if not _MEDIA_TYPE.fullmatch(each):
                raise InvalidValue(f"expected a media type such as text/html or text/*: {each}", which="response-types")
        if self.extension is not None:
            check_call(self.extension, 1 if of_requests else 2)

    @property
    def proposes(self) -> tuple[str, ...]:
        """The names of the actions that it may propose."""
        return self.actions


_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:\*|[a-z0-9!#$&^_.+-]+)")


def check_call(extension: Extension, given: int) -> None:
    """:raises InvalidValue: if a function does not take so many arguments, and its keys."""
    keys = {} if extension.keys is None else {"keys": extension.keys}
    try:
        signature(extension.factory.call).bind(*(None,) * given, **keys)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"the function is not called as an edge function is: {error}", which="function") from None


@frozen
class Answer(Action):
    """Answer with what a function has returned.

    :ivar response: the answer.
    """

    default_priority: ClassVar[int] = Block.default_priority
    skips: ClassVar[bool] = True

    response: Response = field(kw_only=True)

    def outcome(self, exchange: Exchange) -> Outcome:
        """The answer."""
        return Respond(self.response)


Fault = Callable[[bytes, str], str]
"""Takes the name of a header field, in lower case, and how a function changes it, ``set``, ``remove`` or ``answer``;
returns why that cannot be, in words, or an empty string."""


@frozen(eq=False)
class EdgeFunction:
    """An edge function as a stage.

    :ivar filter: the name of its section.
    :ivar section: the section.
    :ivar actions: those that it may propose, by name.
    :ivar fault: says which header fields it may not change.
    """

    filter: str
    section: EdgeFunctionSection
    actions: Mapping[str, Action]
    fault: Fault
    _call: Callable[..., Any] = field(init=False)
    _tags: frozenset[str] = field(init=False)

    @_call.default
    def _with_its_keys(self) -> Callable[..., Any]:
        extension = self.section.extension
        assert extension is not None
        call, keys = extension.factory.call, extension.keys
        return call if keys is None else lambda *given: call(*given, keys=keys)

    @_tags.default
    def _automatic(self) -> frozenset[str]:
        return frozenset((STAGE, canonical(f"{STAGE}:{self.filter}")))

    @property
    def name(self) -> str:
        """The stage's name: the header of its section."""
        return f"{STAGE} {self.filter}"

    @property
    def needs(self) -> frozenset[str]:
        """What it looks at, and what its actions do."""
        own = frozenset(("body",)) if self.section.body else frozenset[str]()
        return own.union(*(action.needs for action in self.actions.values()))

    @property
    def timeout(self) -> float | None:
        """How long it may have a request wait, seconds; 0 for ever, ``None`` as long as other stages."""
        return self.section.timeout

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """What it says of a request."""
        if exchange.request is None or MESSAGE in exchange.tags:
            return NOTHING
        return self._said(self._call(exchange), exchange)

    @property
    def whole(self) -> bool:
        """See :class:`edgenode.model.interfaces.ResponseStage`."""
        return self.section.unseen == "refuse"

    @property
    def limit(self) -> int:
        """Likewise."""
        return self.section.response_limit

    def wants(self, exchange: Exchange, response: OriginResponse) -> bool:
        """Likewise."""
        values = response.fields.get(b"content-type", (b"",))
        return any(self._sees(value.partition(b";")[0].strip(b" \t").lower()) for value in values)

    def _sees(self, media_type: bytes) -> bool:
        """Whether it looks at bodies of a media type."""
        if media_type == PARTS:
            return True
        if streams(media_type) and not self.section.streams:
            return False
        types, family = self.section.response_types, media_type.partition(b"/")[0] + b"/*"
        return not types or any(each.encode() in (media_type, family) for each in types)

    def decide_response(self, exchange: Exchange, response: OriginResponse) -> Decision | Deferred[Decision]:
        """What it says of an origin's answer."""
        return self._said(self._call(exchange, response), exchange)

    def _said(self, said: Any, exchange: Exchange) -> Decision | Deferred[Decision]:
        if isinstance(said, Deferred) or isawaitable(said):
            said = settled(said)
            if isinstance(said, Deferred):
                return self._waited(said, exchange)
        return self._decision(said, exchange)

    def _waited(self, said: Deferred[Any], exchange: Exchange) -> Deferred[Decision]:
        """What it will say; its own Deferred, which it may have kept, stays as it is."""
        judged: Deferred[Decision] = Deferred(lambda _: said.cancel())

        def answered(answer: Any) -> Any:
            if not judged.called:
                try:
                    judged.callback(self._decision(answer, exchange))
                except BaseException:
                    judged.errback()
            return answer

        def failed(failure: Any) -> None:
            if not judged.called:
                judged.errback(failure)

        said.addCallbacks(answered, failed)
        return judged

    def _decision(self, said: Any, exchange: Exchange) -> Decision:
        """What a result comes to.

        :raises TypeError: if it is none.
        :raises ValueError: if something in it cannot be.
        """
        if said is None:
            return NOTHING
        if not isinstance(said, FunctionResult):
            raise TypeError(f"an edge function returned {type(said).__name__}, and no FunctionResult")
        if isinstance(said.tags, str) or not isinstance(said.reason, str):
            raise TypeError("an edge function gives tags that are one text, or a reason that is none")
        tags = self._tags.union(said.tags)
        for tag in said.tags:
            _check_tag(tag)
        action, reasons = self._action(said, exchange)
        exempt = frozenset[str]()
        if action is not None:
            if action.exempts:
                tags, exempt, action = tags | action.tags, action.exempts, None
            else:
                tags |= taken_tags(action)
        rewrite = self._rewrite(said)
        named = "" if action is None else action.name
        reason = Reason(STAGE, self.filter, ", ".join(_done(said)), printable(said.reason)[:_LONGEST], named)
        return Decision(tags, (reason, *reasons), action, exempt=exempt, rewrite=rewrite)

    def _action(self, said: FunctionResult, exchange: Exchange) -> tuple[Action | None, tuple[Reason, ...]]:
        if said.answer is not None:
            if said.action:
                raise ValueError("an edge function answers and proposes an action: only one can be")
            check_outcome(Respond(said.answer))
            headers = tuple((name.lower(), value.strip(b" \t")) for name, value in said.answer.headers)
            self._check_names((name for name, _ in headers), "answer")
            return Answer("answer", response=Response(said.answer.status, headers, said.answer.body)), ()
        if not said.action:
            return None, ()
        action = self.actions.get(said.action)
        if action is None:
            raise ValueError(f"an edge function proposes {said.action!r}, which is none of its actions")
        return met(action, exchange)

    def _rewrite(self, said: FunctionResult) -> Rewrite | None:
        removed = frozenset(said.remove)
        check_headers(said.headers)
        check_headers(tuple((name, b"") for name in removed))
        self._check_names((name for name, _ in said.headers), "set")
        self._check_names(removed, "remove")
        if said.origin and said.origin not in self.section.origins:
            raise ValueError(f"an edge function chooses {said.origin!r}, which is none of its origins")
        if not (said.headers or removed or said.origin):
            return None
        return Rewrite(tuple((name, value.strip(b" \t")) for name, value in said.headers), removed, said.origin)

    def _check_names(self, names: Any, how: str) -> None:
        for name in names:
            fault = self.fault(name, how)
            if fault:
                raise ValueError(f"an edge function may not {how} {name!r}: {fault}")


PARTS = b"multipart/byteranges"
"""The media type of several parts of a body (RFC 9110, section 14.6), whose own may be any."""


def streams(media_type: bytes) -> bool:
    """Whether an answer of a media type, in lower case, comes bit by bit, and is of no use when it is held back."""
    return media_type == b"text/event-stream" or media_type.startswith(b"application/grpc")


def _done(said: FunctionResult) -> Iterator[str]:
    """What a function has done, without the values, which may be secret."""
    for name in dict.fromkeys(name for name, _ in said.headers):
        yield f"set {name.decode()}"
    for name in sorted(said.remove):
        yield f"remove {name.decode()}"
    if said.origin:
        yield f"origin {said.origin}"
    if said.answer is not None:
        yield f"answer {said.answer.status}"
