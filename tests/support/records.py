"""Records of exchanges, as the proxy hands them to an event sink: one to begin with, and random ones."""

from __future__ import annotations

import datetime

from attrs import define, evolve
from hypothesis import strategies as st

from edgenode.model.decision import MODES, NOTHING, Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import (
    Address,
    AlternativeNames,
    ClientIdentity,
    Connection,
    Exchange,
    Request,
    Verification,
)
from edgenode.model.interfaces import EVENT_HEADERS
from edgenode.model.presentation import Presentation
from edgenode.model.relayed import StreamState
from edgenode.model.trace import Trace
from edgenode.model.websocket import WebSocketState


@define(eq=False)
class FakeStanding:
    """A :class:`~edgenode.model.interfaces.Standing`."""

    event_prefix: str = ""


@define(eq=False)
class FakeRecord:
    """A :class:`~edgenode.model.interfaces.Record`: a request that was forwarded."""

    exchange: Exchange
    decision: Decision = NOTHING
    standing: FakeStanding | None = None
    listener: str = "public"
    event_headers: tuple[bytes, ...] = EVENT_HEADERS
    identifier: bytes = b"0123456789abcdef0123456789abcdef"
    status: int = 200
    error: ClientError | OriginError | None = None
    origin: str = "shop"
    server: str | None = "10.0.0.11:8443"
    tries: int = 1
    reused: bool = True
    origin_status: int = 200
    received: int = 0
    sent: int = 1024
    time: float = 1.7e9
    began: float = 100.0
    decided: float = 100.25
    answered: float = 100.75
    ended: float = 101.0
    left_out: tuple[str, ...] = ()
    presented: Presentation | None = None
    queued: float = 0.0
    grpc_status: int | None = None
    origin_protocol: str = ""
    websocket: WebSocketState | None = None
    relayed: StreamState | None = None
    trace: Trace | None = None


NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
ADDRESSES = Address("192.0.2.7", 40000), Address("192.0.2.1", 443)

CLIENT = ClientIdentity(
    leaf=b"leaf",
    chain_sent=(b"issuer",),
    subject="CN=acme,O=Acme",
    issuer="CN=Clients",
    serial="0A1B",
    fingerprint_sha256="ab" * 32,
    not_before=NOON,
    not_after=NOON + datetime.timedelta(days=90),
    verification=Verification(presented=True, verified=True),
    chain_verified=(b"issuer", b"authority"),
    tags=("vouched",),
    sans=AlternativeNames(("acme.test",), ("spiffe://a/b",), ("a@acme.test",), ("192.0.2.9",)),
    spki_sha256="cd" * 32,
    key_type="ECDSA",
    key_bits=256,
    signature_algorithm="ecdsa-sha256",
    subject_legacy="/O=Acme/CN=acme",
    issuer_legacy="/CN=Clients",
    fingerprint_sha1="ef" * 20,
    ski="01",
    issuer_ski="02",
    issuer_serial="03",
    extended_key_usages=("1.3.6.1.5.5.7.3.2",),
    crl_this_update=NOON,
    crl_next_update=NOON + datetime.timedelta(days=7),
)
CONNECTION = Connection(
    *ADDRESSES,
    "www.test",
    "http/1.1",
    "TLSv1.3",
    "TLS_AES_256_GCM_SHA384",
    "t13d1516h1_8daaf6152771_e5627efa2ab1",
    CLIENT,
)
REQUEST = Request(
    b"GET",
    b"https",
    b"www.test",
    b"/a?b=1",
    b"/a",
    b"b=1",
    b"/a",
    ((b"host", b"www.test"), (b"user-agent", b"curl/8"), (b"cookie", b"secret=1")),
    (b"Host", b"User-Agent", b"Cookie"),
)
EXCHANGE = Exchange(CONNECTION, REQUEST, "192.0.2.7", frozenset(), "site", "site", "rest", time=1.7e9)


# -- random ones -------------------------------------------------------------------------------------------------------

