"""The fields of events as values of DuckDB over the columns of the journal.

Law: a value here is the one that :mod:`edgenode.observe.recorded_fields` reads from the same event, wherever it says
that it is known; where it is not, nobody takes it for anything. What a client has sent are bytes, a character for each,
as in the line; every other text is UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from attrs import frozen

from edgenode.observe.event_fields import ALL_ROWS
from edgenode.observe.event_schema import Name, Octets
from edgenode.observe.journal.columns import hexadecimal, quoted
from edgenode.observe.recorded_fields import RECORDED
from edgenode.rules.language.types import BYTES


@frozen
class Sql:
    """A value of one event.

    :ivar text: the expression; ``NULL`` is missing. Of an address it is its digits.
    :ivar octets: of a text, or of a list of them: whether a character is a byte; else it is UTF-8.
    :ivar known: a condition without which only the event itself can tell; ``NULL`` counts as true. Empty if the value
        is always right.
    """

    text: str
    octets: bool = False
    known: str = ""


def literal(text: str) -> str:
    """A text as DuckDB reads it, whatever is in it."""
    parts = ("'" + part.replace("'", "''") + "'" for part in text.split("\0"))
    joined = " || chr(0) || ".join(parts)
    return f"({joined})" if "\0" in text else joined


def column(path: str) -> str:
    """What stands at a path of keys."""
    first, *keys = path.split(".")
    return quoted(first) + "".join(f"[{literal(key)}]" for key in keys)


def each(values: str, made: str, variable: str = "x") -> str:
    """A list of what is made of every element."""
    return f"list_transform({values}, lambda {variable}: {made})"


def those(values: str, condition: str, variable: str = "x") -> str:
    """A list of the elements that a condition is true of."""
    return f"list_filter({values}, lambda {variable}: {condition})"


_OCTETS, _NAME = get_args(Octets)[1], get_args(Name)[1]
_LONGEST_NAME = 1024


def _plain(path: str) -> Sql:
    """What stands there."""
    return Sql(column(path), path in ALL_ROWS and ALL_ROWS[path].kind is _OCTETS)


def _some(path: str) -> Sql:
    """A text that stands there; one that is empty is missing."""
    found = _plain(path)
    return Sql(f"nullif({found.text}, '')", found.octets)


# -- addresses ---------------------------------------------------------------------------------------------------------


def _port(path: str) -> str:
    return f"split_part({column(path)}, ':', -1)"


def _address(digits: str, text: str) -> Sql:
    """An address; that of a client which is not known is none, and only rules know how to compare it."""
    return Sql(digits, known=f"{digits} IS NOT NULL OR {text} = ''")


def _host(path: str) -> Sql:
    """The address in front of a port."""
    found = column(path)
    host = f"ltrim(rtrim(left({found}, length({found}) - length({_port(path)}) - 1), ']'), '[')"
    return _address(f"{each(f'[{host}]', hexadecimal('x'))}[1]", host)


# -- the request -------------------------------------------------------------------------------------------------------

_TARGET, _SCHEME, _AUTHORITY = (column(f"request.{key}") for key in ("target", "scheme", "authority"))
_UNUSUAL = r"""^(?:[^/]|$)|[^\x21-\x7e]|["#<>]|^[^?]*(?:%|//|/\.{1,2}(?:[/;?]|$)|[\\^`{}])"""
_USUAL = f"NOT regexp_matches({_TARGET}, {literal(_UNUSUAL)})"
"""Whether a target is in normal form as it stands: nearly all are."""

_AS_RECEIVED = f"starts_with({_TARGET}, '/')"
_PATH = f"split_part({_TARGET}, '?', 1)"
_QUERY = f"substr({_TARGET}, coalesce(nullif(strpos({_TARGET}, '?'), 0), length({_TARGET})) + 1)"
_BEFORE = f"{_SCHEME} || '://' || {_AUTHORITY}"
_HOST = Sql(
    f"split_part({_AUTHORITY}, ':', 1)",
    True,
    f"NOT starts_with({_AUTHORITY}, '[') AND NOT ends_with(split_part({_AUTHORITY}, ':', 1), '.')"
    f" AND length({_AUTHORITY}) - length(replace({_AUTHORITY}, ':', '')) < 2",
)
_VERSION = column("request.version")


def header(name: str) -> str:
    """The values of a header field that is recorded; missing if the request did not have it.

    :param name: in lower case.
    """
    found = f"{column('request.headers')}[{literal(name)}]"
    return f"CASE WHEN len({found}) > 0 THEN {found} END"


def _joined(name: str) -> Sql:
    return Sql(f"array_to_string({column('request.headers')}[{literal(name)}], ', ')", True)


# -- the certificate ---------------------------------------------------------------------------------------------------

_VERIFY = column("certificate.verify")
_NOBODY = f"{_VERIFY} = 'NONE'"
_CHAINS = column("certificate.chain_verified"), column("certificate.chain_sent")


def _of_certificate(key: str, nobody: str = "''") -> Sql:
    """What the certificate says, and what is said without one."""
    found = column(f"certificate.{key}")
    if ALL_ROWS[f"certificate.{key}"].kind is _NAME:  # one that is cut is not known
        found = f"CASE WHEN length({found}) < {_LONGEST_NAME} THEN {found} END"
    return Sql(f"CASE WHEN {_NOBODY} THEN {nobody} ELSE {found} END")


_CERTIFICATE = {
    "cf.tls_client_auth.cert_issuer_dn": "issuer",
    "cf.tls_client_auth.cert_subject_dn": "subject",
    "cf.tls_client_auth.cert_issuer_dn_rfc2253": "issuer",
    "cf.tls_client_auth.cert_subject_dn_rfc2253": "subject",
    "cf.tls_client_auth.cert_issuer_dn_legacy": "issuer_legacy",
    "cf.tls_client_auth.cert_subject_dn_legacy": "subject_legacy",
    "cf.tls_client_auth.cert_serial": "serial",
    "cf.tls_client_auth.cert_issuer_serial": "issuer_serial",
    "cf.tls_client_auth.cert_fingerprint_sha256": "fingerprint",
    "cf.tls_client_auth.cert_fingerprint_sha1": "fingerprint_sha1",
    "cf.tls_client_auth.cert_ski": "ski",
    "cf.tls_client_auth.cert_issuer_ski": "issuer_ski",
    "edge.tls_client_auth.key_type": "key_type",
    "edge.tls_client_auth.signature_algorithm": "signature_algorithm",
    "edge.tls_client_auth.spki_sha256": "spki_sha256",
}
_LISTS = {"san_dns": "sans.dns", "san_uri": "sans.uri", "san_email": "sans.email", "errors": "errors"}


# -- all of them -------------------------------------------------------------------------------------------------------

_REASONS, _ACTION = column("reasons"), column("action")
_ACTING = those(_REASONS, f"x['action'] = nullif({_ACTION}, '')")

_BLOCKED = (
    f"coalesce({_ACTION}, '') <> '' AND coalesce({column('mode')}, '') = 'block'"
    f" AND coalesce({column('status')} >= 400, FALSE) AND {column('origin')} IS NULL AND {column('error')} IS NULL"
)


def _of_reasons(key: str) -> Sql:
    return Sql(those(each(_REASONS, f"x[{literal(key)}]"), "x <> ''"))


FIELD_VALUES: Mapping[str, Sql] = {
    **{
        name: _some(found.path) if found.type == BYTES else _plain(found.path)
        for name, found in RECORDED.items()
        if found.path
    },
    "ip.src": _address(column("client_hex"), column("client")),
    "ssl": Sql(f"{column('tls.version')} <> ''"),
    "cf.tls_version": _plain("tls.version"),
    "cf.tls_cipher": _plain("tls.cipher"),
    "cf.bot_management.ja4": _plain("tls.fingerprint"),
    "edge.ja4": _plain("tls.fingerprint"),
    "edge.sni": _some("tls.server_name"),
    "edge.alpn": _some("tls.alpn"),
    "cf.edge.server_ip": _host("local"),
    "cf.edge.server_port": Sql(f"TRY_CAST({_port('local')} AS BIGINT)"),
    "edge.peer_ip": _host("peer"),
    "edge.peer_port": Sql(f"TRY_CAST({_port('peer')} AS BIGINT)"),
    "cf.ray_id": _some("id"),
    "http.request.timestamp.sec": Sql(f"nullif(epoch_us({column('time')}), 0) // 1000000"),
    "edge.server_group": _some("server_group"),
    "edge.security_policy": _some("security_policy"),
    "edge.path_map": _some("path_map"),
    "edge.tags": _plain("tags"),
    "http.host": _HOST,
    "http.request.method": _plain("request.method"),
    "http.request.version": Sql(
        f"CASE WHEN {_VERSION} IN ('HTTP/1.1', 'HTTP/1.0') THEN {_VERSION} ELSE split_part({_VERSION}, '.', 1) END"
    ),
    "http.request.full_uri": Sql(f"{_BEFORE} || {_TARGET}", True, _USUAL),
    "http.request.uri": Sql(_TARGET, True, _USUAL),
    "http.request.uri.path": Sql(_PATH, True, _USUAL),
    "http.request.uri.query": Sql(_QUERY, True, _USUAL),
    "raw.http.request.full_uri": Sql(f"{_BEFORE} || {_TARGET}", True, _AS_RECEIVED),
    "raw.http.request.uri": Sql(_TARGET, True, _AS_RECEIVED),
    "raw.http.request.uri.path": Sql(_PATH, True, _AS_RECEIVED),
    "raw.http.request.uri.query": Sql(_QUERY, True, _USUAL),
    "edge.authority": _plain("request.authority"),
    "edge.path": Sql(_PATH, True, _USUAL),
    "http.user_agent": _joined("user-agent"),
    "http.referer": _joined("referer"),
    "http.x_forwarded_for": _joined("x-forwarded-for"),
    "cf.tls_client_auth.cert_presented": Sql(f"{_VERIFY} <> 'NONE'"),
    "cf.tls_client_auth.cert_verified": Sql(f"{_VERIFY} = 'SUCCESS' AND NOT {column('certificate.revoked')}"),
    "cf.tls_client_auth.cert_revoked": Sql(column("certificate.revoked")),
    **{name: _of_certificate(key) for name, key in _CERTIFICATE.items()},
    **{f"edge.tls_client_auth.{name}": _of_certificate(key, "[]") for name, key in _LISTS.items()},
    "edge.tls_client_auth.key_bits": _of_certificate("key_bits", "0"),
    "edge.tls_client_auth.verification": Sql(_VERIFY),
    "edge.tls_client_auth.reason": Sql(
        f"CASE WHEN starts_with({_VERIFY}, 'FAILED:') THEN substr({_VERIFY}, 8) WHEN {_VERIFY} <> '' THEN '' END"
    ),
    "edge.tls_client_auth.first_error": Sql(column("certificate.first_error")),
    "edge.tls_client_auth.last_error": Sql(column("certificate.last_error")),
    "edge.tls_client_auth.depth": Sql(column("certificate.depth")),
    "edge.tls_client_auth.chain_length": Sql(
        f"CASE WHEN {_NOBODY} THEN 0 ELSE 1 + CASE WHEN {_CHAINS[0]} > 0 THEN {_CHAINS[0]} ELSE {_CHAINS[1]} END END"
    ),
    "edge.blocked": Sql(f"CASE WHEN {column('listener')} IS NOT NULL THEN {_BLOCKED} END"),
    "edge.filter": Sql(f"nullif({_ACTING}[1]['filter'], '')"),
    "edge.filters": _of_reasons("filter"),
    "edge.annotations": _of_reasons("annotation"),
}
"""Fields by their names; those that are missing here only the event itself can tell."""
