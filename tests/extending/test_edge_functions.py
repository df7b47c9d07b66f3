"""Edge functions of a module of one's own: what the commands say of them, before and beside a node."""

from __future__ import annotations

import json

import pytest

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.errors import ConfigurationError
from edgenode.testing import exchange_of
from tests.extending.conftest import Outside
from tests.extending.test_extensions import explained
from tests.simulation.test_replay import event
from tests.support.configurations import MINIMAL

MODULE = """
from attrs import frozen
from edgenode import Exchange, FunctionResult, OriginResponse, Response, setting

@frozen
class Keys:
    user: str = setting("The user.")

def signed(exchange: Exchange, keys: Keys) -> FunctionResult | None:
    if exchange.request.method == b"POST":
        return FunctionResult(answer=Response(401, (), b"no"), reason="no signature")
    return FunctionResult(tags={"signed"}, headers=((b"x-user", keys.user.encode()),), remove=(b"x-key",),
                          origin="canary")

def keyed(exchange: Exchange) -> FunctionResult | None:
    return FunctionResult(tags={"keyed"}) if b"x-key" in exchange.request.fields else None

async def seen(exchange: Exchange, response: OriginResponse) -> FunctionResult | None:
    return None

broken = 1 / 0 if __name__ == "broken" else 0
"""
OWN = """
[origin canary]
servers = http://127.0.0.1:8081

[edge-function signature]
function = signing:signed
point = request-before
origins = canary
user = ann

[edge-function leaks]
function = signing:seen
point = response-after
"""
NAMED = MINIMAL.replace("origin = shop\n", "origin = shop\nedge-functions = signature leaks\n")


@pytest.fixture
def signing(outside: Outside) -> Outside:
    """A folder where the module is found."""
    return outside.declaring("signing", MODULE, "[edgenode.edge_functions]\nkeyed = signing:keyed\n")


def written(outside: Outside, text: str) -> str:
    """Write a configuration: the name of the file."""
    (outside.folder / "node.ini").write_text(text)
    return "node.ini"


def test_explain_asks_those_of_requests_and_names_those_of_answers(signing: Outside) -> None:
    """What they have said stands with the other stages, and what becomes of the request."""
    ini = written(signing, NAMED + OWN)
    told = explained(signing, ini, "-H", "X-Key: 1")
    stage = told["stages"][1]
    assert (stage["stage"], stage["became"]) == ("edge-function signature", "asked")
    assert stage["reasons"][0]["entry"] == "set x-user, remove x-key, origin canary"
    assert {"tag": "signed", "from": "stage", "name": "edge-function signature"} in told["tags"]
    outcome = told["outcome"]
    assert (outcome["kind"], outcome["origin"], outcome["removed"]) == ("forward", "canary", ["x-key"])
    assert ["x-user", "ann"] in outcome["headers"]
    assert told["answers"] == ["edge-function leaks"]
    text = signing.run("explain", ini, "https://shop.example/")
    for line in ("origin canary, in place of the path map's", "without x-key", "x-user: ann",
                 "its answer would be judged by: edge-function leaks"):  # fmt: skip
        assert f"\n  {line}\n" in text
    refused = explained(signing, ini, "-X", "POST")
    assert (refused["outcome"]["status"], refused["actions"][0]["action"]) == (401, "answer")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("signing:nothing", "module 'signing' has no attribute 'nothing'"),
        ("nowhere:signed", "No module named 'nowhere'"),
        ("broken:broken", "ZeroDivisionError"),
        ("signing:seen", "missing a required argument: 'response'"),
        ("signed", 'there is no extension "signed" of the kind edge-function: there are keyed, and module:name'),
    ],
)
def test_check_says_where_a_function_is_wrong(signing: Outside, wrong: str, problem: str) -> None:
    """With file, line, section, key and a caret."""
    signing.declaring("broken", MODULE, "")
    broken = Outside(signing.folder, (*signing.path, signing.folder / "broken"))
    text = (NAMED + OWN).replace("signing:signed", wrong).replace("user = ann\n", "")
    said = broken.run("check", written(broken, text), status=1)
    line = text.splitlines().index(f"function = {wrong}") + 1
    assert f"node.ini:{line}: [edge-function signature] function: " in said
    assert problem in said
    assert f"\n    {wrong}\n    ^\n" in said


def test_an_installed_distribution_may_declare_one(signing: Outside) -> None:
    """By its name; then ``reference`` knows it as well."""
    section = "[edge-function k]\nfunction = keyed\npoint = request-before\n"
    ini = written(signing, MINIMAL.replace("origin = shop\n", "origin = shop\nedge-functions = k\n") + section)
    assert "node.ini: ok" in signing.run("check", ini)
    told = explained(signing, ini, "-H", "X-Key: 1")
    assert {"tag": "keyed", "from": "stage", "name": "edge-function k"} in told["tags"]
    assert "edge-functions" in signing.run("reference", "path-map")
    printed = signing.run("check", ini, "--effective")
    assert "[edge-function k]\nfunction = keyed\n" in printed


def test_a_section_that_no_path_map_names_is_told(signing: Outside) -> None:
    """For it has no effect."""
    said = signing.run("check", written(signing, MINIMAL + OWN))
    assert "[edge-function signature]: nothing refers to this section" in said.replace("] : ", "]: ")


def test_replay_asks_them_and_knows_what_is_not_known(signing: Outside) -> None:
    """Who looks at what no event holds is not certain."""
    line = event(Configuration.from_text(MINIMAL.replace("shop.example", "www.test"), signing.folder))
    (signing.folder / "events.json").write_text(line.replace("www.test", "shop.example") + "\n")
    told = json.loads(signing.run("replay", written(signing, NAMED + OWN), "events.json", "--json"))
    assert told["same"] == 1
    text = (NAMED + OWN).replace("signing:signed", "signing:keyed").replace("user = ann\n", "")
    told = json.loads(signing.run("replay", written(signing, text), "events.json", "--json"))
    assert [each["missing"] for each in told["not_certain"]] == ["header x-key"]


def test_a_reload_takes_up_a_changed_section(signing: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what a node of the old configuration would go over to; a section that is wrong changes nothing."""
    monkeypatch.syspath_prepend(str(signing.folder / "signing"))
    file = signing.folder / written(signing, NAMED + OWN)
    before = Configuration.load(file)
    written(signing, (NAMED + OWN).replace("user = ann", "user = bob"))
    after = Configuration.load(file, before)
    exchange = exchange_of("GET", "https://shop.example/")
    for configuration, user in ((before, b"ann"), (after, b"bob")):
        decision = configuration.pipeline("all").decide(exchange)
        assert isinstance(decision, Decision)
        assert decision.rewrite is not None
        assert decision.rewrite.headers == ((b"x-user", user),)
    written(signing, (NAMED + OWN).replace("signing:signed", "signing:gone"))
    with pytest.raises(ConfigurationError, match="has no attribute 'gone'"):
        Configuration.load(file, after)
