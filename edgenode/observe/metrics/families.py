"""Every metric there is: its name, type, labels and meaning. The reference is made of this table.

Names follow the conventions of Prometheus: base units, ``_total`` for what only grows, times as timestamps.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Type = Literal["counter", "gauge", "histogram"]


@frozen
class Family:
    """Values of one meaning, told apart by labels.

    :ivar name: its name, that of a counter without ``_total``.
    :ivar type: what it is.
    :ivar help: what it says; a sentence of plain text.
    :ivar labels: the names of its labels.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> str:
        """The name of its series; of a histogram the beginning of their names."""
        return f"{self.name}_total" if self.type == "counter" else self.name


_REQUEST = ("listener", "server_group", "path_map")
_SERVER = ("origin", "server")

# -- requests ----------------------------------------------------------------------------------------------------------

REQUESTS = Family(
    "edgenode_requests", "counter",
    "Requests, by the first digit of the status that the client got, such as 2xx (444 and 499 are 4xx; none if nothing "
    "was answered), the action that was taken, empty for none, and the mode of filters.",
    (*_REQUEST, "status_class", "action", "mode"),
)  # fmt: skip
REQUEST_SECONDS = Family(
    "edgenode_request_duration_seconds", "histogram", "Time from the beginning of a request to its end.", _REQUEST
)
RECEIVED = Family("edgenode_request_body_bytes", "counter", "Bytes of bodies of requests.", _REQUEST)
SENT = Family("edgenode_response_body_bytes", "counter", "Bytes of bodies of responses.", _REQUEST)
CLIENT_ERRORS = Family(
    "edgenode_client_errors", "counter",
    "Requests that could not be served by the client's fault, by the exact status: 495 and 496 for certificates, 499 "
    "for clients that left, and so on.",
    ("listener", "server_group", "status"),
)  # fmt: skip
MESSAGES = Family(
    "edgenode_websocket_messages", "counter",
    "Messages of WebSockets that have ended, received from clients or sent to them.",
    ("listener", "path_map", "direction"),
)  # fmt: skip
FILTERS = Family(
    "edgenode_filter_matches", "counter",
    "Filters, limits and other rules that matched a request, with the action that each proposes, empty for none; taken "
    "says whether an action of this name was the one taken, which refuses only where the mode is block.",
    ("stage", "filter", "action", "mode", "taken"),
)  # fmt: skip
LIMITS = Family(
    "edgenode_limits_exceeded", "counter",
    "Limits that were hit: the kind is rate-limit or dynamic-rule, with the name of the section, or listener, with the "
    "listener's name and the key of the limit.",
    ("kind", "name", "limit"),
)  # fmt: skip

# -- listeners ---------------------------------------------------------------------------------------------------------

HANDSHAKES = Family(
    "edgenode_handshakes", "counter",
    "TLS handshakes with clients, by result: verified, not verified, no certificate or failed; the reason is OpenSSL's "
    "of a certificate that is not verified, or another; the authority has issued the client's certificate, and is "
    "empty unless clients of it were verified.",
    ("listener", "server_group", "result", "reason", "authority"),
)  # fmt: skip
CONNECTIONS = Family(
    "edgenode_listener_connections", "gauge",
    "Open connections from clients, by what was agreed on: http/1.1, h2, or handshake if nothing yet.",
    ("listener", "protocol"),
)  # fmt: skip
MOST_CONNECTIONS = Family(
    "edgenode_listener_max_connections", "gauge", "The listener's max-connections.", ("listener",)
)
STREAMS = Family("edgenode_listener_streams", "gauge", "Open HTTP/2 streams of clients.", ("listener",))
WEBSOCKETS = Family("edgenode_listener_websockets", "gauge", "Open WebSockets.", ("listener",))
RELAYED = Family("edgenode_listener_relayed_streams", "gauge", "Open streams that are no HTTP.", ("listener",))

# -- origins -----------------------------------------------------------------------------------------------------------

