"""Answers that are JSON, read with care: whoever lies in one has taken nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgenode.observe.exporters.http import Answer
from edgenode.observe.exporters.receiver import Unavailable


def said(answer: Answer) -> Mapping[str, Any]:
    """The object in an answer.

    :raises Unavailable: if there is none.
    """
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Unavailable(f"{answer.said}, and that is no object of JSON")
    return value
