"""Character sets in which a text does not look like what it says, and what it says.

Law: whoever writes ``charset=utf-16`` or ``ibm037`` hides a text from rules, but not from a server that believes it. So
such a text is read both ways. In most other character sets ASCII is ASCII, and rules see it as it is; one that nobody
knows here might be of either kind.
"""

from __future__ import annotations

import binascii
import re
from codecs import charmap_decode
from collections.abc import Iterator, Mapping
from encodings.aliases import aliases

from edgenode.rules.views import base64_values
from edgenode.rules.views.parameters import parameter

_WORD = re.compile(rb"=\?([^?]*)\?([BbQq])\?([^?]*)\?=(?:\s+(?==\?))?")
_BEFORE = re.compile(rb"x*(?:cs)?")
_REST = bytes(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyz0123456789"))


def _squashed(name: bytes) -> bytes:
    """A name as the most forgiving server compares it: without case, signs, and ``x-`` and ``cs`` in front."""
    letters = name.lower().translate(None, _REST)
    before = _BEFORE.match(letters)
    return letters if before is None else letters[before.end() :]


_UNICODE = {
    ("utf_7",): "utf7 u7 unicode11utf7 unicode20utf7",
    # Without a byte order mark Python and .NET take them for little-endian, Java, PHP and the RFCs for big-endian.
    ("utf_16", "utf_16_be"): "utf16 u16 unicode ucs2 iso10646ucs2 byte2",
    ("utf_16_le",): "utf16le utf16lebom ucs2le byte2le unicodefeff unicodelittle unicodelittleunmarked",
    ("utf_16_be",): "utf16be utf16bebom ucs2be byte2be unicodefffe unicodebig unicodebigunmarked bigendianunicode",
    ("utf_32", "utf_32_be"): "utf32 u32 ucs4 iso10646ucs4 byte4",
    ("utf_32_le",): "utf32le utf32lebom ucs4le byte4le",
    ("utf_32_be",): "utf32be utf32bebom ucs4be byte4be",
    ("unicode_escape",): "unicodeescape",
    ("raw_unicode_escape",): "rawunicodeescape",
}
_EBCDIC = ("037", "273", "424", "500", "875", "1026", "1140")
_PAGES = ("", "ibm", "ibm0", "cp", "cp0", "ccsid", "ccsid0", "ccsid00", "ebcdic")
_ODD = {f"cp{page}" for page in _EBCDIC} | {"cp864", "hz", "utf_7", "shift_jis_2004", "shift_jisx0213"}
_NO_TEXT = {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}

_BY_NAME = {_squashed(name.encode("ascii")): codec for pair in aliases.items() for name, codec in (pair, pair[1:] * 2)}
_CODECS: Mapping[bytes, tuple[str, ...]] = {
    **{name: (codec,) for name, codec in _BY_NAME.items() if codec in _ODD or codec.startswith("iso2022")},
    **{f"{word}{page}".encode("ascii"): (f"cp{page}",) for page in _EBCDIC for word in _PAGES},
    **{f"{word}37".encode("ascii"): ("cp037",) for word in _PAGES},
    **{name.encode("ascii"): codecs for codecs, names in _UNICODE.items() for name in names.split()},
}
"""The codecs of character sets in which ASCII is not ASCII; a table, for a codec that a client chooses may be slow."""

_ASCII = {name for name, codec in _BY_NAME.items() if codec not in _NO_TEXT and name not in _CODECS}.union(
    b"""iso88596e iso88596i iso88598e iso88598i iso885912 logical visual dos874 windows874 cp874 ibm874 windows949
    windows936 windows932 windows950 sjiswin eucwin eucjpms euckr big5eten cnbig5 eucpkdfmtjapanese gb231280 isoir58
    chinese koi koi8 koi8ru koi8u koi8t macroman maccyrillic macukrainian macce macgreek macturkish maciceland
    userdefined suneugreek isoir149 ksc56011989 latin0 latin9 isolatin9 l0 mac macintosh windows31j cesu8 utf8
    utf8mb3 utf8mb4 utf8n utf8sig unicode11utf8 unicode20utf8 cp65001 windows65001 binary 8bit 7bit none armscii8
    viscii georgianps georgianacademy cp720 ibm720 dos720 cp856 ibm856 cp866u ibm00858 ccsid00858 cp51932 cp20127
    iso8859 88591 88592 88595 88597 88599 885915 nextstep""".split()
)
"""Names of those in which it is, as far as Python, the Encoding Standard, Java, PHP and .NET know them."""


MOST = 4
"""As many codecs are tried: of two names, servers take the first or the last."""


def codecs(content_types: tuple[bytes, ...]) -> tuple[str, ...]:
    """The codecs that the first or the last of some ``Content-Type`` name; none of those in which ASCII is ASCII."""
    found = (codec for name in _named(content_types) for codec in _CODECS.get(name, ()))
    return tuple(dict.fromkeys(found))[:MOST]


def is_unknown(content_types: tuple[bytes, ...]) -> bool:
    """Whether they name a character set of which nobody knows here what it makes of ASCII."""
    return any(name not in _CODECS and name not in _ASCII for name in _named(content_types))


def _named(content_types: tuple[bytes, ...]) -> Iterator[bytes]:
    """The names of character sets, squashed."""
    for each in dict.fromkeys((*content_types[:1], *content_types[-1:])):
        if b"charset" in each.lower() or b"*" in each:
            yield from filter(None, map(_squashed, parameter(each, b"charset")))


def recoded(text: bytes, codec: str) -> bytes:
    """What a text says in its character set, in UTF-8; what says nothing is U+FFFD, a byte order mark is left out."""
    table = _TABLES.get(codec)
    said = text.decode(codec, "replace") if table is None else charmap_decode(text, "replace", table)[0]
    return said.removeprefix("\ufeff").encode("utf-8", "replace")


_TABLES = {page: bytes(range(256)).decode(page, "replace") for page in ("cp864", *(f"cp{each}" for each in _EBCDIC))}
"""What each byte says, U+FFFD for nothing: an error would take ten times as long as a character."""


def encoded_words(text: bytes) -> bytes:
    """What a text says with the words of RFC 2047 in it, which Java's servers decode in the names of parts."""
    return _WORD.sub(_word, text)


def _word(word: re.Match[bytes]) -> bytes:
    charset, encoding, said = word.groups()
    said = base64_values.decoded(said) if encoding in b"Bb" else binascii.a2b_qp(said, header=True)
    codecs = _CODECS.get(_squashed(charset.partition(b"*")[0]), ())
    return recoded(said, codecs[0]) if codecs else said


_DETECTED = {
    (0, 0, 0, 1): "utf_32_be",
    (1, 0, 0, 0): "utf_32_le",
    (0, 1, 0, 1): "utf_16_be",
    (1, 0, 1, 0): "utf_16_le",
    (0, 1, 0, 0): "utf_16_be",
    (1, 0, 0, 1): "utf_16_le",
}
"""By which of the first four bytes are not NUL, of a text that begins with an ASCII character: RFC 4627, section 3."""


def detected(data: bytes) -> str | None:
    """The codec that readers of JSON or XML take a body for by its first bytes, if it is not UTF-8."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf_32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf_16"
    if data.startswith(b"\x4c\x6f\xa7\x94"):  # <?xm: XML 1.0, appendix F
        return "cp037"
    beginning = data[:4]
    if 0 not in beginning:
        return None
    if len(beginning) < 4:
        return "utf_16_be" if beginning[:1] == b"\0" else "utf_16_le"
    return _DETECTED.get(tuple(map(bool, beginning)))  # type: ignore[arg-type]
