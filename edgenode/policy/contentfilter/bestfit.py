"""The characters that Windows takes for one of US-ASCII (its code page 20127, best fit), as ``%uHHHH`` is decoded.

Law: it is the table that ModSecurity has as ``unicode.mapping`` for ``SecUnicodeMapFile unicode.mapping 20127``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CHARACTERS = """
00a0,2000-2006:20 00a1:21 02ba,030e,201c-201e:22 00a4:24 02b9,02bc,02c8,2018-2019,2032:27 00b8,201a:2c
00ad,2010-2011,2013-2014:2d 00b7,2022,2026:2e 00b9:31 00b2:32 00b3:33 00ab,2039:3c 00bb,203a:3e
00c0-00c6,0100,0102,0104,01cd,01de:41 00a9,00c7,0106,0108,010a,010c:43 00d0,010e,0110,0189:44
00c8-00cb,0112,0114,0116,0118,011a:45 0191:46 011c,011e,0120,0122,01e4,01e6:47 0124,0126:48
00cc-00cf,0128,012a,012c,012e,0130,0197,01cf:49 0134:4a 0136,01e8:4b 0139,013b,013d,0141:4c 00d1,0143,0145,0147:4e
00d2-00d6,00d8,014c,014e,0150,0152,019f-01a0,01d1,01ea,01ec:4f 00ae,0154,0156,0158:52 015a,015c,015e,0160:53
0162,0164,0166,01ae,2122:54 00d9-00dc,0168,016a,016c,016e,0170,0172,01af,01d3,01d5,01d7,01d9,01db:55 0174:57
00a5,00dd,0176,0178:59 0179,017b,017d:5a 02c4,02c6,0302:5e 02cd,0331-0332:5f 02cb,0300,2035:60
00aa,00e0-00e6,0101,0103,0105,01ce,01df:61 0180:62 00a2,00e7,0107,0109,010b,010d:63 010f,0111:64
00e8-00eb,0113,0115,0117,0119,011b:65 0192:66 011d,011f,0121,0123,01e5,01e7,0261:67 0125,0127:68
00ec-00ef,0129,012b,012d,012f,0131,01d0:69 0135,01f0:6a 0137,01e9:6b 013a,013c,013e,0142,019a:6c
00f1,0144,0146,0148:6e 00ba,00f2-00f6,00f8,014d,014f,0151,0153,01a1,01d2,01eb,01ed:6f 0155,0157,0159:72
015b,015d,015f,0161:73 0163,0165,0167,01ab:74
00f9-00fc,0169,016b,016d,016f,0171,0173,01b0,01d4,01d6,01d8,01da,01dc:75 0175:77 00fd,00ff,0177:79 017c,017e,01b6:7a
00a6:7c 02dc,0303:7e
"""
"""Of each ASCII character, the code points that are taken for it, but for the wide forms (U+FF01 to U+FF5E)."""


def _read() -> dict[bytes, bytes]:
    found = {0xFEE0 + byte: byte for byte in range(0x21, 0x7F)}
    for each in _CHARACTERS.split():
        written, _, byte = each.partition(":")
        for span in written.split(","):
            first, _, last = span.partition("-")
            found |= dict.fromkeys(range(int(first, 16), int(last or first, 16) + 1), int(byte, 16))
    return {b"%04x" % number: bytes((byte,)) for number, byte in found.items()}


BEST_FIT: Mapping[bytes, bytes] = MappingProxyType(_read())
"""By four digits in lower case, the character that it is taken for."""