ORIGIN_REQUESTS = Family(
    "edgenode_origin_requests", "counter",
    "Requests that were sent to a server, the last one asked, by the first digit of its answer's status; none if it "
    "has not answered.",
    (*_SERVER, "status_class"),
)  # fmt: skip
ORIGIN_SECONDS = Family(
    "edgenode_origin_response_seconds", "histogram",
    "Time from the decision on a request to the beginning of the server's answer.", _SERVER,
)  # fmt: skip
ORIGIN_ERRORS = Family(
    "edgenode_origin_errors", "counter",
    "Requests that failed at an origin: connect, handshake, certificate, timeout, reset, invalid, unavailable; the "
    "server is empty if none could be asked.",
    (*_SERVER, "kind"),
)  # fmt: skip
ORIGIN_RETRIES = Family(
    "edgenode_origin_retries", "counter", "Further servers that were asked because one before failed.", ("origin",)
)
ORIGIN_CERTIFICATES = Family(
    "edgenode_origin_client_certificates", "counter",
    "TLS connections to a server that were opened for a request: whether it was sent our client certificate, and the "
    "result: not asked, accepted, refused, not known.",
    (*_SERVER, "sent", "result"),
)  # fmt: skip
ORIGIN_UP = Family(
    "edgenode_origin_server_up", "gauge", "Whether a server is asked: 0 while it is passed over for its failures.",
    _SERVER,
)  # fmt: skip
ORIGIN_HEALTHY = Family("edgenode_origin_server_healthy", "gauge", "Whether health checks find a server up.", _SERVER)
ORIGIN_CHECKS = Family("edgenode_origin_health_checks", "counter", "Health checks: good or bad.", (*_SERVER, "result"))
ORIGIN_EXPIRY = Family(
    "edgenode_origin_certificate_expiry_timestamp_seconds", "gauge",
    "When the certificate expires that a server has shown in the last handshake.", _SERVER,
)  # fmt: skip
ORIGIN_TRIAL = Family(
    "edgenode_origin_certificate_on_trial", "gauge",
    "Whether a new certificate of ours waits to be accepted: 1, or 2 if it is refused.", ("origin",),
)  # fmt: skip
ORIGIN_CONNECTIONS = Family(
    "edgenode_origin_connections", "gauge", "Open connections to a server: busy, or idle.", (*_SERVER, "state")
)
ORIGIN_STREAMS = Family("edgenode_origin_streams", "gauge", "Requests on HTTP/2 connections to a server.", _SERVER)
ORIGIN_OPENING = Family(
    "edgenode_origin_opening_connections", "gauge", "Connections to an origin that are being opened.", ("origin",)
)
ORIGIN_QUEUED = Family(
    "edgenode_origin_queued_requests", "gauge", "Requests that wait for a connection to an origin.", ("origin",)
)

# -- certificates, lists and feeds -------------------------------------------------------------------------------------

CERTIFICATE_EXPIRY = Family(
    "edgenode_certificate_expiry_timestamp_seconds", "gauge",
    "When a certificate of the node, or one of its chain, expires.", ("certificate", "subject"),
)  # fmt: skip
AUTHORITY_EXPIRY = Family(
    "edgenode_authority_expiry_timestamp_seconds", "gauge", "When an authority of a trust store expires.",
    ("trust_store", "authority"),
)  # fmt: skip
CRL_THIS_UPDATE = Family(
    "edgenode_crl_this_update_timestamp_seconds", "gauge", "When a revocation list was issued.",
    ("trust_store", "issuer"),
)  # fmt: skip
CRL_NEXT_UPDATE = Family(
    "edgenode_crl_next_update_timestamp_seconds", "gauge",
    "When a revocation list goes out of date, by itself or by crl-max-age; absent if it never does.",
    ("trust_store", "issuer"),
)  # fmt: skip
CRL_ENTRIES = Family(
    "edgenode_crl_entries", "gauge", "Certificates that a revocation list revokes.", ("trust_store", "issuer")
)
FEED_ENTRIES = Family(
    "edgenode_feed_entries", "gauge", "Values of a list or a datafeed that are in use; absent if nothing has come yet.",
    ("section",),
)  # fmt: skip
FEED_CONFIRMED = Family(
    "edgenode_feed_confirmed_timestamp_seconds", "gauge",
    "When the sources of a list or datafeed last said that this is their content; of a file when it was written.",
    ("section",),
)  # fmt: skip
FEED_REFRESH = Family(
    "edgenode_feed_refresh_seconds", "gauge", "How often its sources are asked; 0 for files.", ("section",)
)
FEED_FAILED = Family(
    "edgenode_feed_failed", "gauge", "Whether something was wrong when its sources were asked last.", ("section",)
)

