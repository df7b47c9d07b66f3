"""Every part that observes a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgenode.node.journal_use import JournalUse
from edgenode.node.metrics_use import MetricsUse
from edgenode.node.observation import Part, Running

PARTS: tuple[Callable[[Running, Any], Part], ...] = (MetricsUse, JournalUse)
"""What makes each part, of the node and its reactor."""
