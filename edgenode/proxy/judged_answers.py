"""The answers of origins that somebody judges: held back until that is done, with as much of their bodies as is wanted.

Law: nothing of an answer goes to the client before it was judged, and what is held of it is bounded. Meanwhile the
client has been sent nothing, so that whatever happens to the origin can still be answered.
"""

from __future__ import annotations

import re

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.decision import Decision, Forward, Respond, Rewrite
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Headers
from edgenode.model.functions import OriginResponse
from edgenode.policy.actions import EXEMPTIBLE, Skip
from edgenode.policy.answers import Answers, seen
from edgenode.proxy.answers import MOST_DROPPED, AnsweredRequest
from edgenode.proxy.headers import header_lines
from edgenode.proxy.judging import outcome_of
from edgenode.proxy.streams import RequestHead, ResponseHead

_log = Logger()


@define
class Held:
    """An answer that is held back.

    :ivar answers: what judges it.
    :ivar head: its head, as it came.
    :ivar limit: how much of its body stages see, bytes.
    :ivar body: what has come of it.
    :ivar done: whether that is all.
    :ivar trailers: what came behind it.
    :ivar judging: whether it is being judged, or was.
    :ivar paused: whether the origin waits for that.
    :ivar lines: the field lines for the client, once response rules have had their say; empty before.
    """

    answers: Answers
    head: ResponseHead
    limit: int
    body: bytearray
    done: bool
    trailers: Headers = ()
    judging: bool = False
    paused: bool = False
    lines: bytes = b""


class JudgedAnswer(AnsweredRequest):
    """A request whose answer is judged, where stages want that; :class:`edgenode.proxy.exchange.ProxyExchange` is the
    whole."""

    _held: Held | None = None

    # -- held --------------------------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether the client has been sent a part of the answer."""
        return self.responded_to and self._held is None

    def hold(self, answers: Answers, head: ResponseHead, body: bytes, done: bool) -> None:
        """Hold an answer back until it was judged."""
        if isinstance(self.decision.action, Skip):  # nothing behind it judges, so nor do filters judge the answer
            self.exchange.exempt = self.exchange.exempt.union(EXEMPTIBLE)
        response = OriginResponse(head.status, head.headers, None, head.fields)
        limit = answers.wanted(self.exchange, response)
        self._held = held = Held(answers, head, limit, bytearray(body), done)
        if done or len(body) > limit or not limit:
            self._judge_answer(held)

    def held_body(self, held: Held, body: bytes, done: bool, trailers: Headers) -> None:
        """More has come of the body of an answer that is held back."""
        held.body += body
        held.done, held.trailers = done, trailers
        if done:
            self.stream = None
        if not held.judging and (done or len(held.body) > held.limit):
            self._judge_answer(held)

    def let_go(self) -> None:
        """Nobody wants what is held any more."""
        if self._held is not None:
            self._held = None
            self.unwanted()

    # -- judged ------------------------------------------------------------------------------------------------------

    def _judge_answer(self, held: Held) -> None:
        held.judging = True
        try:
            self._ask(held)
        except BaseException:
            self._answer_failed(Failure())

    def _ask(self, held: Held) -> None:
        stages = held.answers.after if held.lines else held.answers.before
        head = held.head
        headers = _fields(held.lines) if held.lines else head.headers
        body = None
        if held.limit:
            whole = held.done and head.status != 206
            body = seen(bytes(held.body), whole, head.fields.get(b"content-encoding", ()), held.limit)
        decided = held.answers.judge(stages, self.exchange, OriginResponse(head.status, headers, body))
        if isinstance(decided, Deferred):
            if self.stream is not None and not held.paused:
                held.paused = True
                self.stream.pause()
            self._wait(decided).addCallbacks(self._answer_judged_late, self._answer_failed)
        else:
            self._answer_judged(decided)

    def _answer_judged_late(self, decision: Decision) -> None:
        self._waiting = None
        try:
            self._answer_judged(decision)
        except BaseException:
            self._answer_failed(Failure())

    def _answer_failed(self, failure: Failure) -> None:
        if self._held is None and failure.check(CancelledError):
            return
        _log.failure("an answer could not be judged", failure=failure)
        if not self.ended:
            self._held = None
            self.give_up()
            self._refuse(ClientError(503, "the answer could not be judged"))

    def _answer_judged(self, decision: Decision) -> None:
        held = self._held
        if held is None or self.ended:
            return
        rewrite, decision.rewrite = decision.rewrite, None
        try:
            outcome = outcome_of(decision, self.exchange)
        except ClientError as error:
            self._held = None
            self.give_up()
            self._refuse(error)
            return
        self._join(decision, taken=not isinstance(outcome, Forward))
        if isinstance(outcome, Forward):
            self._go_on_with(held, rewrite)
            return
        self._held = None
        if isinstance(outcome, Respond):
            self._respond(outcome.response)
            self._leave(held)
        else:
            self.give_up()
            self._close()

    def _join(self, decision: Decision, *, taken: bool) -> None:
        """Add what was said of the answer to what was of the request; the action that is taken is the exchange's."""
        own = self.decision
        if taken:
            own.action = None
        own.add(decision)
        self.exchange.tags = own.tags

    def _go_on_with(self, held: Held, rewrite: Rewrite | None) -> None:
        """Go on with an answer that was let pass: by response rules, the stages behind them, and to the client."""
        if held.lines:
            lines = held.lines if rewrite is None else _changed(held.lines, rewrite)
        else:
            if rewrite is not None:
                held.head = _rewritten(held.head, rewrite)
            self._held = None  # a page may be sent
            ruled = self.ruled(held.head, held.done)
            if ruled is None:
                self._read_on(held)
                return
            if held.answers.after:
                self._held, held.lines = held, ruled
                self._judge_answer(held)
                return
            lines = ruled
        self._held = None
        self.answer(held.head, lines, bytes(held.body), held.done, held.trailers)
        if not self._client.full:
            self._read_on(held)

    def _read_on(self, held: Held) -> None:
        if held.paused and self.stream is not None:
            self.stream.resume()

    def _leave(self, held: Held) -> None:
        """Drop what comes yet of a body that another takes the place of, so that its connection can be kept, unless
        that is much."""
        length = held.head.length
        if not held.done and self._request_done and (length is None or length <= MOST_DROPPED):
            self._drops = MOST_DROPPED
            self._read_on(held)
        elif not held.done:
            self.give_up()


