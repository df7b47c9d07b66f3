"""Certificates and revocation lists near their end are reported in time, to the second, always in the same words."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest
from attrs import evolve

from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.expiry import expiry_warnings
from edgenode.tls.truststores import LoadedTrustStore
from tests.support.certificates import DAY, Issued, make_authority, now
from tests.support.handshakes import loaded, trusted

NOW = now()
SECOND = datetime.timedelta(seconds=1)
ROOT = make_authority("Root", not_before=NOW - 3000 * DAY, not_after=NOW + 3000 * DAY)


def lasting(before: datetime.timedelta, after: datetime.timedelta, issuer: Issued = ROOT) -> Issued:
    """A certificate that began some time before now and ends some time after."""
    return issuer.issue("edge", not_before=NOW - before, not_after=NOW + after)


def said(
    what: LoadedCertificate | LoadedTrustStore, when: datetime.datetime = NOW, *, past: bool = True
) -> Sequence[str]:
    """What is reported, each with its section and key."""
    found = list(expiry_warnings(what, when, past=past))
    assert all(problem.warning for problem in found)
    return [f"[{problem.section}] {problem.key}: {problem.sentence}" for problem in found]


@pytest.mark.parametrize(("before", "after", "word"), [
    (300 * DAY, 15 * DAY, ""),
    (300 * DAY, 14 * DAY, ""),
    (300 * DAY, 14 * DAY - SECOND, "expires"),
    (300 * DAY, 0 * DAY, "expires"),
    (300 * DAY, -SECOND, "expired"),
    (2 * DAY, 1 * DAY, ""),
    (2 * DAY, 1 * DAY - SECOND, "expires"),
])  # fmt: skip
def test_a_certificate_is_reported_in_its_last_two_weeks_or_third(
    before: datetime.timedelta, after: datetime.timedelta, word: str
) -> None:
    """Two weeks before its end, or in the last third of a short life; to the second."""
    issued = lasting(before, after)
    date = f"{issued.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    assert said(loaded("own", issued)) == ([f"[certificate own] chain: CN=edge {word} on {date}"] if word else [])


def test_what_has_expired_is_left_to_whoever_loads_it() -> None:
    """Without ``past`` only what is still good is reported."""
    old, soon = loaded("own", lasting(300 * DAY, -SECOND)), loaded("own", lasting(300 * DAY, DAY))
    assert said(old, past=False) == []
    assert len(said(old)) == len(said(soon, past=False)) == 1
    store = trusted(ROOT, crls=[ROOT.crl(last_update=NOW - 9 * DAY, next_update=NOW - SECOND)])
    assert said(store, past=False) == []
    assert len(said(store)) == 1


def test_every_certificate_of_a_chain_and_of_a_store_is_looked_at() -> None:
    """An intermediate that ends before its leaf, and one authority of two."""
    inner = make_authority("inner", issuer=ROOT, not_before=NOW - 300 * DAY, not_after=NOW + DAY)
    (sentence,) = said(loaded("own", lasting(DAY, 300 * DAY, inner)))
    assert sentence.startswith("[certificate own] chain: CN=inner expires on ")
    (sentence,) = said(trusted(ROOT, inner))
    assert sentence.startswith("[trust-store store] authorities: CN=inner expires on ")


@pytest.mark.parametrize(("after", "said_of"), [
    (DAY, ""),
    (DAY - SECOND, "is out of date from {date} on; then whatever that authority issued is refused"),
    (0 * DAY, "is out of date from {date} on; then whatever that authority issued is refused"),
    (-SECOND, "is out of date since {date}; then whatever that authority issued is refused"),
])  # fmt: skip
def test_a_list_is_reported_in_the_last_tenth_of_its_life(after: datetime.timedelta, said_of: str) -> None:
    """A list for ten days in its last day; with ``crl-stale = accept`` nothing follows from it."""
    crl = ROOT.crl(last_update=NOW + after - 10 * DAY, next_update=NOW + after)
    date = f"{NOW + after:%Y-%m-%d %H:%M} UTC"
    wanted = [f"[trust-store store] crl: the revocation list of CN=Root {said_of.format(date=date)}"] if said_of else []
    assert said(trusted(ROOT, crls=[crl])) == wanted
    wanted = [sentence.partition(";")[0] for sentence in wanted]
    assert said(trusted(ROOT, crls=[crl], stale="accept")) == wanted


def test_a_list_beside_one_that_lasts_longer_is_none_to_speak_of() -> None:
    """An older list, and one that has run out, decide nothing while another of the same kind is in date; one of another
    authority, and a delta list, are of another kind."""
    old = ROOT.crl(last_update=NOW - 20 * DAY, next_update=NOW - DAY)
    ending = ROOT.crl(last_update=NOW - 10 * DAY, next_update=NOW + DAY / 2)
    current = ROOT.crl(last_update=NOW - DAY, next_update=NOW + 30 * DAY)
    early = ROOT.crl(last_update=NOW + DAY, next_update=NOW + 60 * DAY)
    other = make_authority("Other")
    others = other.crl(last_update=NOW - 20 * DAY, next_update=NOW - DAY)
    assert said(trusted(ROOT, crls=[old, ending, current, early])) == []
    assert len(said(trusted(ROOT, crls=[old, ending]))) == 1
    assert "is out of date from" in said(trusted(ROOT, crls=[ending, old]))[0]
    assert [each.partition("CN=")[2][:5] for each in said(trusted(ROOT, other, crls=[old, current, others]))] == [
        "Other"
    ]


def test_a_second_is_the_smallest_time_that_counts() -> None:
    """What ends in this second has not ended yet, however much of the second has passed (RFC 5280, 4.1.2.5)."""
    last = NOW + datetime.timedelta(microseconds=999_999)
    own = loaded("own", lasting(300 * DAY, 0 * DAY))
    store = trusted(ROOT, crls=[ROOT.crl(last_update=NOW - DAY, next_update=NOW)])
    for what in (own, store):
        assert said(what, last) == said(what, NOW)
        assert said(what, last) != said(what, NOW + SECOND)


def test_the_words_stay_the_same_until_something_changes() -> None:
    """The same problem is an equal problem each time, so that it is logged once."""
    store = trusted(ROOT, crls=[ROOT.crl(last_update=NOW - 9 * DAY, next_update=NOW + DAY / 2)])
    first = list(expiry_warnings(store, NOW))
    assert first == list(expiry_warnings(evolve(store), NOW + 60 * SECOND))
    assert first != list(expiry_warnings(store, NOW + DAY))
