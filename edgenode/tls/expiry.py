"""Warnings about certificates and revocation lists that expire soon, or have expired.

The law: this refuses nobody. What is past its date is refused where clients are verified; here it is only reported.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from edgenode.model.errors import Problem
from edgenode.tls.certificates import Certificate, LoadedCertificate
from edgenode.tls.names import distinguished_name
from edgenode.tls.revocation_lists import deciding
from edgenode.tls.truststores import LoadedTrustStore, TrustStore

_NOTICE = datetime.timedelta(days=14)
"""How long before its end a certificate is reported, if that is not more than a third of its life."""


def expiry_warnings(
    loaded: LoadedCertificate | LoadedTrustStore, now: datetime.datetime, *, past: bool = True
) -> Iterator[Problem]:
    """Warnings about what is past its date, or soon will be; the same words until something changes.

    :param loaded: a certificate of ours, or a trust store with its revocation lists.
    :param now: the time, UTC; compared in whole seconds, the grain of X.509 (RFC 5280, section 4.1.2.5).
    :param past: whether also about what has expired: loading it reports that already.
    """
    now = now.replace(microsecond=0)
    if isinstance(loaded, LoadedCertificate):
        header, key, certificates = f"{Certificate.kind} {loaded.name}", "chain", (loaded.leaf, *loaded.chain)
    else:
        header, key, certificates = f"{TrustStore.kind} {loaded.name}", "authorities", loaded.authorities
    for certificate in certificates:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if (past or end >= now) and end - now < min(_NOTICE, (end - begin) / 3):
            word = "expired" if end < now else "expires"
            sentence = f"{distinguished_name(certificate.subject)} {word} on {end:%Y-%m-%d %H:%M} UTC"
            yield Problem(header, key, sentence, warning=True)
    if isinstance(loaded, LoadedTrustStore):
        yield from _lists(header, loaded, now, past=past)


def _lists(header: str, store: LoadedTrustStore, now: datetime.datetime, *, past: bool) -> Iterator[Problem]:
    most = store.section.crl_max_age
    for crl, decides in zip(store.crls, deciding(store.crls, most, now), strict=True):
        begin, end = crl.begin, crl.last_second(most)
        # Lists are issued at regular intervals: the last tenth of the interval is late.
        if decides and end is not None and (past or end >= now) and end - now < (end - begin) / 10:
            follows = "" if store.section.crl_stale == "accept" else "; then whatever that authority issued is refused"
            date = f"{end:%Y-%m-%d %H:%M} UTC"
            word = f"is out of date since {date}" if end < now else f"is out of date from {date} on"
            sentence = f"the revocation list of {distinguished_name(crl.issuer)} {word}{follows}"
            yield Problem(header, "crl", sentence, warning=True)
