"""The records of exchanges as others may see them: without the values of clients that are masked.

Law: whatever takes records, logs, journal, traces, metrics or a sink of one's own, takes none with a value that is
masked on its path map; and where it was not routed so far, none that is masked anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, reduce
from operator import or_
from typing import Any, cast

from attrs import evolve, frozen
from zope.interface import implementer

from edgenode.model.decision import Decision
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Exchange
from edgenode.model.interfaces import IEventSink, Record
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.policy.contentfilter.secrets import Secrets


class MaskedRecord:
    """A record without what is masked; the rest is that of the record.

    :param record: the record.
    :param masks: what is masked.
    """

    def __init__(self, record: Record, masks: Masks) -> None:
        self._record = record
        self._masks = masks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)

    @cached_property
    def exchange(self) -> Exchange:
        """The exchange, its request masked."""
        whole = self._record.exchange
        request = None if whole.request is None else self._masks.masked(whole.request)
        return Exchange(
            whole.connection, request, whole.client, self.decision.tags if whole.tags else whole.tags,
            whole.server_group, whole.security_policy, whole.path_map, whole.geography, whole.time, whole.standing,
            whole.identifier, whole.exempt,
        )  # fmt: skip

    @cached_property
    def decision(self) -> Decision:
        """What was decided, its reasons and tags masked."""
        return self._secrets.decision(self._record.decision)

    @cached_property
    def error(self) -> ClientError | OriginError | None:
        """What failed, its reason masked."""
        error = self._record.error
        if error is None or (reason := self._secrets.text(error.reason)) == error.reason:
            return error
        return evolve(error, reason=reason)

    @cached_property
    def _secrets(self) -> Secrets:
        return Secrets.of(self._masks, self._record.exchange.request)


def all_of(several: Iterable[Masks]) -> Masks:
    """What any of several masks."""
    return reduce(or_, filter(None, several), NOTHING_MASKED)


@implementer(IEventSink)
@frozen
class MaskingSink:
    """Hands records on, masked.

    :ivar sink: to whom.
    :ivar masks: what is masked, by the name of the path map; of what is not in it, and of what was not routed,
        everything is masked that is anywhere.
    """

    sink: IEventSink
    masks: Mapping[str, Masks]
    _all: Masks

    @classmethod
    def of(cls, sink: IEventSink, masks: Mapping[str, Masks]) -> IEventSink:
        """The sink itself if nothing is masked.

        :param masks: by the name of every path map.
        """
        everything = all_of(masks.values())
        return cls(sink, masks, everything) if everything else sink

    def record(self, record: Record) -> None:
        """Hand a record on."""
        masks = self.masks.get(record.exchange.path_map, self._all)
        self.sink.record(cast(Record, MaskedRecord(record, masks)) if masks else record)
