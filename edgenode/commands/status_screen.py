"""The screen of ``edgenode status``: what a running node is, in lines that are as wide as the terminal at the most.

Law: what clients, certificates and files of others say steers no terminal; and what is worst is never left out.
"""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from edgenode.commands.terminal import BOLD, RED, YELLOW, cut, harmless, painted, table
from edgenode.observe.status import DAY, days_left

MOST = 8
"""Rows of a table, unless all are wanted."""

_MOST_PROBLEMS = 3

_SOON, _VERY_SOON = 30, 7
"""Days before its end within which something is marked."""

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))

Told = Mapping[str, Any]
"""A :class:`~edgenode.observe.status.Status` as the node has written it."""


def screen(told: Told, *, every_row: bool = False) -> str:
    """A screenful of it, as wide as the terminal at the most.

    :param every_row: whether tables are shown in full.
    """
    width = shutil.get_terminal_size().columns
    lines = [*_head(told)]
    for heading, rows in ((heading, [*make(told)]) for heading, make in _TABLES):
        if rows:
            lines += _table(heading, rows, width, every_row)
    lines += _foot(told)
    return "\n".join(painted(cut(line.text, width), line.colour, sys.stdout) for line in lines)


@frozen
class _Line:
    text: str
    colour: str = ""


@frozen
class _Row:
    """A row of a table; those in red are shown first, then those in yellow."""

    cells: tuple[str, ...]
    colour: str = ""


def _line(text: str, colour: str = "") -> _Line:
    return _Line(harmless(text), colour)


def _table(heading: tuple[str, ...], rows: list[_Row], width: int, every_row: bool) -> Iterator[_Line]:
    rows.sort(key=lambda row: (row.colour != RED, row.colour != YELLOW))
    left_out = 0 if every_row else max(len(rows) - MOST, 0)
    rows = rows[: len(rows) - left_out]
    lines = table([heading, *(row.cells for row in rows)], width)
    for text, colour in zip(lines, (BOLD, *(row.colour for row in rows)), strict=True):
        yield _Line(text, colour)
    if left_out:
        yield _Line(f"... and {left_out} more: --all")


# -- above the tables --------------------------------------------------------------------------------------------------


def _head(told: Told) -> Iterator[_Line]:
    now = told["at"]
    what = f"edgenode {told['version']}, PID {told['pid']}"
    yield _line(f"{told['name']}: {what}, serving for {_span(now - told['started'])}, {_size(told['memory'])}", BOLD)
    if told["path"]:
        yield _line(f"{told['path']}, in use since {_date(told['loaded'])} UTC, {_span(now - told['loaded'])}")
    if (reload := told["reload"]) is not None and not reload["done"]:
        yield _line(f"last reload {_span(now - reload['at'])} ago: {reload['outcome']}", RED)
        problems = [problem.partition("\n")[0] for problem in reload["problems"]]
        for problem in problems[:_MOST_PROBLEMS]:
            yield _line(f"  {problem}", RED)
        if len(problems) > _MOST_PROBLEMS:
            yield _line(f"  ... and {len(problems) - _MOST_PROBLEMS} more problems", RED)
    if (rates := told["rates"]) is not None:
        yield _line(_rates(rates))
        if rates["filters"]:
            each = ", ".join(f"{name} {_rate(rate)}/s" for name, rate in rates["filters"].items())
            yield _line(f"filters that match most often: {each}")
    if told["unused"]:
        yield _line(f"old files stay in use: {', '.join(f'[{each}]' for each in told['unused'])}", RED)


def _rates(rates: Mapping[str, Any]) -> str:
    text = f"last {rates['seconds']:.0f}s: {_rate(rates['requests'])} requests/s"
    if rates["statuses"]:
        text += f" ({', '.join(f'{name} {_rate(each)}' for name, each in rates['statuses'].items())})"
    if rates["blocked"]:
        text += f", {_rate(rates['blocked'])} blocked"
    return text


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2f}"


# -- tables ------------------------------------------------------------------------------------------------------------


def _listeners(told: Told) -> Iterator[_Row]:
    for each in told["listeners"]:
        spoken = [f"{count} {protocol}" for protocol, count in sorted(each["protocols"].items())]
        spoken += [f"{each[name]} {name}" for name in ("streams", "websockets") if each[name]]
        connections = f"{each['connections']} of {each['most_connections']}"
        groups = ", ".join(each["server_groups"])
        cells = (each["name"], each["address"] or "closed", connections, ", ".join(spoken) or "-", groups)
        yield _Row(cells, YELLOW if each["connections"] >= each["most_connections"] else "")


