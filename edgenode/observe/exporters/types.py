"""Every type of ``[exporter]``, with the class of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgenode.observe.exporters.elasticsearch import Elasticsearch
from edgenode.observe.exporters.kafka import Kafka
from edgenode.observe.exporters.otlp import OTLP
from edgenode.observe.exporters.receiver import Receiver
from edgenode.observe.exporters.s3 import S3
from edgenode.observe.exporters.splunk import Splunk
from edgenode.observe.exporters.syslog import Syslog
from edgenode.observe.exporters.webhook import Webhook

TYPES: Mapping[str, type[Receiver]] = MappingProxyType(
    {
        "otlp": OTLP,
        "elasticsearch": Elasticsearch,
        "splunk": Splunk,
        "syslog": Syslog,
        "kafka": Kafka,
        "s3": S3,
        "webhook": Webhook,
    }
)
