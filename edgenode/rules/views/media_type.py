"""What a body is, told by its first bytes.

Law: what its sender says of it is not asked, for that is what a rule on it wants to catch.
"""

from __future__ import annotations

import re

_SIGNATURES: tuple[tuple[bytes, bytes], ...] = (
    (rb"\xFF\xD8\xFF", b"image/jpeg"),
    (rb"\x89PNG\r\n\x1A\n", b"image/png"),
    (rb"GIF8[79]a", b"image/gif"),
    (rb"RIFF.{4}WEBP", b"image/webp"),
    (rb"BM.{4}\0{4}", b"image/bmp"),
    (rb"II\*\0|MM\0\*", b"image/tiff"),
    (rb"\0\0\x01\0", b"image/vnd.microsoft.icon"),
    (rb".{4}ftypavi[fs]", b"image/avif"),
    (rb".{4}ftyp(?:heic|heix|mif1)", b"image/heic"),
    (rb".{4}ftypqt", b"video/quicktime"),
    (rb".{4}ftyp", b"video/mp4"),
    (rb"\x1A\x45\xDF\xA3.{0,64}?webm", b"video/webm"),
    (rb"\x1A\x45\xDF\xA3", b"video/x-matroska"),
    (rb"RIFF.{4}AVI ", b"video/x-msvideo"),
    (rb"\0\0\x01[\xB3\xBA]", b"video/mpeg"),
    (rb"FLV\x01", b"video/x-flv"),
    (rb"RIFF.{4}WAVE", b"audio/wav"),
    (rb"OggS", b"audio/ogg"),
    (rb"fLaC", b"audio/flac"),
    (rb"MThd", b"audio/midi"),
    (rb"ID3|\xFF[\xE3\xF2\xF3\xFB]", b"audio/mpeg"),
    (rb"%PDF-", b"application/pdf"),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", b"application/zip"),
    (rb"\x1F\x8B", b"application/gzip"),
    (rb"BZh[1-9]", b"application/x-bzip2"),
    (rb"\xFD7zXZ\0", b"application/x-xz"),
    (rb"\x28\xB5\x2F\xFD", b"application/zstd"),
    (rb"7z\xBC\xAF\x27\x1C", b"application/x-7z-compressed"),
    (rb"Rar!\x1A\x07", b"application/vnd.rar"),
    (rb".{257}ustar", b"application/x-tar"),
    (rb"\x7FELF", b"application/x-executable"),
    (rb"MZ", b"application/vnd.microsoft.portable-executable"),
    (rb"\0asm", b"application/wasm"),
    (rb"\xCA\xFE\xBA\xBE", b"application/java-vm"),
    (rb"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"application/x-ole-storage"),
    (rb"\{\\rtf", b"application/rtf"),
    (rb"#!", b"text/x-shellscript"),
    (rb"(?i:<!doctype html|<html|<head|<body|<script)", b"text/html"),
    (rb"<\?xml", b"text/xml"),
)  # fmt: skip

MEDIA_TYPES = frozenset(name for _, name in _SIGNATURES) | {b""}
"""All that there are."""

_ANY = re.compile(b"|".join(b"(%b)" % signature for signature, _ in _SIGNATURES), re.DOTALL)
_BEFORE_TEXT = re.compile(rb"(?:\xEF\xBB\xBF)?[ \t\r\n]*")
_LOOKED_AT = 512


def media_type(data: bytes) -> bytes:
    """The media type of some content, by its beginning; empty if it is of no kind that is known here."""
    beginning = data[:_LOOKED_AT]
    blank = _BEFORE_TEXT.match(beginning)
    match = _ANY.match(beginning) or (_ANY.match(beginning, blank.end()) if blank is not None else None)
    return b"" if match is None else _SIGNATURES[(match.lastindex or 1) - 1][1]