def _expiring(told: Told) -> Iterator[_Row]:
    """Certificates, authorities and revocation lists: what ends first stands first."""
    now = told["at"]
    found: list[tuple[float, str, str, str, bool]] = []
    for each in told["certificates"]:
        users = _users(each["used_by"])
        found.append((each["not_after"], f"certificate {each['name']}", each["subject"], users, True))
    for store in told["trust_stores"]:
        name, users = f"trust-store {store['name']}", _users(store["used_by"])
        found += [(each["not_after"], name, each["subject"], users, True) for each in store["authorities"]]
        for crl in store["crls"]:
            age = f"{crl['entries']} revoked, {_span(now - crl['this_update'])} old"
            end = float("inf") if crl["next_update"] is None else crl["next_update"]
            found.append((end, f"CRL of {store['name']}", crl["issuer"], age, False))
    for end, section, subject, users, is_certificate in sorted(found):
        text, colour = _left(end, now, is_certificate)
        yield _Row((section, "-" if end == float("inf") else _date(end)[:10], text, subject, users), colour)


def _users(headers: list[str]) -> str:
    """Who names it: names alone, for the kinds are clear."""
    return ", ".join(dict.fromkeys(each.partition(" ")[2] or each for each in headers)) or "nobody"


def _left(end: float, now: float, is_certificate: bool) -> tuple[str, str]:
    """How long until an end, and its colour; a revocation list ends often, and is marked only when it is late."""
    days = days_left(end, now)
    if days < 0:
        return "EXPIRED" if is_certificate else "LATE", RED
    if end == float("inf"):
        return "-", ""
    text = f"{int(days)}d" if days >= 2 else _span(days * DAY)
    if not is_certificate or days >= _SOON:
        return text, ""
    return (f"{text} !!", RED) if days < _VERY_SOON else (f"{text} !", YELLOW)


def _feeds(told: Told) -> Iterator[_Row]:
    now = told["at"]
    for each in told["feeds"]:
        missing, age = each["entries"] is None, None if each["confirmed"] is None else now - each["confirmed"]
        late = bool(each["refresh"]) and age is not None and age > 2 * each["refresh"]
        cells = (
            each["header"],
            "none" if missing else str(each["entries"]),
            "-" if age is None else _span(age),
            each["source"],
            each["problem"] or ("late" if late else "-"),
        )
        yield _Row(cells, RED if missing else YELLOW if late or each["problem"] else "")


def _origins(told: Told) -> Iterator[_Row]:
    for origin in told["origins"]:
        identity = origin["identity"] or ("none" if origin["tls"] else "no TLS")
        verified = origin["verified_name"]
        for number, each in enumerate(origin["servers"]):
            open_to = str(each["open"])
            open_to += "".join(f", {each[name]} {name}" for name in ("idle", "streams") if each[name])
            if origin["queued"] and not number:
                open_to += f", {origin['queued']} queued"
            as_whom = "not verified" if verified is None else verified or each["address"].rpartition(":")[0]
            asked = bool(origin["path_maps"] or each["open"])
            state = "down" if not each["up"] else "up" if asked else "-"
            cells = (origin["name"], each["address"], state, open_to, identity, as_whom if origin["tls"] else "-")
            yield _Row(cells, "" if each["up"] else RED)


def _exporters(told: Told) -> Iterator[_Row]:
    for name, each in told["observer"].get("exporters", {}).items():
        error, since = each.get("last_error", ""), each.get("since")
        said = error if since is None else f"for {_span(told['at'] - since)}: {error}"
        lost = each.get("lost", 0) + each.get("set_aside", 0)
        cells = (name, str(each.get("sent", 0)), str(lost), _size(each.get("behind_bytes", 0)), said or "-")
        yield _Row(cells, YELLOW if since is None and lost else "" if since is None else RED)


def _alerts(told: Told) -> Iterator[_Row]:
    for name, each in told["observer"].get("alerts", {}).items():
        receivers = each.get("receivers", {}).values()
        raised, values = each.get("raised", 0), ", ".join(str(one.get("value")) for one in each.get("values", ()))
        sent, waiting = (sum(one.get(word, 0) for one in receivers) for word in ("sent", "waiting"))
        error = next((one["last_error"] for one in receivers if one.get("last_error")), "")
        state = f"{raised}, {each.get('severity', '')}" if raised else "no"
        cells = (name, state, values or "-", f"{sent}, {waiting} waiting" if waiting else str(sent), error or "-")
        yield _Row(cells, RED if raised or error else "")


