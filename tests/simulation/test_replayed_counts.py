"""``edgenode replay`` of what counts: by the clock of the recording, and not certain where an event lacks something."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import pytest

from edgenode.config.load import Configuration
from edgenode.model.decision import Close, Respond
from edgenode.model.exchange import Address, Body, Connection
from edgenode.observe.event_record import event_line
from edgenode.proxy.event_record import EventRecord
from edgenode.simulation.recorded import Recorded
from edgenode.simulation.replay import Certain, NotCertain, Replayer, Tally, replay
from edgenode.simulation.simulator import Simulator
from tests.support.configurations import changed, write_server
from tests.support.requests import request_of

BASE = "[edge]\nsystem-filters = no\n\n" + changed({"hosts = shop.example": "hosts = www.test"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What a minimal configuration takes."""
    return write_server(tmp_path_factory.mktemp("replayed"), "www.test")


def configured(folder: pathlib.Path, rules: str = "", path_map: str = "") -> Configuration:
    """A configuration with some rules."""
    text = BASE.replace("[path-map all]", f"[path-map all]\n{path_map}")
    return Configuration.from_text(f"{text}\n{rules}", folder)


def events(
    configuration: Configuration,
    requests: Iterable[tuple[float, str]],
    status: int = 200,
    ip: str = "192.0.2.7",
    **fields: str,
) -> list[str]:
    """The events that a node with this configuration writes of requests, each with its second; the origin answers with
    a status and 100 bytes."""
    simulator = Simulator.of(configuration)
    lines = []
    for seconds, target in requests:
        at = 1e9 + seconds
        head = request_of(
            f"GET {target} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())
        )
        connection = Connection(Address(ip, 40000), Address("192.0.2.1", 443), "www.test", "", "TLSv1.3", "x", "y")
        group = simulator.group("public", connection)
        assert group is not None
        client = simulator.client("public", connection, group, at, settled=True)
        judged = simulator.judge(client, head, Body(b"", 0), ip)
        record = EventRecord("public", judged.exchange, at)
        record.decision = judged.decision
        outcome = judged.decision.outcome(judged.exchange)
        if isinstance(outcome, Respond):
            record.status = outcome.response.status
        elif isinstance(outcome, Close):
            record.status = 444
        else:
            record.status, record.tries, record.origin, record.sent = status, 1, "shop", 100
            record.origin_status = status
            for after in judged.decision.after:
                after.responded(status, 100, status)
        lines.append(event_line(record))
    return lines


def verdicts(configuration: Configuration, lines: Iterable[str]) -> list[str]:
    """What a configuration makes of events: the verdict and by what, or what it depends on."""
    replayer = Replayer(configuration)
    found = []
    for line in lines:
        answer = replayer.judge(Recorded.of(line))
        if isinstance(answer, Certain):
            found.append(f"{answer.verdict} {answer.filter}".strip())
        else:
            found.append(f"{' '.join(sorted(answer.missing))}? {' '.join(answer.filters)}")
    return found


OVER = "rate-limit 429 rate-limit few"


def test_limits_are_counted_by_the_clock_of_the_recording(folder: pathlib.Path) -> None:
    """In the order of the file; a window begins with its first request and ends when it would have ended then."""
    lines = events(configured(folder), [(0, "/"), (10, "/"), (20, "/"), (59, "/"), (60, "/"), (61, "/")])
    limited = configured(folder, "[rate-limit few]\nkey = ip\nlimit = 2 per 1m\n")
    assert verdicts(limited, lines) == ["forward", "forward", OVER, OVER, "forward", "forward"]


