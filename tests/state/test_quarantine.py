"""The quarantine: what is held, until when, and what becomes of it on the disk and when there is too much."""

from __future__ import annotations

import math
import os
import pathlib
import sqlite3
import stat

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from edgenode.state.interface import Entry, Happened
from edgenode.state.quarantine import HeldValues
from edgenode.state.quarantine_file import NAME, QuarantineFile

RULE = "dynamic-rule scanners"


class Time:
    """A clock, and a date that can be set."""

    def __init__(self, date: float = 1.8e9) -> None:
        self.clock = Clock()
        self.date = date

    def now(self) -> float:
        """The date."""
        return self.date + self.clock.seconds()

    def values(self, most: int = 1000) -> HeldValues:
        """A quarantine by them."""
        return HeldValues(self.clock.seconds, self.now, most)

    def entry(self, value: str = "x", seconds: float = 60.0, key: str = "header.user-agent", who: str = RULE) -> Entry:
        """An entry that begins now."""
        return Entry(key, value, self.now() + seconds, self.now(), who, "too often")


@pytest.fixture
def time() -> Time:
    """A time of its own."""
    return Time()


def listening(values: HeldValues, clock: Clock) -> list[Happened]:
    """What it tells from now on; nothing is kept on a disk."""
    told: list[Happened] = []
    values.start(clock, None, told.append)
    return told


# -- in memory ---------------------------------------------------------------------------------------------------------


def test_a_weaker_action_does_not_outlive_a_stronger_one(time: Time) -> None:
    """Each action holds a value for a time of its own, whichever came first; a lift ends all."""
    for order in (("monitor", 100), ("block", 50)), (("block", 50), ("monitor", 100)):
        values = time.values()
        told = listening(values, time.clock)
        for action, seconds in order:
            values.hold(evolve(time.entry(seconds=seconds), action=action))
        assert {each.action for each in values.all("header.user-agent", "x")} == {"block", "monitor"}
        found = values.find("header.user-agent", "x")
        assert found is not None
        assert found.action == "monitor"
        time.clock.advance(60)
        assert [each.action for each in values.all("header.user-agent", "x")] == ["monitor"]
        values.hold(time.entry())
        lifted = values.lift("header.user-agent", "x", "root")
        assert lifted is not None
        assert (lifted.action, values.all("header.user-agent", "x"), len(values)) == ("block", (), 0)
        assert [each.action for each in told if each.action == "quarantine-lifted"] == ["quarantine-lifted"] * 2


def test_an_address_is_held_by_all_networks_that_it_is_in(time: Time) -> None:
    """The one that ends last need not be the one that refuses."""
    values = time.values()
    values.hold(evolve(time.entry("192.0.2.0/24", 100, "ip"), action="monitor"))
    values.hold(time.entry("192.0.2.7", 50, "ip"))
    values.hold(time.entry("192.0.2.8/30", 50, "ip"))
    assert {each.value for each in values.all("ip", "192.0.2.7")} == {"192.0.2.0/24", "192.0.2.7"}
    values.lift("ip", "192.0.2.7", "root")
    assert {each.value for each in values.all("ip", "192.0.2.7")} == {"192.0.2.0/24"}
    assert values.all("ip", "198.51.100.1") == ()


def test_a_value_is_held_for_its_time(time: Time) -> None:
    """And no longer; every entry, and every end, is an event."""
    values = time.values()
    told = listening(values, time.clock)
    entry = time.entry()
    values.hold(entry)
    assert values.find(entry.key, "x") == entry
    assert values.find(entry.key, "y") is None
    assert [*values.entries()] == [entry]
    assert values.keys == {entry.key}
    time.clock.advance(59.9)
    assert values.find(entry.key, "x") == entry
    time.clock.advance(0.2)
    assert values.find(entry.key, "x") is None
    assert [*values.entries()] == []
    assert values.keys == frozenset()
    assert [(each.action, each.entry) for each in told] == [("quarantine-held", entry), ("quarantine-ended", entry)]
    assert not time.clock.getDelayedCalls()


def test_what_is_held_for_ever_does_not_end(time: Time) -> None:
    """Its end is infinity, and no timer waits for it."""
    values = time.values()
    listening(values, time.clock)
    values.hold(time.entry(seconds=math.inf))
    time.clock.advance(1e9)
    assert values.find("header.user-agent", "x") is not None
    assert not time.clock.getDelayedCalls()