def readable_answers(head: RequestHead) -> Rewrite:
    """What an origin is asked for, so that its answer can be read here: no content coding but one that is known."""
    accepted = (each.partition(b";") for value in head.fields.get(b"accept-encoding", ()) for each in value.split(b","))
    zipped = any(
        name.strip(b" \t").lower() in (b"gzip", b"x-gzip", b"*") and not _NEVER.fullmatch(weight)
        for name, _, weight in accepted
    )
    return Rewrite(((b"accept-encoding", b"gzip" if zipped else b"identity"),))


_NEVER = re.compile(rb"[ \t]*q=0(?:\.0{0,3})?[ \t]*", re.IGNORECASE)


def _fields(lines: bytes) -> Headers:
    """Field lines as pairs, names in lower case."""
    pairs = (line.partition(b":") for line in lines.split(b"\r\n")[:-1])
    return tuple((name.lower(), value.strip(b" \t")) for name, _, value in pairs)


def _changed(lines: bytes, rewrite: Rewrite) -> bytes:
    """Field lines, each with its line end, changed so."""
    gone = rewrite.gone
    kept = [line for line in lines.split(b"\r\n")[:-1] if line.partition(b":")[0].lower() not in gone]
    return b"".join(line + b"\r\n" for line in kept) + header_lines(_titled(rewrite.headers))


def _rewritten(head: ResponseHead, rewrite: Rewrite) -> ResponseHead:
    """A head with its fields changed so."""
    headers = rewrite.of(head.headers)
    fields: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in headers:
        fields[name] = (*fields.get(name, ()), value)
    names = [name for name, _ in headers]
    block = _changed(head.field_block, rewrite)
    return type(head)(head.status, head.reason, fields, names, block, head.length, head.options)


def _titled(headers: Headers) -> Headers:
    return tuple((name.title(), value) for name, value in headers)
