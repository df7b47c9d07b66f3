"""What a file makes a library raise is a problem of its section, in words that name no class, type or parser."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import crypto

from edgenode.model.errors import InvalidValue
from edgenode.tls.problems import Problems, in_words
from tests.fuzz import credentials

SEEDS = list(credentials.seeds())


class PanicException(BaseException):
    """As a library in Rust raises it: no ``Exception``."""


WORDS: Mapping[str, tuple[BaseException, str]] = {
    "of ours": (InvalidValue("it is too old"), "it is too old"),
    "of the system": (PermissionError(13, "Permission denied"), "Permission denied"),
    "a parser's": (
        ValueError('error parsing asn1 value: ParseError { kind: InvalidValue, location: ["Certificate::tbs_cert"] }'),
        "it is no valid DER",
    ),
    "a parser's, with a place": (
        ValueError('error parsing asn1 value: ParseError { location: ["TbsCertificate::validity", "Validity::a"] }'),
        "its validity cannot be read: no valid DER",
    ),
    "a library's sentence": (ValueError("Invalid netmask"), "invalid netmask"),
    "two sentences": (ValueError("The algorithms differ. This is bad."), "the algorithms differ"),
    "of OpenSSL's": (ValueError("OpenSSL cannot read a name"), "OpenSSL cannot read a name"),
    "a queue of OpenSSL's": (crypto.Error([("asn1 encoding routines", "", "wrong tag")]), "it is malformed"),
    "a class by name": (TypeError("IPAddress name constraints must be an IPv4Network object"), "it is malformed"),
    "bytes of Python's": (ValueError("b'12' does not appear to be an IPv4 or IPv6 address"), "it is malformed"),
    "a version": (x509.InvalidVersion("3 is not a valid CRL version", 3), "its version is none that X.509 has"),
    "a curve": (
        UnsupportedAlgorithm("Curve 1.2.3 is not supported"),
        "its key or signature is of a kind that is not supported",
    ),
    "nothing": (ValueError(), "it is malformed"),
    "a panic": (PanicException("called `Option::unwrap()` on a `None` value"), "it is malformed"),
    "memory": (MemoryError(), "there is not enough memory for it"),
    "depth": (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
}


@pytest.mark.parametrize(("error", "words"), WORDS.values(), ids=WORDS)
def test_an_exception_in_words(error: BaseException, words: str) -> None:
    """A sentence of a library is kept if it is one for people; everything else is said in our own words."""
    assert in_words(error) == words


@pytest.mark.parametrize("error", [ValueError(), TypeError(), PanicException(), MemoryError(), crypto.Error([])])
def test_whatever_a_reader_raises_is_a_problem_of_its_key(error: BaseException) -> None:
    """Of any class; what follows in the section is read all the same."""

    def read(path: pathlib.Path) -> None:
        raise error

    problems = Problems("trust-store odd")
    assert problems.attempt("crl", read, pathlib.Path("odd.crl")) is None
    with problems.reading("authorities", "odd.pem"):
        read(pathlib.Path())
    crl, authorities = problems.found
    assert (crl.section, crl.key, crl.sentence[:9]) == ("trust-store odd", "crl", "odd.crl: ")
    assert (authorities.key, authorities.warning, authorities.sentence[:9]) == ("authorities", False, "odd.pem: ")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_no_file_is_to_blame_for_goes_on(error: type[BaseException]) -> None:
    """Whoever interrupts a check ends it."""
    problems = Problems("trust-store odd")
    with pytest.raises(error), problems.reading("crl"):
        raise error
    assert problems.found == ()


@settings(max_examples=300)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.binary(max_size=1)), min_size=1, max_size=3),
)
def test_mutated_der_is_loaded_or_refused(seed: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    """Certificates, lists and keys with bytes changed, taken out and put in: nothing is raised, and no parser named."""
    for where, count, byte in edits:
        at = round(where * len(seed))
        seed = seed[:at] + byte + seed[at + count :]
    credentials.check(seed)