def test_the_later_end_counts(time: Time) -> None:
    """An entry that ends sooner replaces nothing; to be prolonged is no further event."""
    values = time.values()
    told = listening(values, time.clock)
    values.hold(time.entry(seconds=60))
    values.hold(time.entry(seconds=30))
    values.hold(time.entry(seconds=90))
    assert len(told) == 1
    time.clock.advance(61)
    assert values.find("header.user-agent", "x") is not None
    values.hold(time.entry(seconds=90, who="root (uid 0)"))
    assert [each.action for each in told] == ["quarantine-held"] * 2, "somebody else has added it"
    time.clock.advance(100)
    assert [each.action for each in told][2:] == ["quarantine-ended"]


def test_an_entry_is_lifted_once(time: Time) -> None:
    """The event has who has done so; what has run out cannot be lifted any more."""
    values = time.values()
    told = listening(values, time.clock)
    entry = time.entry()
    values.hold(entry)
    assert values.lift(entry.key, "x", "root (uid 0)") == entry
    assert values.lift(entry.key, "x", "root (uid 0)") is None
    assert told[1:] == [Happened("quarantine-lifted", "root (uid 0)", entry)]
    assert len(values) == 0
    assert values.keys == frozenset()


@pytest.mark.parametrize("jump", [-1e9, -3600.0, 3600.0, 1e9])
def test_a_date_that_is_set_changes_no_time(time: Time, jump: float) -> None:
    """What is to last a minute lasts a minute, and its dates are told by the new date."""
    values = time.values()
    listening(values, time.clock)
    values.hold(time.entry(seconds=60))
    time.date += jump
    time.clock.advance(30)
    (entry,) = values.entries()
    assert entry.until == pytest.approx(time.now() + 30)
    assert values.find(entry.key, "x") == entry
    time.clock.advance(31)
    assert values.find(entry.key, "x") is None


def test_what_one_holds_is_shared_once(time: Time) -> None:
    """What another node has told is not told back."""
    values = time.values()
    shared: list[tuple[Entry | None, str, str, str]] = []
    values.share = lambda *what: shared.append(what)
    entry = time.entry()
    values.hold(entry)
    values.hold(entry)
    values.merge(time.entry("y"))
    values.unmerge(entry.key, "y", "root")
    values.lift(entry.key, "x", "root")
    values.lift(entry.key, "x", "root")
    assert shared == [(entry, entry.key, "x", RULE), (None, entry.key, "x", "root")]


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "address", "found"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.77/24", "192.0.2.1", True),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("192.0.2.0/24", "::ffff:192.0.2.9", True),
        ("::ffff:192.0.2.0/120", "192.0.2.9", True),
        ("2001:db8::/64", "2001:db8::1", True),
        ("2001:db8::/64", "2001:DB8:0:0:1::", True),
        ("2001:db8::/64", "2001:db8:0:1::1", False),
        ("2001:db8::/64", "2001:db8::/80", True),
        ("2001:db8::/64", "2001:db8::/48", False),
        ("2001:db8::/64", "unknown", False),
        ("2001:db8::/64", "", False),
        ("192.0.2.0/24", "192.0.2.1%eth0", False),
    ],
)
def test_an_address_is_held_by_its_network(time: Time, held: str, address: str, found: bool) -> None:
    """Of IPv4 and IPv6, however they are written."""
    values = time.values()
    values.hold(time.entry(held, key="ip"))
    assert (values.find("ip", address) is not None) == found
    (entry,) = values.entries()
    assert values.lift("ip", held, "root") == entry
    assert values.find("ip", address) is None


def test_of_several_networks_the_last_to_end_holds(time: Time) -> None:
    """Whichever is the longer prefix."""
    values = time.values()
    values.hold(time.entry("192.0.2.0/24", 90, "ip"))
    values.hold(time.entry("192.0.2.7", 60, "ip"))
    values.hold(time.entry("192.0.0.0/16", 30, "ip"))
    found = values.find("ip", "192.0.2.7")
    assert found is not None
    assert found.value == "192.0.2.0/24"


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_there_are_never_more_than_may_be(time: Time) -> None:
    """The one that ends soonest makes room, and that is an event, once a minute."""
    values = time.values(10)
    told = listening(values, time.clock)
    for number in range(15):
        values.hold(time.entry(str(number), 60 + number))
    assert sorted(int(each.value) for each in values.entries()) == [*range(5, 15)]
    assert [each.action for each in told].count("quarantine-full") == 1
    values.hold(time.entry("sooner", 30))
    assert values.find("header.user-agent", "sooner") is None, "it is the soonest itself"