def test_what_was_recorded_with_a_limit_is_the_same(folder: pathlib.Path) -> None:
    """Each event against its configuration, and the configuration against itself."""
    rules = """
[section one]
path = ^/1$
[section two]
path = ^/2$
[flow pair]
steps = one, two
within = 30s
[rate-limit few]
key = ip
limit = 3 per 1m
[dynamic-rule many]
limit = 5 per 1m
hold = 2m
[acl-profile lists]
deny = flow:pair
"""
    configuration = configured(folder, rules, "acl-profile = lists")
    times = [
        (0, "/1"),
        (5, "/2"),
        (6, "/"),
        (7, "/"),
        (61, "/2"),
        (62, "/1"),
        (63, "/"),
        (64, "/"),
        (65, "/"),
        (66, "/"),
    ]
    lines = events(configuration, [*times, (100, "/"), (190, "/")])
    tally = Tally(3)
    replay(iter(enumerate(lines, 1)), Replayer(configuration), None, tally)
    replay(iter(enumerate(lines, 1)), Replayer(configuration), Replayer(configuration), tally)
    told = tally.told()
    assert (told["same"], told["changed"], told["not_certain"]) == (24, [], [])
    recorded = [str(Recorded.of(line).verdict) for line in lines]
    assert recorded[1] == "block 403"
    assert recorded[-2:] == ["block 403", "forward"]  # in quarantine, and out of it again
    assert "rate-limit 429" in recorded


def test_a_clock_that_went_back_does_no_harm(folder: pathlib.Path) -> None:
    """Events of one moment come in the order in which they were written, which need not be that of their times."""
    lines = events(configured(folder), [(30, "/"), (10, "/"), (20, "/")])
    limited = configured(folder, "[rate-limit few]\nkey = ip\nlimit = 2 per 1m\n")
    assert verdicts(limited, lines) == ["forward", "forward", OVER]


def test_answers_are_counted_as_they_were(folder: pathlib.Path) -> None:
    """By their status and their bytes; a request that was not forwarded then has no answer."""
    failing = "[rate-limit few]\nkey = ip\ncount = status >= 500\nlimit = 2 per 1m\n"
    asked = [(0, "/"), (1, "/"), (2, "/"), (3, "/")]
    assert verdicts(configured(folder, failing), events(configured(folder), asked, 503)) == [
        "forward", "forward", OVER, OVER,
    ]  # fmt: skip
    assert verdicts(configured(folder, failing), events(configured(folder), asked, 200)) == ["forward"] * 4
    sending = "[rate-limit few]\nkey = ip\ncount = bytes\nlimit = 150 per 1m\n"
    assert verdicts(configured(folder, sending), events(configured(folder), asked)) == [
        "forward",
        "forward",
        OVER,
        OVER,
    ]
    refusing = configured(folder, "[global-filter all]\npath = ^/$\naction = block\n")
    missing = "the answer of the origin? rate-limit few"
    assert verdicts(configured(folder, failing), events(refusing, asked)) == ["forward", *[missing] * 3]


def test_a_key_that_no_event_has_makes_verdicts_uncertain(folder: pathlib.Path) -> None:
    """Also those of other requests in the window, which it may have counted together; not what it does not count."""
    lines = events(configured(folder), [(0, "/"), (1, "/a"), (2, "/a")])
    by_header = "[rate-limit few]\nkey = header.x-id\nlimit = 1 per 1m\n"
    missing = "header x-id? rate-limit few"
    assert verdicts(configured(folder, by_header), lines) == [missing] * 3
    monitoring = by_header.replace("1 per 1m", "1 per 1m noted") + "[action noted]\ntype = monitor\n"
    assert verdicts(configured(folder, monitoring), lines) == ["forward"] * 3
    inactive = by_header.replace("key", "active = no\nkey")
    assert verdicts(configured(folder, inactive), lines) == ["forward"] * 3
    of_others = f"{by_header}include = a\n[global-filter a]\npath = ^/a$\ntags = a\n"
    assert verdicts(configured(folder, of_others), lines) == ["forward", missing, missing]
    known = f"{by_header}".replace("x-id", "user-agent")
    recorded = events(configured(folder), [(0, "/"), (1, "/")], user_agent="x")
    assert verdicts(configured(folder, known), recorded) == ["forward", OVER]


