"""OpenSSL's certificate verification errors, ``X509_V_ERR_*``: the numbers that decide something, and the words of all.

pyOpenSSL hands a callback the number alone, and has no public name for ``X509_verify_cert_error_string(3)``.
"""

from __future__ import annotations

from OpenSSL._util import ffi, lib

UNSPECIFIED = 1
UNABLE_TO_GET_ISSUER_OF_ISSUER = 2
UNABLE_TO_GET_CRL = 3
SIGNATURE_FAILURE = 7
CRL_SIGNATURE_FAILURE = 8
NOT_YET_VALID = 9
EXPIRED = 10
CRL_NOT_YET_VALID = 11
CRL_EXPIRED = 12
SELF_SIGNED_LEAF = 18
UNABLE_TO_GET_ISSUER = 20
UNABLE_TO_VERIFY_LEAF = 21
CHAIN_TOO_LONG = 22
REVOKED = 23
INVALID_PURPOSE = 26
KEYUSAGE_NO_CRL_SIGN = 35
UNHANDLED_CRITICAL_CRL_EXTENSION = 36
DIFFERENT_CRL_SCOPE = 44
CRL_PATH_VALIDATION_ERROR = 54
APPLICATION_VERIFICATION = 50
AUTHORITY_KEY_TOO_WEAK = 67
SIGNATURE_TOO_WEAK = 68

ABOUT_LISTS = frozenset({3, 8, 11, 12, 13, 15, 16, 33, 35, 36, 44, 54})
"""The errors that are about a revocation list, and not about a certificate."""

UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""The errors of a chain that ends in no authority of ours; nginx's ``ngx_ssl_verify_error_optional``."""

UNVERIFIED = UNKNOWN_AUTHORITY | {SIGNATURE_FAILURE}
"""The errors after which nothing is known of who issued a certificate."""

LATER = frozenset({SIGNATURE_FAILURE, NOT_YET_VALID, EXPIRED, UNABLE_TO_VERIFY_LEAF})
"""The errors that OpenSSL finds last, behind what it would find in revocation lists."""

_UNKNOWN = "unknown certificate verification error"


def reason(number: int) -> str:
    """OpenSSL's words for an error; with the number, if OpenSSL does not know it.

    :param number: one of ``X509_V_ERR_*``.
    """
    words: str = ffi.string(lib.X509_verify_cert_error_string(number)).decode("ascii")
    return f"{words} ({number})" if words == _UNKNOWN else words
