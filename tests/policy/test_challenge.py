"""Challenges: tokens that are good for one client alone, who is human, and what everybody else is answered."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from edgenode.model.decision import FORWARD, NOTHING, Action, Decision, Respond
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Response
from edgenode.model.settings import Seconds, Word
from edgenode.policy import challenge_page
from edgenode.policy.actions import PREDEFINED, ActionSection, Block
from edgenode.policy.challenge import PASSED, Challenge, Challenges, ChallengeSection, Passed, armed
from edgenode.policy.challenge_tokens import Keys, Tokens, network
from edgenode.policy.escaping import HeaderField
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.ratelimits import RateLimit
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.policy.tagging import MESSAGE
from edgenode.policy.templates import Template
from edgenode.policy.thresholds import Threshold
from edgenode.rules.categories import entry
from edgenode.state.interface import Entry
from edgenode.state.memory import MemoryState
from edgenode.testing.exchanges import exchange_of
from tests.support.challenges import NAME, solution, solved
from tests.support.strategies import CONNECTION

HTML = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
AGENT = "Mozilla/5.0 (test)"
NOW = 1_800_000_000.0
KEYS = Keys.of((b"s" * 32, b"t" * 40))
TOKENS = Tokens(KEYS, 8, 3600.0)
CHALLENGE = armed(PREDEFINED["challenge"], TOKENS)

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
agents = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)


def asking(
    *headers: tuple[str, str], host: str = "www.test", address: str = "192.0.2.7", at: float = NOW, method: str = "GET"
) -> Exchange:
    """A request, as a browser would send it but for what is said otherwise."""
    fields = (("user-agent", AGENT), *headers)
    exchange = exchange_of(method, f"https://{host}/x", fields, address=address)
    exchange.time = at
    return exchange


def answered(exchange: Exchange, action: Any = CHALLENGE) -> Response:
    """What it is answered."""
    outcome = action.outcome(exchange)
    assert isinstance(outcome, Respond)
    return outcome.response


def cookie(tokens: Tokens = TOKENS, **request: Any) -> str:
    """A solution of the challenge that such a request gets."""
    return solution(tokens.issue(asking(**request)).decode(), tokens.difficulty)


# -- tokens ------------------------------------------------------------------------------------------------------------


def agent_of(exchange: Exchange, agent: str) -> Exchange:
    """The same request of another program, whatever its name."""
    request = exchange.request
    assert request is not None
    fields = {**request.fields, b"user-agent": (agent.encode("latin-1"),)}
    return evolve(exchange, request=evolve(request, fields=fields))


@given(addresses, agents, hosts, st.integers(0, 3599), st.integers(0, 10))
def test_a_solution_is_good_for_who_was_challenged(
    address: str, agent: str, host: str, later: int, difficulty: int
) -> None:
    """From then on until its time is over, with the same address, agent and host."""
    tokens = Tokens(KEYS, difficulty, 3600.0)
    exchange = agent_of(asking(host=host, address=address), agent)
    found = solution(tokens.issue(exchange).decode(), difficulty).encode()
    assert tokens.fault(found, evolve(exchange, time=NOW + later)) == ""


@given(addresses, addresses, agents, agents, hosts, hosts)
def test_a_solution_is_good_for_nobody_else(
    address: str, other: str, agent: str, another: str, host: str, elsewhere: str
) -> None:
    """Each of the things that it is bound to, changed alone, makes it void."""
    assume(network(address) != network(other) and agent != another and host != elsewhere)
    tokens = Tokens(KEYS, 4, 3600.0)
    exchange = agent_of(asking(host=host, address=address), agent)
    found = solution(tokens.issue(exchange).decode(), 4).encode()
    assert tokens.fault(found, exchange) == ""
    for changed in (
        evolve(exchange, client=other),
        agent_of(exchange, another),
        agent_of(asking(host=elsewhere, address=address), agent),
    ):
        assert tokens.fault(found, changed) == "issued to another network, agent or host"


@given(st.integers(0, 90), st.binary(min_size=1, max_size=1))
def test_a_changed_solution_is_none(place: int, byte: bytes) -> None:
    """Whatever byte of it is another; one of the counter only by chance."""
    found = cookie().encode()
    assume(place < len(found) and found[place : place + 1] != byte)
    changed = found[:place] + byte + found[place + 1 :]
    in_counter = place > found.rindex(b".")
    fault = TOKENS.fault(changed, asking())
    assert fault or (in_counter and int(sha256(changed).hexdigest(), 16) >> 248 == 0)


@given(st.binary(max_size=200))
def test_what_anybody_may_send_is_no_solution(data: bytes) -> None:
    """Nothing raises."""
    assert TOKENS.fault(data, asking())


@pytest.mark.parametrize(
    ("tokens", "at", "fault"),
    [
        (TOKENS, NOW + 3599, ""),
        (TOKENS, NOW + 3600, "expired"),
        (TOKENS, NOW - 59, ""),
        (TOKENS, NOW - 61, "of a time to come"),
        (TOKENS, 0.0, "of a time that nobody knows"),
        (evolve(TOKENS, lifetime=60.0), NOW + 60, "expired"),
        (evolve(TOKENS, difficulty=7), NOW, ""),
        (evolve(TOKENS, difficulty=9), NOW, "easier than is asked for now"),
        (evolve(TOKENS, keys=Keys.of((b"t" * 40, b"s" * 32))), NOW, ""),
        (evolve(TOKENS, keys=Keys.of((b"t" * 40,))), NOW, "signed with a key that is not accepted"),
        (evolve(TOKENS, keys=Keys.of((b"u" * 32, b"s" * 32))), NOW, ""),
    ],
)
def test_what_holds_now_is_what_counts(tokens: Tokens, at: float, fault: str) -> None:
    """A solution lives as long as is configured when it is shown, with keys that are accepted then, and never if it was
    easier than what is asked for now."""
    assert tokens.fault(cookie().encode(), asking(at=at)) == fault


def test_a_token_alone_is_no_solution() -> None:
    """The work has to be done: a counter that does not solve it is refused, though all else is right."""
    token = TOKENS.issue(asking())
    faults = [TOKENS.fault(b"%b.%d" % (token, number), asking()) for number in range(64)]
    assert set(faults) <= {"not solved", ""}
    assert "not solved" in faults
    assert TOKENS.fault(token, asking()) == "malformed"


@given(st.integers(8, 12), st.integers(1, 12))
def test_the_difficulty_cannot_be_lowered(difficulty: int, lower: int) -> None:
    """It is signed with the rest."""
    tokens = Tokens(KEYS, difficulty, 3600.0)
    token = tokens.issue(asking()).decode()
    easier = token.replace(f".{difficulty}.", f".{min(lower, difficulty - 1)}.")
    eased = evolve(tokens, difficulty=1)
    assert eased.fault(solution(easier, 1).encode(), asking())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:0:100::1", "2001:db8:0:1ff:2::9", True),
        ("2001:db8:0:100::1", "2001:db8:0:200::1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("unknown", "unknown", True),
        ("unknown", "192.0.2.1", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_addresses_of_one_network_are_one_client(one: str, other: str, same: bool) -> None:
    """The /24 of IPv4, the /56 of IPv6; who is not known is nobody else."""
    assert (network(one) == network(other)) is same


@pytest.mark.parametrize("secrets", [(), (b"",), (b"x" * 31,), (b"x" * 32, b"short")])
def test_a_secret_that_can_be_guessed_is_none(secrets: tuple[bytes, ...]) -> None:
    """Who guesses it signs tokens without difficulty."""
    with pytest.raises(InvalidValue):
        Keys.of(secrets)


def test_keys_do_not_show_themselves() -> None:
    """Neither in a log nor in a failure."""
    assert "sss" not in repr(TOKENS)


# -- who is human ------------------------------------------------------------------------------------------------------

STAGE = Challenges(TOKENS)


def judged(*headers: tuple[str, str]) -> Decision:
    """What the stage says."""
    return STAGE.decide(asking(*headers))


def test_who_has_solved_one_is_human() -> None:
    """Also beside other cookies, and in a second field of them."""
    good = f"{NAME}={cookie()}"
    for headers in (
        [("cookie", good)],
        [("cookie", f"a=b; {good}; c=d")],
        [("cookie", "a=b"), ("cookie", good)],
        [("cookie", f"{NAME}=x; {good}")],
    ):
        assert judged(*headers).tags == {"human"}


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", ""),
        ("a=b", ""),
        (f"x{NAME}={{}}", ""),
        (f"{NAME.lower()}={{}}", ""),
        (f"{NAME}x={{}}", ""),
        (f'{NAME}="{{}}"', "cookie: malformed"),
        (f"{NAME}=", "cookie: malformed"),
        (NAME, "cookie: malformed"),
        ("; ".join([f"{NAME}=x"] * 4 + [f"{NAME}={{}}"]), "cookie: malformed"),
    ],
)
def test_everybody_else_is_a_bot(written: str, why: str) -> None:
    """A solution under another name, or behind many that are none, is not judged; a fault is a reason."""
    found = judged(("cookie", written.format(cookie())))
    assert found.tags == {"bot"}
    assert [reason.entry for reason in found.reasons] == ([why] if why else [])
    assert judged().tags == {"bot"}
    assert STAGE.decide(Exchange(CONNECTION)).tags == {"bot"}


def test_a_message_is_its_handshakes() -> None:
    """A WebSocket goes on when the time of a solution is over."""
    late = evolve(asking(at=NOW + 10**6), tags=frozenset(("human", MESSAGE)))
    assert STAGE.decide(late) is NOTHING
    assert STAGE.decide(evolve(late, tags=frozenset(("bot", MESSAGE)))) is NOTHING
    assert STAGE.decide(evolve(late, tags=frozenset((MESSAGE,)))).tags == {"bot"}


def test_no_filter_makes_a_client_human() -> None:
    """The tag is the node's alone, in every place that can set one; that of bots is anybody's."""
    with pytest.raises(InvalidValue, match="set by the node alone"):
        GlobalFilter(tags=(Word("human"),), entries=(entry("path", "^/"),))
    GlobalFilter(tags=(Word("bot"), Word("bot:search"), Word("human:maybe")), entries=(entry("path", "^/"),))


# -- what is answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers", "kind"),
    [
        ("GET", [HTML], b"text/html; charset=utf-8"),
        ("GET", [HTML, ("sec-fetch-mode", "navigate")], b"text/html; charset=utf-8"),
        ("GET", [("accept", "application/json"), ("accept", "TEXT/HTML")], b"text/html; charset=utf-8"),
        ("HEAD", [HTML], b"text/html; charset=utf-8"),
        ("POST", [HTML], b"text/html; charset=utf-8"),
        ("GET", [], b"application/problem+json"),
        ("GET", [("accept", "*/*")], b"application/problem+json"),
        ("GET", [("accept", "text/htmlx, text/*")], b"application/problem+json"),
        ("GET", [("accept", "text/html;q=0, application/json")], b"application/problem+json"),
        ("GET", [("accept", "text/html; q=0.000")], b"application/problem+json"),
        ("GET", [("accept", "text/html; q=0.001")], b"text/html; charset=utf-8"),
        ("GET", [HTML, ("sec-fetch-mode", "cors")], b"application/problem+json"),
        ("GET", [("sec-websocket-key", "x")], b"application/problem+json"),
        ("GET", [HTML, ("sec-websocket-key", "x")], b"application/problem+json"),
        ("OPTIONS", [("access-control-request-method", "PUT"), ("accept", "*/*")], b"application/problem+json"),
        ("PUT", [HTML], b"application/problem+json"),
    ],
)
def test_who_shows_pages_gets_one_and_others_are_told(method: str, headers: list[tuple[str, str]], kind: bytes) -> None:
    """Never with a status that says that all is well, and never from a cache."""
    response = answered(asking(*headers, method=method))
    fields = dict(response.headers)
    assert response.status == 403
    assert fields[b"content-type"] == kind
    assert fields[b"cache-control"] == b"no-store"
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert (b"content-security-policy" in fields) is (b"html" in kind)
    if b"json" in kind:
        problem = json.loads(response.body)
        assert (problem["status"], problem["type"]) == (403, "urn:edgenode:problem:challenge")
        assert NAME in problem["detail"]
        assert "3600 seconds" in problem["detail"]
        assert b"1.%b." % KEYS.signing not in response.body, "no token for who does not run the page"


def test_a_call_of_grpc_is_told_in_words() -> None:
    """That is what its status can carry."""
    exchange = asking(HTML, ("content-type", "application/grpc"), method="POST")
    assert exchange.request is not None
    exchange.request.version = (2, 0)
    assert answered(exchange).body == b"A challenge has to be solved, by a browser.\n"


def test_a_page_is_solved_by_who_computes() -> None:
    """And the request passes with the cookie, and only then."""
    exchange = asking(HTML)
    again = asking(HTML, ("cookie", solved(answered(exchange).body)))
    assert STAGE.decide(again).tags == {"human"}
    assert CHALLENGE.outcome(again.tagged(("human",))) is FORWARD


def test_an_action_can_set_headers() -> None:
    """Such as one by which scripts of the site know what has happened to them."""
    section = ActionSection(type="challenge", headers=(HeaderField("x-mitigated", Template.from_text("challenge")),))
    action = armed(section.action("mine"), TOKENS)
    for exchange in (asking(HTML), asking()):
        assert (b"x-mitigated", b"challenge") in answered(exchange, action).headers


def test_a_challenge_without_keys_refuses() -> None:
    """It fails, and what fails is answered with 503 and not forwarded."""
    with pytest.raises(ValueError, match="without keys"):
        PREDEFINED["challenge"].outcome(asking())


@pytest.mark.parametrize("lifetime", [59.0, 30 * 86400.0 + 1])
def test_a_solution_is_good_for_a_minute_to_a_month(lifetime: float) -> None:
    """Else nobody gets in, or everybody stays."""
    with pytest.raises(InvalidValue) as caught:
        ChallengeSection(lifetime=Seconds(lifetime))
    assert caught.value.which == "lifetime"


# -- among other actions -----------------------------------------------------------------------------------------------

FILTERS = {
    "asks": GlobalFilter(entries=(entry("path", "^/"),), action="challenge"),
    "seen": GlobalFilter(entries=(entry("path", "^/"),), action="mark"),
    "human": GlobalFilter(entries=(entry("tag", "human"),), tags=(Word("let-in"),)),
}


def decided(exchange: Exchange, filters: dict[str, GlobalFilter], **actions: ActionSection) -> Decision:
    """What a pipeline decides."""
    known = {**PREDEFINED, **{name: section.action(name) for name, section in actions.items()}}
    rules = Rules({}, filters, actions={name: armed(action, TOKENS) for name, action in known.items()}, tokens=TOKENS)
    decision = pipeline_of(compiled(rules)).decide(exchange)
    assert isinstance(decision, Decision)
    return decision


def human() -> Exchange:
    """A request with a good solution."""
    return asking(HTML, ("cookie", f"{NAME}={cookie()}"))


def test_a_human_passes_as_if_it_were_monitoring() -> None:
    """The reason says why; the tag is there for filters; and no action is stronger than monitoring but what blocks."""
    marked = ActionSection(type="monitor", priority=101)
    bot, passed = decided(asking(HTML), FILTERS, mark=marked), decided(human(), FILTERS, mark=marked)
    assert {"bot", "action:challenge"} <= bot.tags
    assert "let-in" not in bot.tags
    assert isinstance(bot.action, Challenge)
    assert {"human", "let-in", "action:mark"} <= passed.tags
    assert passed.action is not None
    assert passed.action.name == "mark"
    assert [why.annotation for why in passed.reasons if why.action == "challenge"] == [PASSED]
    assert [why.annotation for why in bot.reasons if why.action == "challenge"] == [""]


@pytest.mark.parametrize("priority", [None, 1000])
def test_a_solved_challenge_shields_nobody(priority: int | None) -> None:
    """Strong as it may be, what refuses a human's request is stronger."""
    filters = {
        "asks": GlobalFilter(entries=(entry("path", "^/"),), action="hard"),
        "no": GlobalFilter(entries=(entry("path", "^/"),), action="block"),
    }
    decision = decided(human(), filters, hard=ActionSection(type="challenge", priority=priority))
    assert decision.action is not None
    assert decision.action.name == "block"


