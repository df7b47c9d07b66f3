"""The PROXY protocol as its document says it, byte by byte and slowly; and headers for tests."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

_SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def crc32c(data: bytes) -> int:
    """RFC 4960, appendix B, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def slow(data: bytes) -> dict[str, Any] | None:
    """What a whole header says that has nothing behind it; ``None`` if it is no good one."""
    return _version2(data) if data.startswith(_SIGNATURE) else _version1(data)


def _host(text: str, family: int) -> str:
    address = ipaddress.ip_address(text)
    assert address.version == family
    return str(getattr(address, "ipv4_mapped", None) or address)


def _version1(data: bytes) -> dict[str, Any] | None:
    if len(data) > 107 or not data.endswith(b"\r\n") or b"\n" in data[:-1]:
        return None
    words = data[:-2].split(b" ")
    if words[0] != b"PROXY" or len(words) < 2:
        return None
    if words[1] == b"UNKNOWN":
        return {"version": 1}
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        return None
    family = int(words[1][3:])
    try:
        hosts = [_host(word.decode("ascii"), family) for word in words[2:4]]
        assert all(b"%" not in word for word in words[2:4])
        assert all(re.fullmatch(rb"0|[1-9][0-9]*", word) and int(word) < 65536 for word in words[4:])
    except (ValueError, AssertionError):
        return None
    return {"version": 1, "source": (hosts[0], int(words[4])), "destination": (hosts[1], int(words[5]))}


def _version2(data: bytes) -> dict[str, Any] | None:
    if len(data) < 16 or data[12] not in (0x20, 0x21) or len(data) != 16 + int.from_bytes(data[14:16]):
        return None
    if len(data) > 16384:
        return None
    if data[12] == 0x20:
        return {"version": 2}
    sizes = {0: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
    size = sizes.get(data[13])
    if size is None or len(data) < 16 + size:
        return None
    found: dict[str, Any] = {"version": 2}
    if data[13] in (0x11, 0x21):
        width = 4 if data[13] == 0x11 else 16
        for number, name in enumerate(("source", "destination")):
            packed = ipaddress.ip_address(data[16 + number * width : 16 + (number + 1) * width])
            host = str(getattr(packed, "ipv4_mapped", None) or packed)
            at = 16 + 2 * width + 2 * number
            found[name] = (host, int.from_bytes(data[at : at + 2]))
    vectors = _vectors(data[16 + size :])
    if vectors is None:
        return None
    at = 16 + size
    names = {1: "alpn", 2: "authority", 5: "unique_id", 3: "crc", 0x20: "tls"}
    seen: dict[str, bytes] = {}
    for kind, value in vectors:
        name = names.get(kind, "")
        name = "vpc_endpoint" if kind == 0xEA and value[:1] == b"\1" else name
        name = "link_id" if kind == 0xEE and value[:1] == b"\1" else name
        if name and name in seen:
            return None
        if name == "crc":
            without = data[: at + 3] + bytes(4) + data[at + 7 :]
            if len(value) != 4 or int.from_bytes(value) != crc32c(without):
                return None
        seen[name] = value
        at += 3 + len(value)
    if len(seen.get("unique_id", b"")) > 128 or len(seen.get("link_id", b"12345")) != 5:
        return None
    found |= {name: seen[name] for name in ("alpn", "authority", "unique_id") if seen.get(name)}
    if seen.get("vpc_endpoint", b"")[1:]:
        found["vpc_endpoint"] = seen["vpc_endpoint"][1:]
    if "link_id" in seen:
        found["link_id"] = int.from_bytes(seen["link_id"][1:], "little")
    if "tls" in seen:
        inner = _vectors(seen["tls"][5:]) if len(seen["tls"]) >= 5 else None
        known = [kind for kind, _ in inner or () if kind in (0x21, 0x22, 0x23)]
        if inner is None or len(set(known)) < len(known):
            return None
        said = dict(inner)
        found["tls"] = (
            seen["tls"][0],
            int.from_bytes(seen["tls"][1:5]),
            *(said.get(kind, b"") for kind in (0x21, 0x22, 0x23)),
        )
    return found


def _vectors(data: bytes) -> list[tuple[int, bytes]] | None:
    found = []
    while data:
        size = int.from_bytes(data[1:3])
        if len(data) < 3 or len(data) < 3 + size:
            return None
        found.append((data[0], data[3 : 3 + size]))
        data = data[3 + size :]
    return found
