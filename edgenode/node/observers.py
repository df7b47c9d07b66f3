"""Every part that observes a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgenode.node.health_use import HealthUse
from edgenode.node.journal_use import JournalUse
from edgenode.node.metrics_use import MetricsUse
from edgenode.node.observation import Part, Running
from edgenode.node.traces_use import TracesUse

PARTS: tuple[Callable[[Running, Any], Part], ...] = (MetricsUse, JournalUse, TracesUse, HealthUse)
"""What makes each part, of the node and its reactor."""