_TABLES: tuple[tuple[tuple[str, ...], Callable[[Told], Iterable[_Row]]], ...] = (
    (("LISTENER", "ADDRESS", "CONNECTIONS", "PROTOCOLS", "SERVER GROUPS"), _listeners),
    (("EXPIRES", "ON", "LEFT", "SUBJECT", "USED BY"), _expiring),
    (("LIST", "VALUES", "AGE", "SOURCE", "PROBLEM"), _feeds),
    (("ORIGIN", "SERVER", "STATE", "CONNECTIONS", "IDENTITY", "VERIFIED AS"), _origins),
    (("EXPORTER", "SENT", "LOST", "BEHIND", "LAST ERROR"), _exporters),
    (("ALERT", "RAISED", "OF", "TOLD", "LAST ERROR"), _alerts),
)
"""The tables: the heading, and what makes the rows."""


# -- below the tables --------------------------------------------------------------------------------------------------


def _foot(told: Told) -> Iterator[_Line]:
    now, counters, server = told["at"], told["counters"], told["state_server"]
    if counters is not None and (counters["total"] or counters["forgotten"]):
        full = counters["total"] >= counters["most"] or counters["size"] >= counters["most_size"]
        text = f"{counters['total']} of {counters['most']} keys, {_size(counters['size'])}"
        if counters["forgotten"]:
            text += f", {counters['forgotten']} forgotten"
        text += f": {_counts(counters['keys'])}"
        yield _line(f"limits: {'FULL: ' if full else ''}{text}", RED if full else "")
    if told["quarantined"]:
        yield _line(f"quarantine: {_counts(told['quarantined'])}")
    if server is not None:
        since = "" if server["since"] is None else f" for {_span(now - server['since'])}"
        reason = f": {server['reason']}" if server["away"] and server["reason"] else ""
        word = "away" if server["away"] else "up"
        yield _line(f"state: {server['url']} {word}{since}{reason}", RED if server["away"] else "")
    if told["events_lost"]:
        yield _line(f"events: {told['events_lost']} lost since the start", RED)
    for name, values in told["observer"].items():
        if name == "journal":
            yield _journal(values)
        elif name == "observer":
            yield from _observer(values)
        elif name not in ("exporters", "alerts"):  # they have tables
            yield from _observed(name, values)


def _journal(journal: Mapping[str, Any]) -> _Line:
    text = f"journal: segment {journal['segment']}"
    if "segments" in journal:
        since = "" if journal["oldest"] is None else f" since {_date(journal['oldest'])} UTC"
        text += f", {journal['segments']} kept, {_size(journal['bytes'])}{since}"
    if journal["dropped"]:
        text += f", {journal['dropped']} events lost"
    return _line(f"{text}: {journal['fault']}" if journal["fault"] else text, RED if journal["fault"] else "")


def _observer(process: Mapping[str, Any]) -> Iterator[_Line]:
    """The process that observes the node is of interest only if it does not run; reloads start it again, too."""
    if not process["pid"]:
        yield _line(f"observer: none, started {process['starts']} times", RED)


def _observed(name: str, values: object) -> Iterator[_Line]:
    """What a part tells of itself: a line, or one for each thing of it that has a name."""
    if not isinstance(values, Mapping):
        yield _line(f"{name}: {values}")
        return
    nested = {key: each for key, each in values.items() if isinstance(each, Mapping)}
    plain = ", ".join(f"{key} {each}" for key, each in values.items() if key not in nested and each not in (None, ""))
    if plain or not nested:
        yield _line(f"{name}: {plain or '-'}")
    for key, each in nested.items():
        yield from _observed(f"{name} {key}", each)


# -- words -------------------------------------------------------------------------------------------------------------


def _counts(counts: Mapping[str, int]) -> str:
    """The largest counts, each behind its name."""
    largest = sorted(counts.items(), key=lambda item: -item[1])
    text = ", ".join(f"{name} {count}" for name, count in largest[:MOST])
    return f"{text}, ..." if len(largest) > MOST else text


def _span(seconds: float) -> str:
    """A time in its two largest units: ``3d 4h``."""
    rest, parts = max(int(seconds), 0), list[str]()
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _date(seconds: float) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):
        return "9999-12-31 23:59"


def _size(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
