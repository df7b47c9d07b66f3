"""What happened in one exchange, kept while it happens and told afterwards as its event."""

from __future__ import annotations

import datetime
import functools
import json
import time
import weakref
from json.encoder import encode_basestring_ascii as _text

from attrs import asdict

from edgenode.model.decision import Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import ClientIdentity, Connection, Request

EVENT_HEADERS = (b"content-type", b"referer", b"user-agent")
"""The header fields whose values events tell, unless the configuration names others."""


def line(record) -> str:  # type: ignore
    exchange, decision = record.exchange, record.decision
    request, action = exchange.request, decision.action
    began, ended = record.began, record.ended
    decided = record.decided or ended
    answered = record.answered or ended
    told = (
        f'"client":{_text(exchange.client)},{_connection(exchange.connection)},'
        f'"server_group":{_text(exchange.server_group)},"security_policy":{_text(exchange.security_policy)},'
        f'"path_map":{_text(exchange.path_map)},"request":{"null" if request is None else _request(request, record.event_headers)},'
        f'"tags":{_tags(decision.tags)},"reasons":[{",".join(map(_reason, decision.reasons))}],'
        f'"action":{"null" if action is None else _text(action.name)},"mode":"{decision.mode}",'
        f'"stages":{{{",".join(f"{_text(stage)}:{time:.0f}" for stage, time in decision.timings)}}}'
    )
    origin = "null" if not record.origin else (
        f'{{"name":"{record.origin}","server":{"null" if record.server is None else _text(record.server)},'
        f'"status":{record.origin_status or "null"},"tries":{record.tries},'
        f'"reused":{"true" if record.reused else "false"}}}'
    )
    return (
        f'{{"time":"{_second(int(record.time))}.{int(record.time % 1 * 1e6):06d}Z",'
        f'"id":"{record.identifier.decode("ascii")}","listener":"{record.listener}",{told},"status":{record.status},"error":{_fault(record.error)},'
        f'"origin":{origin},"bytes":{{"received":{record.received},"sent":{record.sent}}},'
        f'"timings":{{"decision":{int((decided - began) * 1e6)},"origin":{int((answered - decided) * 1e6)},'
        f'"response":{int((ended - answered) * 1e6)},"total":{int((ended - began) * 1e6)}}}}}'
    )


@functools.lru_cache(1024)
def _tags(tags: frozenset[str]) -> str:
    return f"[{','.join(map(_text, sorted(tags)))}]"


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    """RFC 3339, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _request(request: Request, headers: tuple[bytes, ...]) -> str:
    method, scheme, authority = (part.decode("latin-1") for part in (request.method, request.scheme, request.authority))
    return (
        f'{{"method":{_text(method)},"scheme":{_text(scheme)},"authority":{_text(authority)},'
        f'"target":{_text(request.target.decode("latin-1"))},"version":"HTTP/{request.version[0]}.{request.version[1]}",'
        f'"length":{"null" if request.length is None else request.length},"headers":{_headers(request, headers)}}}'
    )


def _headers(request: Request, names: tuple[bytes, ...]) -> str:
    """Every value of each of these fields, none of one that is absent: what was not looked for is not in the event."""
    read = request.fields.get
    told = ",".join(
        f'"{name.decode("ascii")}":[{",".join(_text(value.decode("latin-1")) for value in read(name, ()))}]'
        for name in names
    )
    return f"{{{told}}}"


@functools.lru_cache(1024)
def _reason(why: Reason) -> str:
    return json.dumps(asdict(why), separators=(",", ":"))


_FACTS: weakref.WeakKeyDictionary[Connection, str] = weakref.WeakKeyDictionary()
"""What events say of the connections that are open."""

_LONGEST_NAME = 1024
"""Characters of a distinguished name in an event; its owner may have written a novel into it."""


def _connection(connection: Connection) -> str:
    """What an event says of a connection: the same for all its exchanges, and so remembered as long as it is open."""
    facts = _FACTS.get(connection)
    if facts is None:
        _FACTS[connection] = facts = _connection_facts(connection)
    return facts


def _connection_facts(connection: Connection) -> str:
    client, verdict = connection.client, connection.verification
    facts = {
        "peer": str(connection.peer),
        "local": str(connection.local),
        "tls": {
            "version": connection.tls_version,
            "cipher": connection.cipher,
            "server_name": connection.server_name,
            "alpn": connection.alpn,
            "fingerprint": connection.fingerprint,
        },
        "certificate": {
            "verify": str(verdict),
            "subject": client.subject[:_LONGEST_NAME] if client is not None else None,
            "issuer": client.issuer[:_LONGEST_NAME] if client is not None else None,
            "serial": client.serial if client is not None else None,
            "fingerprint": client.fingerprint_sha256 if client is not None else None,
            "revoked": verdict.revoked,
            "first_error": verdict.first_error,
            "last_error": verdict.last_error,
            "depth": verdict.depth,
            **({} if client is None else _certificate(client)),
        },
    }
    return json.dumps(facts, separators=(",", ":"))[1:-1]


def _certificate(client: ClientIdentity) -> dict[str, object]:
    """What rules can read of a certificate besides; without it nobody could tell later what they would have said."""
    return {
        "errors": client.verification.errors,
        "tags": client.tags,
        "subject_legacy": client.subject_legacy[:_LONGEST_NAME],
        "issuer_legacy": client.issuer_legacy[:_LONGEST_NAME],
        "issuer_serial": client.issuer_serial,
        "fingerprint_sha1": client.fingerprint_sha1,
        "ski": client.ski,
        "issuer_ski": client.issuer_ski,
        "not_before": _moment(client.not_before),
        "not_after": _moment(client.not_after),
        "sans": {kind: _names(getattr(client.sans, kind)) for kind in ("dns", "uri", "email", "ip")},
        "extended_key_usages": _names(client.extended_key_usages),
        "spki_sha256": client.spki_sha256,
        "key_type": client.key_type,
        "key_bits": client.key_bits,
        "signature_algorithm": client.signature_algorithm,
        "chain_sent": len(client.chain_sent),
        "chain_verified": len(client.chain_verified),
        "crl_this_update": _moment(client.crl_this_update),
        "crl_next_update": _moment(client.crl_next_update),
    }


def _names(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """All names of a kind; ``None`` if there is a novel in them, for some of them are not all."""
    return names if sum(map(len, names)) + len(names) <= _LONGEST_NAME else None


def _moment(time: datetime.datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _fault(error: ClientError | OriginError | None) -> str:
    """Whose fault, the status inside, which may differ from the one sent, and the reason."""
    if error is None:
        return "null"
    if isinstance(error, ClientError):
        return f'{{"fault":"client","status":{error.status},"reason":{_text(error.reason)}}}'
    return f'{{"fault":"origin","kind":"{error.kind}","status":{error.status},"reason":{_text(error.reason)}}}'