def test_a_flood_frees_nobody_elses(time: Time) -> None:
    """Whoever makes a rule hold as many values as he likes frees those of that rule, none of a person or another."""
    values = time.values(100)
    values.hold(time.entry("198.51.100.1", 10, "ip", "root (uid 0)"))
    values.hold(time.entry("198.51.100.2", 10, "ip", "rate-limit login"))
    for number in range(1000):
        values.hold(time.entry(str(number), 3600))
    assert len(values) == 100
    assert values.find("ip", "198.51.100.1") is not None
    assert values.find("ip", "198.51.100.2") is not None


def test_what_is_held_and_lifted_again_and_again_is_not_kept(time: Time) -> None:
    """Nor what is prolonged."""
    values = time.values()
    for number in range(10_000):
        values.hold(time.entry(seconds=60 + 2 * number))
        if number % 3 == 0:
            values.lift("header.user-agent", "x", "root")
    assert sum(len(each._ends) for each in values._owners.values()) < 1100


@given(st.lists(st.tuples(st.sampled_from("hlta"), st.integers(0, 9), st.integers(0, 50)), max_size=60))
def test_it_is_what_a_list_of_all_that_was_said_is(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is held, lifted and waited for, in any order."""
    time = Time(0.0)
    values, known = time.values(), dict[str, Entry]()
    listening(values, time.clock)
    for what, number, seconds in steps:
        value, now = str(number), time.now()
        held = known.get(value)
        alive = held is not None and held.until > now
        if what == "h":
            entry = time.entry(value, 2 * seconds)
            values.hold(entry)
            if entry.until > now and not (alive and held is not None and held.until + 1 >= entry.until):
                known[value] = entry
        elif what == "l":
            assert values.lift("header.user-agent", value, "root") == (held if alive else None)
            known.pop(value, None)
        else:
            time.clock.advance(seconds)
        expected = {name: each for name, each in known.items() if each.until > time.now()}
        assert {each.value: each for each in values.entries()} == expected
        assert len(values) == len(expected)
        assert values.keys == ({"header.user-agent"} if expected else set())


# -- the file ----------------------------------------------------------------------------------------------------------


class Disk:
    """A folder, and quarantines that are kept in it one after the other."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.time = Time()
        self.told: list[Happened] = []
        self.values: HeldValues | None = None

    def start(self, most: int = 1000) -> HeldValues:
        """One more."""
        self.values = self.time.values(most)
        self.values.start(reactor, self.folder, self.told.append)
        return self.values

    async def stop(self) -> None:
        """End it."""
        assert self.values is not None
        await self.values.stop()

    def actions(self) -> list[str]:
        """What was told."""
        return [each.action for each in self.told]


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Disk:
    """A folder."""
    return Disk(tmp_path)


async def pause(seconds: float) -> None:
    """Let the reactor run."""
    await deferLater(reactor, seconds, lambda: None)


async def test_entries_outlast_the_process(disk: Disk) -> None:
    """With their ends; the file is the node's own."""
    values = disk.start()
    entries = [disk.time.entry(), disk.time.entry("192.0.2.0/24", math.inf, "ip"), disk.time.entry("\ud800\0'", 5)]
    for entry in entries:
        values.hold(entry)
    values.hold(disk.time.entry("lifted"))
    values.lift("header.user-agent", "lifted", "root")
    await disk.stop()
    assert stat.S_IMODE(disk.path.stat().st_mode) == 0o600
    disk.told.clear()
    disk.time.date += 10
    again = disk.start()
    assert sorted(again.entries(), key=str) == sorted(entries[:2], key=str)
    assert disk.told == [], "nothing has happened"
    await disk.stop()


async def test_the_disk_keeps_each_action_of_a_value(disk: Disk) -> None:
    """And takes out that which has ended."""
    values = disk.start()
    values.hold(evolve(disk.time.entry(seconds=100), action="monitor"))
    values.hold(disk.time.entry(seconds=50))
    await disk.stop()
    again = disk.start()
    assert {each.action for each in again.all("header.user-agent", "x")} == {"block", "monitor"}
    again.lift("header.user-agent", "x", "root")
    await disk.stop()
    assert disk.start().all("header.user-agent", "x") == ()
    await disk.stop()


async def test_an_entry_is_on_the_disk_in_a_moment(disk: Disk) -> None:
    """A node that is killed has kept it; one that has ended, or was lifted, is no more there."""
    values = disk.start()
    values.hold(disk.time.entry())
    values.hold(disk.time.entry("soon", 1))
    await pause(0.4)
    with sqlite3.connect(disk.path) as other:
        assert sorted(other.execute("SELECT value FROM held")) == [("soon",), ("x",)]
    disk.time.clock.advance(2)
    await pause(1.2)
    values.lift("header.user-agent", "x", "root")
    await pause(0.4)
    assert [*other.execute("SELECT value FROM held")] == []
    other.close()
    await disk.stop()


async def test_who_waits_is_told_when_it_is_on_the_disk(disk: Disk) -> None:
    """Of each change that was made before; at once if there is nothing to write."""
    values = disk.start()
    assert values.saved().called
    for number in range(5):
        values.hold(disk.time.entry(str(number)))
        waiting = [values.saved()]
        values.hold(disk.time.entry(f"further {number}"))
        waiting.append(values.saved())
        for each in waiting:
            assert await each
        with sqlite3.connect(disk.path) as other:
            assert [*other.execute("SELECT count(*) FROM held")] == [(2 * number + 2,)]
        other.close()
    values.hold(disk.time.entry("last"))
    first, stopped, second = values.saved(), values.stop(), values.saved()
    await stopped
    assert await first
    assert await second


async def test_who_waits_is_told_if_it_cannot_be_written(disk: Disk) -> None:
    """It is not waited for ever."""
    disk.folder = disk.folder / "nowhere"
    values = disk.start()
    values.hold(disk.time.entry())
    first = values.saved()
    values.hold(disk.time.entry("y"))
    second = values.saved()
    assert not await first
    assert not await second
    await disk.stop()


async def test_a_clock_that_was_set_back_prolongs_nothing(disk: Disk) -> None:
    """An entry lasts no longer after a restart than it was to last from its beginning."""
    disk.start().hold(disk.time.entry(seconds=60))
    await disk.stop()
    disk.time.date -= 1e6
    values = disk.start()
    disk.time.clock.advance(61)
    assert values.find("header.user-agent", "x") is None
    await disk.stop()


async def test_dates_on_the_disk_follow_the_clock(disk: Disk) -> None:
    """What was held by a wrong date is still held after the date was put right, and the node restarted."""
    disk.time.date = 0.0
    values = disk.start()
    values.hold(disk.time.entry(seconds=60))
    disk.time.date = 1.8e9
    assert len([*values.entries()]) == 1
    await disk.stop()
    assert disk.start().find("header.user-agent", "x") is not None
    await disk.stop()


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000, None])
async def test_a_damaged_file_is_put_aside(disk: Disk, damage: bytes | None) -> None:
    """The node begins a new one, and says so; an empty file is as good as none."""
    values = disk.start()
    for number in range(500):
        values.hold(disk.time.entry(str(number)))
    await disk.stop()
    if damage is None:
        data = bytearray(disk.path.read_bytes())
        data[4096:] = os.urandom(len(data) - 4096)
        damage = bytes(data)
    disk.path.write_bytes(damage)
    for _ in range(5):
        values = disk.start()
        values.hold(disk.time.entry("new"))
        await disk.stop()
    assert values.find("header.user-agent", "new") is not None
    unsaved = disk.actions().count("quarantine-unsaved")
    assert unsaved == (1 if damage else 0)
    assert disk.path.with_name(f"{NAME}.damaged").exists() == bool(damage)