# -- the state ---------------------------------------------------------------------------------------------------------

COUNTED_KEYS = Family(
    "edgenode_counted_keys", "gauge", "Keys that are counted in the node's memory, by the section that counts them.",
    ("section",),
)  # fmt: skip
MOST_COUNTED_KEYS = Family("edgenode_counted_keys_max", "gauge", "How many keys may be counted.")
COUNTED_BYTES = Family("edgenode_counted_keys_bytes", "gauge", "Memory that they take, about.")
MOST_COUNTED_BYTES = Family("edgenode_counted_keys_max_bytes", "gauge", "Memory that they may take.")
FORGOTTEN_KEYS = Family(
    "edgenode_forgotten_keys", "counter", "Keys that were forgotten before their time, to make room for others."
)
QUARANTINED = Family(
    "edgenode_quarantined_values", "gauge", "Values in quarantine, by key, and bans, by the section of the limit.",
    ("key",),
)  # fmt: skip
STATE_UP = Family(
    "edgenode_state_server_up", "gauge", "Whether the server that shares the state can be asked.", ("server",)
)

# -- the node ----------------------------------------------------------------------------------------------------------

BUILD = Family("edgenode_build_info", "gauge", "Always 1; what runs.", ("version", "python", "openssl"))
READY = Family("edgenode_ready", "gauge", "Whether the node serves: what /ready says.")
STARTED = Family("edgenode_start_timestamp_seconds", "gauge", "When the node began to serve.")
LOADED = Family("edgenode_config_loaded_timestamp_seconds", "gauge", "When the configuration in use was read.")
RELOADED = Family(
    "edgenode_config_last_reload_successful",
    "gauge",
    "Whether the last reload has taken over as a whole; 1 if none was.",
)
UNUSED = Family(
    "edgenode_config_unused_files", "gauge", "Sections whose files have changed and cannot be used: the old ones are."
)
LOOP_DELAY = Family(
    "edgenode_event_loop_delay_seconds", "histogram",
    "How much later than it should a timer of the event loop has gone off: what everybody waits in addition.",
)  # fmt: skip
EVENTS_LOST = Family("edgenode_events_lost", "counter", "Events that could not be written.")
UNCOUNTED = Family("edgenode_uncounted_exchanges", "counter", "Exchanges that these metrics miss, for a defect.")

# -- what observes it --------------------------------------------------------------------------------------------------

