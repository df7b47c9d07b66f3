"""What do the filters think of a request? ``python examples/shortest/pipeline.py``."""

from __future__ import annotations

import sys

from edgenode import Configuration
from edgenode.testing import exchange_of

pipeline = Configuration.load("examples/embedding.ini").pipeline("everything")
decision = pipeline.decide(exchange_of("GET", "https://localhost/partners/", [("User-Agent", "curl/8.5")]))
sys.stdout.write(f"{decision.action.name}: {', '.join(reason.filter for reason in decision.reasons)}\n")
