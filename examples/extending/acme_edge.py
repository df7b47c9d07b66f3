"""An extension of each kind, of public names alone: a stage, an action, a field, a category and an event sink."""

from __future__ import annotations

from typing import Annotated, ClassVar, TextIO

from attrs import define, field, frozen
from twisted.application.service import Service
from zope.interface import implementer

from edgenode import (
    BYTES,
    NOTHING,
    Action,
    Between,
    Category,
    Decision,
    Exchange,
    Field,
    IEventSink,
    InvalidValue,
    Notation,
    Outcome,
    Output,
    Reason,
    Record,
    Respond,
    Response,
    Seconds,
    event_line,
    setting,
)

# -- an action: a class; its second parameter has the keys of [action NAME] --------------------------------------------


@frozen
class ComeBackKeys:
    """The keys of an action of the type ``come-back``."""

    after: Seconds = setting("What ``Retry-After`` says.", Seconds(60.0))
    status: Annotated[int, Between(400, 599)] = setting("The status.", 429)


@frozen
class ComeBack(Action):
    """Tells the client to come back later."""

    default_priority: ClassVar[int] = 450
    skips: ClassVar[bool] = True

    keys: ComeBackKeys = ComeBackKeys()

    def outcome(self, exchange: Exchange) -> Outcome:
        """The answer."""
        headers = ((b"retry-after", b"%d" % self.keys.after), (b"cache-control", b"no-store"))
        return Respond(Response(self.keys.status, headers, b"Come back later.\n"))


# -- a stage: likewise, of [stage NAME] --------------------------------------------------------------------------------


@frozen
class QuotaKeys:
    """The keys of the stage ``quota``."""

    limit: Annotated[int, Between(1, 1_000_000)] = setting("Requests of a client within the window.")
    window: Seconds = setting("The window.", Seconds(60.0))

    def __attrs_post_init__(self) -> None:
        if not self.window:
            raise InvalidValue("a window of 0 has no end", which="window")


@define(eq=False)
class Quota:
    """Refuses a client's requests over a limit, until the window is over."""

    needs: ClassVar[frozenset[str]] = frozenset()

    name: str
    keys: QuotaKeys
    _window: int = field(default=0, init=False)
    _counts: dict[str, int] = field(factory=dict, init=False)

    def decide(self, exchange: Exchange) -> Decision:
        """Count, and refuse what is too much."""
        window = int(exchange.time // self.keys.window)
        if window != self._window:
            self._window, self._counts = window, {}
        count = self._counts[exchange.client] = self._counts.get(exchange.client, 0) + 1
        if count <= self.keys.limit:
            return NOTHING
        action = ComeBack(self.name, ComeBackKeys(after=self.keys.window))
        reason = Reason(self.name, "", f"requests: {count}", f"more than {self.keys.limit}", action.name)
        return Decision(frozenset(("over-quota", f"action:{self.name}")), (reason,), action)


# -- a field, and a category of entries that looks at it ---------------------------------------------------------------

KINDS = ("live", "test")


def _key_kind(exchange: Exchange) -> bytes | None:
    """What stands before the first ``_`` of ``X-Api-Key``; missing without one."""
    values = () if exchange.request is None else exchange.request.fields.get(b"x-api-key", ())
    kind, mark, _ = values[0].partition(b"_") if len(values) == 1 else (b"", b"", b"")
    return kind if mark else None


def _one_of_the_kinds(text: str) -> bytes:
    if text not in KINDS:
        raise InvalidValue(f"expected {' or '.join(KINDS)}", 0)
    return text.encode()


KEY_KIND = Field("acme.key_kind", BYTES, _key_kind, "The kind of the API key: ``live`` or ``test``.")
KEY_KIND_CATEGORY = Category(
    "key-kind",
    "acme.key_kind",
    Notation("equal", "``live`` or ``test``", _one_of_the_kinds),
    "The kind of the API key.",
)


# -- an event sink; a Twisted service, so it lives as long as the node -------------------------------------------------


@frozen
class SlowKeys:
    """The keys of the sink ``slow``."""

    file: Output = setting("Where to write the events.")
    over: Seconds = setting("How long an exchange takes that is slow.", Seconds(1.0))


@implementer(IEventSink)
class SlowExchanges(Service):
    """Writes the events of slow exchanges to a file."""

    def __init__(self, name: str, keys: SlowKeys) -> None:
        self.name = name
        self._keys = keys
        self._file: TextIO | None = None

    def startService(self) -> None:
        """Open the file."""
        super().startService()  # type: ignore[no-untyped-call]
        self._file = self._keys.file.open("a", encoding="ascii", buffering=1)

    def stopService(self) -> None:
        """Close it."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._file is not None:
            self._file.close()
            self._file = None

    def record(self, record: Record) -> None:
        """Write an event, if it is of a slow exchange."""
        if self._file is not None and record.ended - record.began >= self._keys.over:
            self._file.write(f"{event_line(record)}\n")
