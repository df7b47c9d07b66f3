"""The problems of one section, collected while its files are read, so that all are reported at once.

The law: whatever a file makes a library raise is a problem of that file's section, in words of our own, and of nothing
else: no section's reading ends another's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType
from OpenSSL._util import lib

from edgenode.model.errors import InvalidValue, Problem

_T = TypeVar("_T")

_NOT_OF_FILES = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What no file is to blame for. All else is, even what is no ``Exception``: a panic of a library in Rust is none."""


class Problems:
    """The problems of one section so far.

    :ivar section: the section's header without brackets.
    """

    def __init__(self, section: str) -> None:
        self.section = section
        self._found: list[Problem] = []

    @property
    def found(self) -> tuple[Problem, ...]:
        """Every problem, warnings too, in the order found."""
        return tuple(self._found)

    @property
    def fatal(self) -> bool:
        """Whether any of them is an error."""
        return any(not problem.warning for problem in self._found)

    def error(self, key: str, *sentences: str) -> None:
        """Report what makes the section unusable, each sentence by itself."""
        self._found += [Problem(self.section, key, sentence) for sentence in sentences]

    def warn(self, key: str, *sentences: str) -> None:
        """Report what is doubtful, but can be used; likewise."""
        self._found += [Problem(self.section, key, sentence, warning=True) for sentence in sentences]

    @contextmanager
    def reading(self, key: str, what: object = "") -> Iterator[None]:
        """A block of which any exception is an error of the key, and ends there.

        :param what: what the words of others are about, such as the path of a file.
        """
        try:
            yield
        except InvalidValue as invalid:
            self.error(key, invalid.sentence)
        except _NOT_OF_FILES:
            raise
        except BaseException as error:
            lib.ERR_clear_error()  # what OpenSSL has put down of it would be read as the next connection's fault
            self.error(key, f"{what}: {in_words(error)}" if what else in_words(error))

    def attempt(self, key: str, read: Callable[..., _T], *arguments: object) -> _T | None:
        """The result of a call, or ``None`` and an error of the key if that raises anything."""
        with self.reading(key, arguments[0] if arguments else ""):
            return read(*arguments)
        return None


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (InvalidVersion, "its version is none that X.509 has"),
    (DuplicateExtension, "it has one of its extensions twice"),
    (UnsupportedGeneralNameType, "it holds a kind of name that is not supported"),
    (UnsupportedAlgorithm, "its key or signature is of a kind that is not supported"),
    (UnicodeError, "it holds text in a wrong encoding"),
    (RecursionError, "it is nested too deeply"),
    (MemoryError, "there is not enough memory for it"),
)

_UNKNOWN = "it is malformed"

_MALFORMED = re.compile(r"error parsing asn1|ParseError")
_PLACE = re.compile(r"::(\w+)")
_PLACES = {
    "version": "version",
    "serial": "serial number",
    "signature_alg": "signature algorithm",
    "issuer": "issuer",
    "validity": "validity",
    "this_update": "dates",
    "next_update": "dates",
    "subject": "subject",
    "spki": "public key",
    "revoked_certificates": "entries",
    "raw_extensions": "extensions",
    "raw_crl_extensions": "extensions",
}
"""The fields of certificates and lists as the parser calls them, and as RFC 5280 does."""

_INTERNAL = re.compile(r"[\[\]{}<>():_]|\bb'|[a-z][A-Z]|Error|asn1|[Pp]lease|cryptography|Python|^$")
"""What only the words of programs to programmers have."""


def in_words(error: BaseException) -> str:
    """What an exception means, for whoever reads a reason or a log: no class, no type and no parser is named.

    :return: a clause about what was read; it may quote a certificate.
    """
    if isinstance(error, InvalidValue):
        return error.sentence
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    text = str(error)
    if _MALFORMED.search(text):
        place = next((_PLACES[each] for each in _PLACE.findall(text) if each in _PLACES), "")
        return f"its {place} cannot be read: no valid DER" if place else "it is no valid DER"
    sentence = text.partition(". ")[0].rstrip(".")
    if not isinstance(error, ValueError) or _INTERNAL.search(sentence.replace("OpenSSL", "")):
        return _UNKNOWN
    return sentence if sentence.startswith("OpenSSL") else f"{sentence[0].lower()}{sentence[1:]}"
