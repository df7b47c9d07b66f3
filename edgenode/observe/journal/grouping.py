"""By what events can be counted: a word, or any field that they hold.

Law: a value is counted as it is shown, whether DuckDB has found it or it was read from the event.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.observe.journal.field_values import FIELD_VALUES, Sql, column, each, literal, those
from edgenode.observe.recorded_fields import RECORDED, RecordedField
from edgenode.rules.language.texts import to_string
from edgenode.rules.language.types import BYTES, IP

WORDS: Mapping[str, str] = {
    "action": "edge.action",
    "certificate": "cf.tls_client_auth.cert_subject_dn",
    "client": "ip.src",
    "error": "edge.error.reason",
    "event": "edge.event.action",
    "filter": "edge.filter",
    "filters": "edge.filters",
    "group": "edge.server_group",
    "host": "http.host",
    "ja4": "edge.ja4",
    "listener": "edge.listener",
    "method": "http.request.method",
    "mode": "edge.mode",
    "origin": "edge.origin",
    "path": "raw.http.request.uri.path",
    "path-map": "edge.path_map",
    "policy": "edge.security_policy",
    "server": "edge.origin.server",
    "sni": "edge.sni",
    "status": "http.response.code",
    "tag": "edge.tags",
    "tls": "cf.tls_version",
    "user-agent": "http.user_agent",
    "verify": "edge.tls_client_auth.verification",
}
"""Words for the fields that are asked for most."""

FAMILIES: Mapping[str, str] = {
    "asn": "geo-asn:",
    "city": "geo-city:",
    "continent": "geo-continent-code:",
    "country": "geo-country:",
    "limit": "limit:",
    "organization": "geo-org:",
    "region": "geo-region:",
}
"""Words for what tags say, with what these begin with."""

TIMES: Mapping[str, str] = {"day": "%Y-%m-%d", "hour": "%Y-%m-%dT%HZ", "minute": "%Y-%m-%dT%H:%MZ"}
"""Words for times, with how these are written."""


@frozen
class Grouping:
    """What events are counted by.

    :ivar field: the field.
    :ivar sql: its values for DuckDB, a text or a list of them; its text is empty if only the event itself can tell.
    :ivar many: whether an event may have several.
    :ivar read: its values in an event, as they are shown.
    """

    field: RecordedField
    sql: Sql
    many: bool
    read: Callable[[Mapping[str, Any]], Collection[str]]

    @property
    def values(self) -> str:
        """The expression of a value; of several one row each."""
        return f"unnest({self.sql.text})" if self.many else self.sql.text

    def of_sql(self, value: Any) -> str:
        """A value of DuckDB as it is shown."""
        if isinstance(value, str):
            return shown(value.encode("latin-1") if self.sql.octets else value.encode("utf-8", "surrogatepass"))
        return shown(value)

    def of_event(self, event: Mapping[str, Any]) -> Collection[str]:
        """The values of an event, each once."""
        return self.read(event)


def shown(value: Any) -> str:
    """A value of a field as people read it."""
    written = value if isinstance(value, bytes) else to_string(value)
    return written.decode("utf-8", "backslashreplace")


def grouping(word: str) -> Grouping:
    """What a word counts by.

    :raises InvalidValue: if it counts by nothing.
    """
    if word in TIMES:
        return _of_time(TIMES[word])
    if word in FAMILIES:
        return _of_tags(FAMILIES[word])
    found = RECORDED.get(WORDS.get(word, word))
    if found is None:
        words = (*WORDS, *FAMILIES, *TIMES)
        close = difflib.get_close_matches(word, (*words, *RECORDED), 1)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise InvalidValue(
            f"events are not counted by {word}{guess} There are {', '.join(sorted(words))}, and all fields"
        )
    if found.type.name == "Map":
        raise InvalidValue(f"{found.name} is a map: count by a value of it, such as http.user_agent")
    many = found.type.name == "Array"
    return Grouping(found, _texts(found, many), many, _reader(found, many))


def _texts(found: RecordedField, many: bool) -> Sql:
    kind = found.type.of if many else found.type
    value = Sql(f"nullif({column('client')}, '')") if found.name == "ip.src" else FIELD_VALUES.get(found.name, Sql(""))
    if kind == IP and found.name != "ip.src":
        return Sql("")
    if many:
        distinct = found.name == "edge.tags" or not value.text
        return value if distinct else Sql(f"list_distinct({value.text})", value.octets, value.known)
    return Sql(f"nullif({value.text}, '')", value.octets, value.known) if kind == BYTES and value.text else value


def _reader(found: RecordedField, many: bool) -> Callable[[Mapping[str, Any]], Collection[str]]:
    def read(event: Mapping[str, Any]) -> Collection[str]:
        value = found.read(event)
        values = () if value is None else value if many else (value,)
        return {shown(each) for each in values if each != b""}

    return read


def _of_tags(prefix: str) -> Grouping:
    tags = FIELD_VALUES["edge.tags"].text
    begin = f"starts_with(x, {literal(prefix)})"
    values = each(those(tags, begin), f"substr(x, {len(prefix) + 1})")

    def read(event: Mapping[str, Any]) -> Collection[str]:
        found = RECORDED["edge.tags"].read(event) or ()
        return {shown(tag[len(prefix) :]) for tag in found if tag.startswith(prefix.encode())}

    return Grouping(RECORDED["edge.tags"], Sql(values), True, read)


def _of_time(form: str) -> Grouping:
    field = RECORDED["http.request.timestamp.sec"]

    def read(event: Mapping[str, Any]) -> Collection[str]:
        found = field.read(event)
        return () if found is None else (time.strftime(form, time.gmtime(found)),)

    return Grouping(field, Sql(f"strftime({column('time')}, {literal(form)})"), False, read)
