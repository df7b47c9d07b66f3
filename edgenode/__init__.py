"""An edge node for mutual TLS on Twisted.

The names of ``__all__`` are the public ones; everything else may change. They are loaded when they are first asked for,
so that a program that uses one room does not load them all.

Every module stands in a room, a folder with one subject: ``docs/architecture.rst`` has the table of rooms, and
of what each may import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenode.config.load import Configuration as Configuration
    from edgenode.embedding.connection_facts import connection_of as connection_of
    from edgenode.embedding.endpoint import EdgeEndpoint as EdgeEndpoint
    from edgenode.embedding.filtered_resource import FilteredResource as FilteredResource
    from edgenode.embedding.origin_agent import OriginAgent as OriginAgent
    from edgenode.embedding.state_service import StateService as StateService
    from edgenode.model.decision import NOTHING as NOTHING
    from edgenode.model.decision import Action as Action
    from edgenode.model.decision import Close as Close
    from edgenode.model.decision import Decision as Decision
    from edgenode.model.decision import Forward as Forward
    from edgenode.model.decision import Outcome as Outcome
    from edgenode.model.decision import Reason as Reason
    from edgenode.model.decision import Respond as Respond
    from edgenode.model.decision import Rewrite as Rewrite
    from edgenode.model.errors import ClientError as ClientError
    from edgenode.model.errors import ConfigurationError as ConfigurationError
    from edgenode.model.errors import InvalidValue as InvalidValue
    from edgenode.model.errors import OriginError as OriginError
    from edgenode.model.errors import Problem as Problem
    from edgenode.model.exchange import Address as Address
    from edgenode.model.exchange import AlternativeNames as AlternativeNames
    from edgenode.model.exchange import Body as Body
    from edgenode.model.exchange import ClientIdentity as ClientIdentity
    from edgenode.model.exchange import Connection as Connection
    from edgenode.model.exchange import Exchange as Exchange
    from edgenode.model.exchange import Headers as Headers
    from edgenode.model.exchange import Request as Request
    from edgenode.model.exchange import Response as Response
    from edgenode.model.exchange import Verification as Verification
    from edgenode.model.functions import FunctionResult as FunctionResult
    from edgenode.model.functions import OriginResponse as OriginResponse
    from edgenode.model.interfaces import IEdgeTransport as IEdgeTransport
    from edgenode.model.interfaces import IEventSink as IEventSink
    from edgenode.model.interfaces import Record as Record
    from edgenode.model.interfaces import Stage as Stage
    from edgenode.model.presentation import Presentation as Presentation
    from edgenode.model.settings import Between as Between
    from edgenode.model.settings import Choice as Choice
    from edgenode.model.settings import File as File
    from edgenode.model.settings import Folder as Folder
    from edgenode.model.settings import HostName as HostName
    from edgenode.model.settings import Network as Network
    from edgenode.model.settings import Output as Output
    from edgenode.model.settings import Reference as Reference
    from edgenode.model.settings import Seconds as Seconds
    from edgenode.model.settings import Secret as Secret
    from edgenode.model.settings import Size as Size
    from edgenode.model.settings import Word as Word
    from edgenode.model.settings import setting as setting
    from edgenode.node.service import EdgeService as EdgeService
    from edgenode.observe.event_record import event_line as event_line
    from edgenode.observe.event_record import event_of as event_of
    from edgenode.observe.event_schema import Event as Event
    from edgenode.policy.pipeline import Pipeline as Pipeline
    from edgenode.policy.stages import Placed as Placed
    from edgenode.proxy.origin.agent import ForeignURI as ForeignURI
    from edgenode.proxy.origin.pool import OriginPool as OriginPool
    from edgenode.rules.categories import Category as Category
    from edgenode.rules.fields import Field as Field
    from edgenode.rules.language.types import BOOL as BOOL
    from edgenode.rules.language.types import BYTES as BYTES
    from edgenode.rules.language.types import INT as INT
    from edgenode.rules.language.types import IP as IP
    from edgenode.rules.language.types import STRING_LISTS as STRING_LISTS
    from edgenode.rules.language.types import STRINGS as STRINGS
    from edgenode.rules.language.types import Type as Type
    from edgenode.rules.notations import ADDRESS as ADDRESS
    from edgenode.rules.notations import NUMBER as NUMBER
    from edgenode.rules.notations import REGEX as REGEX
    from edgenode.rules.notations import YES as YES
    from edgenode.rules.notations import Notation as Notation

_HOMES = {
    "ADDRESS": "rules.notations",
    "Action": "model.decision",
    "Address": "model.exchange",
    "AlternativeNames": "model.exchange",
    "BOOL": "rules.language.types",
    "BYTES": "rules.language.types",
    "Between": "model.settings",
    "Body": "model.exchange",
    "Category": "rules.categories",
    "Choice": "model.settings",
    "ClientError": "model.errors",
    "ClientIdentity": "model.exchange",
    "Close": "model.decision",
    "Configuration": "config.load",
    "ConfigurationError": "model.errors",
    "Connection": "model.exchange",
    "Decision": "model.decision",
    "EdgeEndpoint": "embedding.endpoint",
    "EdgeService": "node.service",
    "Event": "observe.event_schema",
    "Exchange": "model.exchange",
    "Field": "rules.fields",
    "File": "model.settings",
    "FilteredResource": "embedding.filtered_resource",
    "Folder": "model.settings",
    "ForeignURI": "proxy.origin.agent",
    "Forward": "model.decision",
    "FunctionResult": "model.functions",
    "Headers": "model.exchange",
    "HostName": "model.settings",
    "IEdgeTransport": "model.interfaces",
    "IEventSink": "model.interfaces",
    "INT": "rules.language.types",
    "IP": "rules.language.types",
    "InvalidValue": "model.errors",
    "NOTHING": "model.decision",
    "NUMBER": "rules.notations",
    "Network": "model.settings",
    "Notation": "rules.notations",
    "OriginAgent": "embedding.origin_agent",
    "OriginError": "model.errors",
    "OriginPool": "proxy.origin.pool",
    "OriginResponse": "model.functions",
    "Outcome": "model.decision",
    "Output": "model.settings",
    "Pipeline": "policy.pipeline",
    "Placed": "policy.stages",
    "Presentation": "model.presentation",
    "Problem": "model.errors",
    "REGEX": "rules.notations",
    "Reason": "model.decision",
    "Record": "model.interfaces",
    "Reference": "model.settings",
    "Request": "model.exchange",
    "Respond": "model.decision",
    "Response": "model.exchange",
    "STRINGS": "rules.language.types",
    "STRING_LISTS": "rules.language.types",
    "Seconds": "model.settings",
    "Rewrite": "model.decision",
    "Secret": "model.settings",
    "Size": "model.settings",
    "Stage": "model.interfaces",
    "StateService": "embedding.state_service",
    "Type": "rules.language.types",
    "Verification": "model.exchange",
    "Word": "model.settings",
    "YES": "rules.notations",
    "connection_of": "embedding.connection_facts",
    "event_line": "observe.event_record",
    "event_of": "observe.event_record",
    "setting": "model.settings",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if not TYPE_CHECKING:  # a type checker that saw it would take every misspelt name for an object

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