@pytest.mark.parametrize("by", ["limit", "quarantine"])
def test_a_human_passes_what_counts_and_what_is_held(by: str) -> None:
    """Where that asks for a challenge, as strong as it may be; and what refuses besides is stronger."""
    state = MemoryState(lambda: NOW, lambda: NOW)
    hard = armed(ActionSection(type="challenge", priority=1000).action("hard"), TOKENS)
    limits = {
        "asks": RateLimit(limit=(Threshold.from_text("0 per 1m hard"),), active=by == "limit"),
        "no": RateLimit(limit=(Threshold.from_text("2 per 1m block"),)),
    }
    if by == "quarantine":
        state.quarantine.hold(Entry("ip", "192.0.2.0/24", NOW + 60, NOW, "root", "a test", "hard"))
    rules = Rules(rate_limits=limits, actions={**PREDEFINED, "hard": hard}, tokens=TOKENS)
    pipeline = pipeline_of(compiled(rules), selection=Selection(state))

    def action(exchange: Exchange) -> Action | None:
        decision = pipeline.decide(exchange)
        assert isinstance(decision, Decision)
        assert not isinstance(decision.action, Passed) or PASSED in str(decision.reasons)
        return decision.action

    assert action(asking(HTML)) == hard
    assert isinstance(action(human()), Passed)
    assert isinstance(action(human()), Block)


