"""Every type of ``[exporter]``, with the class of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgenode.observe.exporters.receiver import Receiver
from edgenode.observe.exporters.webhook import Webhook

TYPES: Mapping[str, type[Receiver]] = MappingProxyType({"webhook": Webhook})