_words = st.text(max_size=20)
_longer = _words | st.integers(1020, 1030).map(lambda length: "n" * length)
_lists = st.lists(_words, max_size=2).map(tuple) | st.integers(510, 514).map(lambda number: ("n",) * number)
_octets = st.binary(max_size=20)
_numbers = st.integers(0, 1 << 63)
_chains = st.integers(0, 5).map(lambda number: (b"",) * number)
_moments = st.datetimes(timezones=st.just(datetime.UTC)).map(lambda moment: moment.replace(microsecond=0))
_addresses = st.builds(Address.of, st.ip_addresses().map(str), st.integers(0, 65535))
_verifications = st.builds(
    Verification, st.just(True), st.just(False), st.booleans(), _numbers, _numbers, _numbers, _words,
    st.lists(_numbers, max_size=3).map(tuple),
) | st.builds(Verification, st.just(True), st.just(True))  # fmt: skip
_clients = st.builds(
    ClientIdentity, st.just(b""), _chains, _longer, _longer, _words, _words, _moments, _moments, _verifications,
    _chains, st.lists(_words, max_size=3).map(tuple), st.builds(AlternativeNames, _lists, _lists, _lists, _lists),
    _words, _words, _numbers, _words, _longer, _longer, _words, _words, _words, _words, _lists,
    st.none() | _moments, st.none() | _moments,
)  # fmt: skip
_connections = st.builds(
    Connection, _addresses, _addresses, st.none() | _words, _words, _words, _words, _words, st.none() | _clients,
    st.none() | _moments,
)  # fmt: skip
_requests = st.builds(
    Request, _octets, _octets, _octets, _octets, _octets, st.none() | _octets, _octets,
    st.lists(st.tuples(st.sampled_from((b"host", *EVENT_HEADERS)), _octets), max_size=5).map(tuple),
    st.just(()), st.sampled_from(((1, 1), (1, 0), (2, 0))), st.none() | _numbers,
)  # fmt: skip
_exchanges = st.builds(
    Exchange, _connections, st.none() | _requests, _words, st.just(frozenset()), _words, _words, _words
)
_reasons = st.builds(Reason, _words, _words, _words, _words, _words)
_decisions = st.builds(
    Decision, st.frozensets(_words, max_size=5), st.lists(_reasons, max_size=3).map(tuple),
    st.none() | st.builds(Action, _words),
    st.dictionaries(_words, st.floats(0, 1e9), max_size=3).map(lambda stages: tuple(stages.items())),
    mode=st.sampled_from(MODES),
)  # fmt: skip
_errors = (
    st.none()
    | st.builds(ClientError, _numbers, _words)
    | st.builds(OriginError, _numbers, _words, _words, st.booleans())
)
_clocks = st.floats(0, 1e6)
_presentations = st.builds(
    Presentation, st.booleans(), st.none() | _longer, st.none() | _words, st.none() | st.booleans(), st.none() | _words,
    st.none() | _moments,
)  # fmt: skip

records = st.builds(
    FakeRecord, _exchanges, _decisions, st.none() | st.builds(FakeStanding), _words,
    st.lists(st.sampled_from(EVENT_HEADERS), unique=True).map(tuple), _octets, _numbers, _errors, _words,
    st.none() | _words, st.integers(0, 3), st.booleans(), _numbers, _numbers, _numbers,
    st.floats(0, 1e11), _clocks, _clocks, _clocks, _clocks,
    st.lists(_words, max_size=2).map(tuple), st.none() | _presentations,
    grpc_status=st.none() | st.integers(0, 999),
)  # fmt: skip
"""Records of all kinds, of requests that could not even be read too; no text in them is harmless."""

counted = st.builds(
    lambda record, waited, answering, taken: evolve(
        record,
        status=record.status % 1000,
        origin_status=record.origin_status % 1000,
        decided=record.began + waited,
        answered=record.began + waited + answering,
        ended=record.began + waited + answering + taken,
    ),
    records, st.floats(0, 60), st.floats(0, 60), st.floats(0, 60),
)  # fmt: skip
"""The same with times in their order, and statuses of three digits."""
