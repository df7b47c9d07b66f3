"""``[exporter]``: another system that is sent events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from attrs import field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.extensions import Extension
from edgenode.model.settings import Between, Reference, Seconds, Size, Variants, setting
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.exporters import fields
from edgenode.observe.exporters.fields import SentField
from edgenode.observe.exporters.receiver import Receiver
from edgenode.observe.exporters.types import TYPES

_LEAST_BATCH, _MOST_BATCH = 1024, 64 * 1024**2


@frozen
class Exporter:
    """Another system that is sent events, read from the journal, at least once each."""

    kind: ClassVar[str] = "exporter"

    type: Annotated[str, Variants(TYPES)] = setting("What kind of receiver it is; each has keys of its own.")
    origin: Annotated[str, Reference("origin")] = setting(
        "The origin that takes them; its servers, certificate and trust store are used."
    )
    expression: EventExpression | None = setting("Which events are sent; without the key all are.", None)
    fields: tuple[SentField, ...] = setting(
        "What is sent of an event: one line ``NAME: PART`` each, the receiver's name and the part of the event as "
        'the page of events has it, such as ``source.ip: client``; or ``NAME: "TEXT"``. Without the key an event is '
        "sent as it is.",
        (),
    )
    batch_size: Annotated[int, Between(1, 10_000)] = setting("The maximum number of events in a batch.", 500)
    batch_bytes: Size = setting(
        "The maximum size of a batch before compression; an event may be larger.", Size(1 << 20)
    )
    batch_time: Seconds = setting("How long an event waits for others to be sent with.", Seconds(5.0))
    timeout: Seconds = setting("The time that a batch may take to be answered; then it is sent again.", Seconds(30.0))
    backoff: Seconds = setting(
        "The time after which what failed is sent again; it doubles with each further failure, and a part of it is "
        "random.",
        Seconds(1.0),
    )
    max_backoff: Seconds = setting(
        "The longest such time; a receiver that asks for more (``Retry-After``) is given up to an hour.", Seconds(300.0)
    )
    extension: Extension | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        for faulty, key, sentence in (
            (not _LEAST_BATCH <= self.batch_bytes <= _MOST_BATCH, "batch-bytes", "a size from 1k to 64m"),
            (self.timeout <= 0, "timeout", "a timeout of 0 would leave no time at all"),
            (self.backoff <= 0, "backoff", "without a pause a receiver that is down would be asked all the time"),
            (self.max_backoff < self.backoff, "max-backoff", "it is shorter than backoff"),
        ):
            if faulty:
                raise InvalidValue(sentence, which=key)
        try:
            fields.check(self.fields)
        except InvalidValue as problem:
            raise InvalidValue(problem.sentence, which="fields") from None

    @property
    def receiver(self) -> Receiver:
        """The keys of its type."""
        assert self.extension is not None
        receiver: Receiver = self.extension.keys
        return receiver

    @property
    def stream_keys(self) -> tuple[str, ...]:
        """Its keys that name an origin that takes no HTTP."""
        return ("origin",) if self.receiver.streams else ()

    def faults(self) -> Iterator[tuple[str, str, bool]]:
        """What is wrong with it, or doubtful: the key, a sentence, and whether it is a warning."""
        yield from self.receiver.faults()
