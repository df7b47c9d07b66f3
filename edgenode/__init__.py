"""An edge node for mutual TLS on Twisted.

Every module stands in a room, a folder with one subject: ``docs/architecture.rst`` has the table of rooms, and
of what each may import.

The names below are the public ones; everything else may change. They are loaded when they are first asked for, so that
a program that uses one room does not load them all.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenode.config.load import Configuration as Configuration
    from edgenode.embedding.connection_facts import connection_of as connection_of
    from edgenode.embedding.endpoint import EdgeEndpoint as EdgeEndpoint
    from edgenode.embedding.filtered_resource import FilteredResource as FilteredResource
    from edgenode.model.decision import Action as Action
    from edgenode.model.decision import Decision as Decision
    from edgenode.model.decision import Reason as Reason
    from edgenode.model.errors import ConfigurationError as ConfigurationError
    from edgenode.model.errors import OriginError as OriginError
    from edgenode.model.exchange import Address as Address
    from edgenode.model.exchange import Connection as Connection
    from edgenode.model.exchange import Exchange as Exchange
    from edgenode.model.exchange import Request as Request
    from edgenode.model.interfaces import IEventSink as IEventSink
    from edgenode.model.interfaces import Record as Record
    from edgenode.model.interfaces import Stage as Stage
    from edgenode.node.event_record import event_line as event_line
    from edgenode.node.event_schema import Event as Event
    from edgenode.node.service import EdgeService as EdgeService
    from edgenode.policy.pipeline import Pipeline as Pipeline
    from edgenode.proxy.origin.agent import OriginAgent as OriginAgent

_HOMES = {
    "Action": "model.decision",
    "Address": "model.exchange",
    "Configuration": "config.load",
    "ConfigurationError": "model.errors",
    "Connection": "model.exchange",
    "Decision": "model.decision",
    "EdgeEndpoint": "embedding.endpoint",
    "EdgeService": "node.service",
    "Event": "node.event_schema",
    "Exchange": "model.exchange",
    "FilteredResource": "embedding.filtered_resource",
    "IEventSink": "model.interfaces",
    "OriginAgent": "proxy.origin.agent",
    "OriginError": "model.errors",
    "Pipeline": "policy.pipeline",
    "Reason": "model.decision",
    "Record": "model.interfaces",
    "Request": "model.exchange",
    "Stage": "model.interfaces",
    "connection_of": "embedding.connection_facts",
    "event_line": "node.event_record",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