OBSERVER_STARTS = Family(
    "edgenode_observer_starts", "counter", "How often the process was started that keeps the journal and tells others."
)
JOURNAL_WRITTEN = Family("edgenode_journal_written_events", "counter", "Events that were written to the journal.")
JOURNAL_DROPPED = Family(
    "edgenode_journal_dropped_events", "counter", "Events that could not be written to the journal, and are lost."
)
JOURNAL_FAULT = Family("edgenode_journal_failed", "gauge", "Whether the journal cannot be written now.")
JOURNAL_BYTES = Family("edgenode_journal_size_bytes", "gauge", "The size of the files of the journal.")
EXPORTER_SENT = Family("edgenode_exporter_sent_events", "counter", "Events that a receiver has taken.", ("exporter",))
EXPORTER_FAILED = Family(
    "edgenode_exporter_failed_batches", "counter", "Attempts to deliver events that have failed.", ("exporter",)
)
EXPORTER_SET_ASIDE = Family(
    "edgenode_exporter_set_aside_events", "counter", "Events that a receiver refused, and that were set aside.",
    ("exporter",),
)  # fmt: skip
EXPORTER_LOST = Family(
    "edgenode_exporter_lost_bytes", "counter", "Bytes of events that the journal deleted before they were sent.",
    ("exporter",),
)  # fmt: skip
EXPORTER_BEHIND = Family(
    "edgenode_exporter_behind_bytes", "gauge", "Bytes of events that were not sent yet.", ("exporter",)
)
ALERT_RAISED = Family(
    "edgenode_alert_raised", "gauge", "For how many values an alert is raised; 0 if it is not.", ("alert",)
)
ALERT_FORGOTTEN = Family(
    "edgenode_alert_forgotten_values", "counter", "Values that an alert could not count, for there were too many.",
    ("alert",),
)  # fmt: skip
ALERT_SENT = Family(
    "edgenode_alert_sent_messages", "counter", "Messages of an alert that a receiver has taken.", ("alert", "receiver")
)
ALERT_FAILED = Family(
    "edgenode_alert_failed_messages", "counter", "Attempts to deliver a message of an alert that have failed.",
    ("alert", "receiver"),
)  # fmt: skip
ALERT_WAITING = Family(
    "edgenode_alert_waiting_messages", "gauge", "Messages of an alert that wait for a receiver.", ("alert", "receiver")
)
TRACES_SENT = Family("edgenode_traces_sent_requests", "counter", "Requests whose spans a collector has taken.")
TRACES_FAILED = Family("edgenode_traces_failed_requests", "counter", "Requests whose spans were not taken.")
TRACES_DROPPED = Family(
    "edgenode_traces_dropped_requests", "counter", "Requests whose spans were dropped, for too many waited."
)
TRACES_WAITING = Family("edgenode_traces_waiting_requests", "gauge", "Requests whose spans were not sent yet.")
TRACES_REJECTED = Family(
    "edgenode_traces_rejected_spans", "counter", "Spans that a collector has rejected of those that it took."
)

FAMILIES: tuple[Family, ...] = tuple(each for each in tuple(globals().values()) if isinstance(each, Family))
"""All of them, in order."""


def reference() -> str:
    """A table of all families, reStructuredText."""
    rows = (
        ["Metric", "Type", "Labels", "What it says"],
        *(
            [f"``{each.series}``", each.type, ", ".join(f"``{label}``" for label in each.labels), each.help]
            for each in FAMILIES
        ),
    )
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 34 10 20 36", ""]
    for row in rows:
        for place, cell in enumerate(row):
            lines.append(f"   {'* -' if place == 0 else '  -'} {cell}".rstrip())
    return "\n".join((*lines, ""))


OF_JOURNAL = {
    "written": JOURNAL_WRITTEN, "dropped": JOURNAL_DROPPED, "fault": JOURNAL_FAULT, "bytes": JOURNAL_BYTES,
}  # fmt: skip
OF_EXPORTERS = {
    "sent": EXPORTER_SENT, "failed": EXPORTER_FAILED, "set_aside": EXPORTER_SET_ASIDE, "lost": EXPORTER_LOST,
    "behind_bytes": EXPORTER_BEHIND,
}  # fmt: skip
OF_TRACES = {
    "sent": TRACES_SENT, "failed": TRACES_FAILED, "dropped": TRACES_DROPPED, "waiting": TRACES_WAITING,
    "rejected": TRACES_REJECTED,
}  # fmt: skip
OF_ALERTS = {"raised": ALERT_RAISED, "forgotten": ALERT_FORGOTTEN}
OF_RECEIVERS = {"sent": ALERT_SENT, "failed": ALERT_FAILED, "waiting": ALERT_WAITING}
"""Which number that the parts of the observer tell of themselves is the value of which family."""