def test_a_filter_that_is_not_certain_makes_counts_uncertain(folder: pathlib.Path) -> None:
    """If its tag is included or excluded, or in a list; until the window is over."""
    lines = events(configured(folder), [(0, "/"), (1, "/x"), (70, "/x")])
    tagging = "[global-filter hats]\nheader.x-hat = red\npath = ^/$\ntags = hat\n"
    limit = "[rate-limit few]\nkey = ip\nlimit = 1 per 1m\n"
    unsure = "header x-hat? rate-limit few"
    excluded = configured(folder, f"{tagging}{limit}exclude = hat\n")
    assert verdicts(excluded, lines) == [unsure, unsure, "forward"]
    listed = configured(folder, f"{tagging}[acl-profile p]\ndeny = hat\n", "acl-profile = p")
    assert verdicts(listed, lines) == ["header x-hat? acl-profile p", "forward", "forward"]
    blocking = configured(folder, f"{tagging}action = block\n{limit}")
    assert verdicts(blocking, lines) == ["header x-hat? hats", unsure, "forward"]


def test_a_flow_that_is_not_certain_makes_its_users_uncertain(folder: pathlib.Path) -> None:
    """Nobody else: a flow refuses nobody."""
    lines = events(configured(folder), [(0, "/1"), (1, "/2")])
    flow = "[section one]\npath = ^/1$\nheader.x-hat = red\n[section two]\npath = ^/2$\n[flow pair]\nsteps = one, two\n"
    assert verdicts(configured(folder, flow), lines) == ["forward", "forward"]
    profile = configured(folder, f"{flow}[acl-profile p]\ndeny = flow:pair\n", "acl-profile = p")
    assert verdicts(profile, lines)[1] == "header x-hat? acl-profile p"
    certain = flow.replace("header.x-hat = red\n", "")
    profile = configured(folder, f"{certain}[acl-profile p]\ndeny = flow:pair\n", "acl-profile = p")
    assert verdicts(profile, lines) == ["forward", "block 403 acl-profile p"]


def test_a_challenge_is_certain_only_if_it_was_one(folder: pathlib.Path) -> None:
    """Nobody knows whether the client would have solved it, or had done so."""
    challenging = configured(folder, "[acl-profile p]\ndeny-bot = all\n", "acl-profile = p")
    lines = events(configured(folder), [(0, "/")])
    assert verdicts(challenging, lines) == ["the solution of a challenge? acl-profile p"]
    assert verdicts(challenging, events(challenging, [(0, "/")])) == ["challenge 403 acl-profile p"]
    filters = (
        "[global-filter b]\ntag = bot\naction = challenge\n[global-filter h]\ntag = human\npath = ^/x\naction = block\n"
    )
    challenging = configured(folder, filters)
    assert verdicts(challenging, events(configured(folder), [(0, "/"), (1, "/x")])) == [
        "the solution of a challenge? b",
        "the solution of a challenge? b h",
    ]
    assert verdicts(challenging, events(challenging, [(0, "/"), (1, "/x")])) == ["challenge 403 b", "challenge 403 b"]
    harmless = configured(folder, f"{filters}[global-filter c]\naction = block\npath = ^/\n")
    assert verdicts(harmless, events(configured(folder), [(0, "/")])) == ["block 403 c"]


def test_two_configurations_count_each_for_itself(folder: pathlib.Path) -> None:
    """The difference is told by the section that made it."""
    lines = events(configured(folder), [(0, "/"), (1, "/"), (2, "/")])
    loose, strict = (configured(folder, f"[rate-limit few]\nkey = ip\nlimit = {most} per 1m\n") for most in (2, 1))
    tally = Tally(0)
    replay(iter(enumerate(lines, 1)), Replayer(loose), Replayer(strict), tally)
    told = tally.told()
    assert told["same"] == 2
    (only,) = told["changed"]
    assert (only["before"], only["after"], only["filters"]) == ("forward", "rate-limit 429", "rate-limit few")


def test_uncertain_is_what_it_says(folder: pathlib.Path) -> None:
    """The answer has what is missing, and the headers of the sections that need it."""
    limited = configured(folder, "[rate-limit few]\nkey = header.x-id\nlimit = 1 per 1m\n")
    (line,) = events(configured(folder), [(0, "/")])
    answer = Replayer(limited).judge(Recorded.of(line))
    assert answer == NotCertain(frozenset(("header x-id",)), ("rate-limit few",))
