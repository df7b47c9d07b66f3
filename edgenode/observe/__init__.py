"""What others see of a node: events and logs, metrics, traces, the journal, exporters and alerts."""