async def test_a_file_that_is_damaged_meanwhile_is_written_anew(disk: Disk) -> None:
    """With all that is held."""
    values = disk.start()
    for number in range(500):
        values.hold(disk.time.entry(str(number)))
    await pause(0.5)
    for name in (NAME, f"{NAME}-wal"):
        (disk.folder / name).write_bytes(b"\xff" * 100_000)
    values.hold(disk.time.entry("new"))
    await pause(0.5)
    await disk.stop()
    if "quarantine-unsaved" in disk.actions():
        values = disk.start()
    assert len(values) == 501
    await disk.stop()


@pytest.mark.parametrize("odd", ["folder", "link", "pipe", "others may write", "no folder", "other version"])
async def test_a_file_that_cannot_be_used_is_a_fault_of_its_own(disk: Disk, odd: str) -> None:
    """It is told once; what is held is held in memory."""
    if odd == "folder":
        disk.path.mkdir()
    elif odd == "link":
        disk.path.symlink_to(disk.folder / "elsewhere")
    elif odd == "pipe":
        os.mkfifo(disk.path)
    elif odd == "others may write":
        disk.path.touch()
        disk.path.chmod(0o666)
    elif odd == "no folder":
        disk.folder = disk.folder / "nowhere"
    else:
        with sqlite3.connect(disk.path) as other:
            other.execute("PRAGMA user_version = 7")
        other.close()
    values = disk.start()
    values.hold(disk.time.entry())
    await pause(0.2)
    await disk.stop()
    assert values.find("header.user-agent", "x") is not None
    assert disk.actions() == ["quarantine-unsaved", "quarantine-held"]
    assert not (disk.folder / "elsewhere").exists()