def test_it_lets_humans_pass_where_no_stage_has_told_who_is() -> None:
    """An operator may hold a value in quarantine by an action that no section names."""
    assert CHALLENGE.outcome(human()) is FORWARD


def test_a_stage_that_has_nothing_to_judge_is_in_no_pipeline() -> None:
    """Where nothing can ask for a challenge, nobody is told apart."""
    pipeline = pipeline_of(compiled(Rules({}, {"all": GlobalFilter(entries=(entry("path", "^/"),))})))
    assert "challenge" not in [stage.name for stage in pipeline.stages]


# -- the page ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements of a page, each with its attributes and its text."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.open = False
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One begins."""
        self.elements.append((tag, dict(attrs), []))
        self.open = True

    def handle_endtag(self, tag: str) -> None:
        """One ends, or the last within it has."""
        self.open = False

    def handle_data(self, data: str) -> None:
        """Its text."""
        if self.open:
            self.elements[-1][2].append(data)

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """Those of a name."""
        return [(attributes, "".join(text)) for name, attributes, text in self.elements if name == tag]


def shown(**request: Any) -> Page:
    """The page of a request."""
    return Page(answered(asking(HTML, **request)).body)


def test_the_page_is_small_and_loads_nothing() -> None:
    """Its policy allows what stands in it, by its hash, and nothing else."""
    response = answered(asking(HTML))
    assert len(response.body) < 20_000
    policy = dict(response.headers)[b"content-security-policy"].decode()
    page = Page(response.body)
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        ((attributes, text),) = page.of(tag)
        assert not attributes
        assert f"{directive} 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}';" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.search(rb"https?:|src=|href=|@import|url\(|eval|[ ]on[a-z]+=\"", response.body)
    assert "unsafe" not in policy


def test_the_page_is_for_everybody() -> None:
    """WCAG 2.2: its language, a title, a status that is read out, a name for the bar, and what is missing in words."""
    page = shown()
    assert page.of("html")[0][0]["lang"] == "en"
    assert page.of("title")[0][1] == "Checking your browser"
    assert page.of("meta")[1][0]["content"] == "width=device-width, initial-scale=1"
    (status,) = [attributes for _, attributes, _ in page.elements if attributes.get("id") == "status"]
    assert (status["role"], status["aria-live"]) == ("status", "polite")
    assert page.of("progress")[0][0]["aria-label"]
    assert page.of("strong")[0][1] == "JavaScript is switched off."
    style = page.of("style")[0][1]
    assert "prefers-color-scheme: dark" in style
    assert "prefers-reduced-motion: reduce" in style


def luminance(colour: str) -> float:
    """The relative luminance of ``rgb`` or ``rrggbb`` (WCAG 2.2)."""
    digits = len(colour) // 3
    parts = [int(colour[place : place + digits] * (2 // digits), 16) / 255 for place in range(0, len(colour), digits)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: str, other: str) -> float:
    """The ratio of two colours (WCAG 2.2, 1.4.3)."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_the_colours_can_be_told_apart() -> None:
    """In light and in dark: 4.5 for text, 3 for what is no text."""
    schemes = re.findall(
        r":root \{[^}]*--text: #(\w+); --ground: #(\w+); --line: #(\w+); --accent: #(\w+)", challenge_page._STYLE
    )
    assert len(schemes) == 2
    for text, ground, line, accent in schemes:
        assert contrast(text, ground) > 7
        assert contrast(line, ground) > 4.5
        assert contrast(accent, ground) > 4.5


def test_what_was_sent_is_not_sent_twice_by_itself() -> None:
    """After a form the page says so, and leaves it to the reader."""
    pages = {method: shown(method=method) for method in ("GET", "HEAD", "POST")}
    assert {method: page.of("main")[0][0]["data-repeat"] for method, page in pages.items()} == {
        "GET": "yes",
        "HEAD": "yes",
        "POST": "no",
    }
    assert "has not been passed on" in "".join(text for _, text in pages["POST"].of("p"))


def test_what_a_client_sends_does_not_stand_in_the_page() -> None:
    """But its identifier, which a trusted proxy may have given."""
    exchange = asking(HTML, ("x", "<script>"), host="evil.test")
    exchange.identifier = b'"><script>x'
    body = answered(exchange).body
    assert b"evil" not in body
    assert b"&quot;&gt;&lt;script&gt;x" in body
    assert body.count(b"<script>") == 1
