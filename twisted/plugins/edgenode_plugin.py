"""Makes ``twistd edgenode`` known; option parser and service are loaded from ``edgenode.tap`` when it is run."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

edgenode = ServiceMaker("edgenode", "edgenode.tap", "An mTLS edge node: judges, filters and forwards.", "edgenode")