async def test_what_could_not_be_written_is_written_later(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, full: list[bool]
) -> None:
    """A disk that was full is told once, and once that it is not any more; then all is there."""
    monkeypatch.setattr("edgenode.state.saving._RETRY", 0.2)
    values = disk.start()
    values.hold(disk.time.entry("before"))
    await pause(0.3)
    full[0] = True
    for number in range(50):
        values.hold(disk.time.entry(str(number)))
        await pause(0.01)
    values.lift("header.user-agent", "before", "root")
    await pause(0.5)
    full[0] = False
    await pause(0.6)
    with sqlite3.connect(disk.path) as other:
        assert [*other.execute("SELECT count(*) FROM held")] == [(50,)]
    other.close()
    assert disk.actions().count("quarantine-unsaved") == disk.actions().count("quarantine-saved") == 1
    await disk.stop()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the disk is full: then SQLite may not use another page."""
    told, written = [False], QuarantineFile.write

    def write(self: QuarantineFile, *arguments: object) -> None:
        connection = self._opened()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages if told[0] else 1 << 30}")
        if told[0]:
            connection.execute("CREATE TABLE IF NOT EXISTS more (x)")  # needs a page of its own
        written(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(QuarantineFile, "write", write)
    return told


async def test_another_folder_gets_all_that_is_held(disk: Disk) -> None:
    """When a reload has changed it; so does one after there was none."""
    values = disk.time.values()
    values.hold(disk.time.entry("before"))
    values.start(reactor, None, disk.told.append)
    values.start(reactor, disk.folder, disk.told.append)
    values.hold(disk.time.entry())
    other = disk.folder / "other"
    other.mkdir()
    values.start(reactor, other, disk.told.append)
    await values.stop()
    assert len(QuarantineFile(other).read(0.0, 1000)[0]) == 2


async def test_a_stop_and_a_start_at_once_lose_nothing(disk: Disk) -> None:
    """The stop is over at once, and the file stays open."""
    values = disk.start()
    values.hold(disk.time.entry())
    stopped = values.stop()
    values.start(reactor, disk.folder, disk.told.append)
    await stopped
    values.hold(disk.time.entry("y"))
    await pause(0.3)
    await values.stop()
    assert len(QuarantineFile(disk.folder).read(0.0, 1000)[0]) == 2


async def test_dates_that_somebody_has_written_are_looked_at(disk: Disk) -> None:
    """Of what is no entry nothing is believed."""
    good = disk.time.entry()
    file = QuarantineFile(disk.folder)
    far = evolve(good, key="a", value="b", until=math.inf, since=-math.inf)
    file.write({good.identity: good, far.identity: far})
    with sqlite3.connect(disk.path) as other:
        other.execute("INSERT INTO held VALUES ('k', 'v', 'tomorrow', 1, 'me', 'because', 'block')")
        other.execute("INSERT INTO held VALUES ('k', 7, 1e300, 1, 'me', 'because', 'block')")
        other.execute("INSERT INTO held VALUES ('k', 'w', NULL, NULL, 'me', 'because', 'block')")
    other.close()
    file.close()
    assert [*disk.start().entries()] == [good]
    await disk.stop()
