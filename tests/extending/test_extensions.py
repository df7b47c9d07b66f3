"""Extensions of every kind, declared by a distribution of its own: what knows them, and what becomes of faults."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv

import pytest

from edgenode.config.load import Configuration
from tests.extending.conftest import ROOT, Outside
from tests.simulation.test_replay import event
from tests.support.configurations import MINIMAL

EXAMPLE = (ROOT / "examples" / "extending" / "extending.ini").read_text()
OWN = EXAMPLE[EXAMPLE.index("# Behind the filters") :]
"""The sections of the example that are extensions, or name them."""

QUOTA = "[stage quota]\nfactory = quota\nlimit = 1\n"


def explained(outside: Outside, ini: str, *options: str) -> dict:
    """What ``explain`` says of a request, as JSON."""
    told: dict = json.loads(outside.run("explain", ini, "https://shop.example/", "--json", *options))
    return told


def test_check_and_effective_know_every_kind(outside: Outside) -> None:
    """A configuration with an extension of each kind is checked as any other, and what is in effect is it again."""
    ini = outside.ini(OWN)
    assert "1 stage, 1 sink" in outside.run("check", ini)
    assert json.loads(outside.run("check", ini, "--json").partition("\n}")[0] + "}")["sections"]["stage"] == 1
    printed = outside.run("check", ini, "--effective")
    effective = printed[: printed.index("# predefined actions")]
    assert {"factory = quota", "after = 10m", "key-kind = test", "over = 0"} <= set(effective.splitlines())
    (outside.folder / "again.ini").write_text(effective)
    assert "again.ini: ok" in outside.run("check", "again.ini")


def test_explain_shows_a_stage_where_it_judges(outside: Outside) -> None:
    """In order, with what it has said, its action among the others; and an action of the type skip exempts from it."""
    ini = outside.ini(OWN.replace("limit   = 3", "limit   = 1"))
    exempt = explained(outside, ini, "-H", "X-Api-Key: live_1")
    assert [(each["stage"], each["became"]) for each in exempt["stages"]] == [
        ("tagging", "asked"),
        ("global-filters", "asked"),
        ("quota", "left out"),
    ]
    assert exempt["outcome"]["left_out"] == ["quota"]
    assert {"tag": "live-key", "from": "global filter", "name": "live-keys"} in exempt["tags"]
    later = explained(outside, ini, "-H", "X-Api-Key: test_1")
    assert (later["outcome"]["status"], later["stages"][2]["became"]) == (503, "not asked")
    assert ["retry-after", "600"] in later["outcome"]["headers"]
    assert later["actions"][0]["action"] == "later"
    assert {"tag": "told-to-come-back", "from": "action", "name": "later"} in later["tags"]
    plain = explained(outside, ini)
    assert plain["stages"][2] == {"stage": "quota", "became": "asked", "reasons": [], "tags": [], "action": None}
    assert all(told["agrees"] for told in (exempt, later, plain))


def test_explain_shows_what_a_stage_before_the_filters_has_decided(outside: Outside) -> None:
    """Its tags are seen by filters, its action stands among theirs; where it ends the pipeline no filter is asked."""
    module = """
from attrs import frozen
from edgenode import Action, Close, Decision, Exchange, Outcome, Reason

@frozen
class Shut(Action):
    skips = True
    default_priority = 450
    def outcome(self, exchange: Exchange) -> Outcome:
        return Close()

class Shutting:
    needs: frozenset[str] = frozenset()
    def __init__(self, name: str) -> None:
        self.name = name
    def decide(self, exchange: Exchange) -> Decision:
        if exchange.request.method == b"POST":
            return Decision(frozenset(("posted",)), (Reason(self.name, "", "method: POST"),), Shut("shut"))
        return Decision(frozenset(("asked",)))
"""
    shut = outside.declaring("shut", module, "")
    filter = "[global-filter asked]\ntag = asked\ntags = seen\naction = block\n"
    ini = shut.ini(f"[stage shutting]\nfactory = shut:Shutting\nbefore = global-filters\n{filter}")
    told = explained(shut, ini)
    assert (told["outcome"]["status"], told["agrees"]) == (403, True)
    assert {"tag": "asked", "from": "stage", "name": "shutting"} in told["tags"]
    told = explained(shut, ini, "-X", "POST")
    assert (told["outcome"]["kind"], told["agrees"], told["filters"]["matched"]) == ("close", True, [])
    assert told["actions"] == [
        {"action": "shut", "filter": "stage shutting", "strength": 450, "taken": True, "why": "the strongest"}
    ]
    text = shut.run("explain", ini, "https://shop.example/", "-X", "POST")
    assert re.search(r"^  shutting +asked  -> shut  \[posted\]  method: POST$", text, re.MULTILINE)
    one = explained(shut, ini, "-X", "POST", "--filter", "asked")["filter"]
    assert (one["judged"], one["why"]) == (False, "a stage has failed, or decided before")


def test_the_reference_knows_extensions(outside: Outside) -> None:
    """Their own names, and their keys, fields and categories; so does the whole page."""
    for name in ("quota", "limit", "come-back", "acme.key_kind", "key-kind", "slow"):
        assert name in outside.run("reference", name)
    page = outside.run("reference")
    for text in (".. field:: acme.key_kind", ".. category:: key-kind", ".. key:: [stage] limit (quota)"):
        assert text in page


def test_replay_asks_a_stage_once_and_knows_what_is_not_known(outside: Outside) -> None:
    """A quota counts recorded requests as the node would; who looks at what no event holds is not certain."""
    plain = Configuration.from_text(MINIMAL.replace("shop.example", "www.test"), outside.folder)
    line = event(plain).replace("www.test", "shop.example")
    (outside.folder / "events.json").write_text(f"{line}\n" * 3)
    told = json.loads(outside.run("replay", outside.ini(f"{QUOTA}window = 1h\n"), "events.json", "--json"))
    assert told["same"] == 1
    assert [(each["after"], each["filters"], each["count"]) for each in told["changed"]] == [
        ("quota 429", "stage quota", 2)
    ]
    told = json.loads(outside.run("replay", outside.ini(OWN), "events.json", "--json"))
    assert [(each["missing"], each["count"]) for each in told["not_certain"]] == [("header x-api-key", 3)]
    module = """
from edgenode import NOTHING, Decision, Exchange

class Looking:
    needs: frozenset[str] = frozenset()
    def __init__(self, name: str) -> None:
        self.name = name
    def decide(self, exchange: Exchange) -> Decision:
        try:
            exchange.request.fields.get(b"x-secret")
        except Exception:
            pass
        return NOTHING
"""
    looking = outside.declaring("looking", module, "")
    told = json.loads(
        looking.run("replay", looking.ini("[stage x]\nfactory = looking:Looking\n"), "events.json", "--json")
    )
    assert [(each["missing"], each["rules"]) for each in told["not_certain"]] == [("header x-secret", "stage x")]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "[stage quota]\nfactory = quota\nlimit = 0\nwindows = 1m\nburst = 1\n"
            "[stage tagging]\nfactory = quota\nlimit = 1\n",
            """\
node.ini:25: [stage quota] limit: expected a number from 1 to 1000000
    0
    ^
node.ini:26: [stage quota] windows: unknown key; did you mean "window"?
node.ini:27: [stage quota] burst: unknown key
node.ini:28: [stage tagging]: this is the name of a built-in one
""",
        ),
        (
            f"{QUOTA}window = 0\n",
            "node.ini:26: [stage quota] window: a window of 0 has no end\n    0\n    ^\n",
        ),
        (
            "[stage quota]\nfactory = quota\n",
            "node.ini:23: [stage quota] limit: this key is required\n",
        ),
        (
            f"{QUOTA}before = global-filters\nafter = tagging\n",
            "node.ini:27: [stage quota] after: a stage stands before another or after one, and not both\n"
            "    tagging\n    ^\n",
        ),
        (
            "[stage quota]\nfactory = quotas\nlimit = x\n",
            'node.ini:24: [stage quota] factory: there is no extension "quotas" of the kind stage: there are quota, '
            "and module:name\n    quotas\n    ^\n",
        ),
        (
            "[sink s]\nfactory = no_such_module:sink\nany = x\n",
            "node.ini:24: [sink s] factory: the extension no_such_module:sink cannot be loaded: ModuleNotFoundError: "
            "No module named 'no_such_module'\n    no_such_module:sink\n    ^\n",
        ),
        (
            "[sink s]\nfactory = quota\n",
            'node.ini:24: [sink s] factory: there is no extension "quota" of the kind sink: there are slow, and '
            "module:name\n    quota\n    ^\n",
        ),
        (
            "[sink s]\nfactory = acme_edge:Quota\nlimit = 1\n",
            "node.ini:24: [sink s] factory: the extension has made no IEventSink, but a Quota\n",
        ),
        (
            "[action later]\ntype = come-bak\n[action sooner]\ntype = come-back\nstatus = 200\nbody = x\n",
            """\
node.ini:24: [action later] type: expected one of skip, block, close, redirect, challenge, monitor, come-back; \
did you mean "come-back"?
    come-bak
    ^
node.ini:27: [action sooner] status: expected a number from 400 to 599
    200
    ^
node.ini:28: [action sooner] body: unknown key
""",
        ),
        (
            "[global-filter f]\nkey-kind =\n    live\n    lively\n",
            "node.ini:26: [global-filter f] key-kind: expected live or test\n    lively\n    ^\n",
        ),
        (
            '[global-filter f]\nexpression = acme.key_kind in {"live"} and acme.key_kin eq "x"\n',
            "node.ini:24: [global-filter f] expression: there is no field acme.key_kin; did you mean acme.key_kind?\n",
        ),
        (
            "[action x]\ntype = skip\nskip = quote\n" + QUOTA,
            'node.ini:25: [action x] skip: expected one of inspection, quarantine, flows, dynamic-rules, rate-limits, '
            'acl, content-filter, quota; did you mean "quota"?\n    quote\n    ^\n',
        ),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place(outside: Outside, text: str, problems: str) -> None:
    """File, line, section, key and caret; all of them at once."""
    printed = outside.run("check", outside.ini(text), status=1)
    for problem in problems.split("node.ini:")[1:]:
        assert f"node.ini:{problem}".rstrip("\n") in printed
    assert printed.count("node.ini:") - 1 == problems.count("node.ini:")


BROKEN = """
import attrs
from zope.interface import implementer
from edgenode import BYTES, INT, REGEX, Action, Category, Field, IEventSink, Notation

def reader(exchange):
    return None

TYPE = Field("broken.type", BYTES, reader, "Help.", frozenset(("magic",)))
NAME = Field("broken.other", BYTES, reader, "Help.")
EDGE = Field("edge.mine", BYTES, reader, "Help.")
INTEGER = Field("broken.integer", INT, reader, "Help.")
OF_BODY = Field("broken.body", BYTES, lambda exchange: exchange.request.body and exchange.request.body.data, "Help.")
OF_INTEGER = Category("of-integer", "broken.integer", REGEX, "Help.")
OF_NOTHING = Category("of-nothing", "broken.nothing", REGEX, "Help.")
LISTED = Field("broken.listed", BYTES, reader, "Help.", ["body"])
UNTYPED = Field("broken.untyped", bytes, reader, "Help.")
UNREAD = Field("broken.unread", BYTES, None, "Help.")

def notation(name, read, match="equal"):
    return Category(name, "acme.key_kind", Notation(match, "text", read), "Help.")

TEXT = notation("text", lambda text: text)
BYTES_REGEX = notation("bytes-regex", str.encode, "regex")
WRONG_REGEX = notation("wrong-regex", lambda text: "(", "regex")
FAILS = notation("fails", lambda text: 1 // 0)
NO_NOTATION = Category("no-notation", "acme.key_kind", "regex", "Help.")

@attrs.frozen
class Odd(Action):
    what: object = None
    @property
    def needs(self):
        return self.what

def action(**odd):
    return lambda name: attrs.evolve(Odd(name, what=frozenset()), **odd)

ACTIONS = {"number": action(tags=frozenset((7,))), "high": action(priority="high"), "none": action(what=None),
           "magic": action(what={"magic"}), "no-action": lambda name: None, "other": lambda name: Odd("x")}
globals().update({f"action_{name.replace('-', '_')}": value for name, value in ACTIONS.items()})

@implementer(IEventSink)
class Deaf:
    def __init__(self, name):
        pass

class Sulking:
    def __init__(self, name):
        self.name = name
    @property
    def needs(self):
        raise KeyError("needs")
    def decide(self, exchange):
        return None

class Mute:
    needs = frozenset()
    def __init__(self, name):
        self.name = name
"""
POINTS = """
[edgenode.fields]
broken.type = broken:TYPE
broken.name = broken:NAME
edge.mine = broken:EDGE
broken.integer = broken:INTEGER
broken.import = raising:FIELD
broken.body = broken:OF_BODY
broken.nothing = broken:NOTHING
broken.listed = broken:LISTED
broken.untyped = broken:UNTYPED
broken.unread = broken:UNREAD
[edgenode.categories]
text = broken:TEXT
bytes-regex = broken:BYTES_REGEX
wrong-regex = broken:WRONG_REGEX
fails = broken:FAILS
no-notation = broken:NO_NOTATION
of-integer = broken:OF_INTEGER
of-nothing = broken:OF_NOTHING
raising = raising:CATEGORY
[edgenode.stages]
raising = raising:Stage
[edgenode.actions]
raising = raising:Action
"""


FAULTS = (
    ('expression = broken.type eq "x"', "the field broken.type needs what there is not: magic"),
    ('expression = broken.name eq "x"', "the field of the extension broken.name has another name: broken.other"),
    ('expression = edge.mine eq "x"', "the name of a field of an extension is words of a-z"),
    ("expression = broken.import eq 1", "the extension raising:FIELD cannot be loaded: RuntimeError: I am broken"),
    ("expression = broken.nothing eq 1", "the extension broken:NOTHING cannot be loaded: AttributeError"),
    (
        'expression = broken.body eq "x"',
        "the field broken.body looks at the body, and does not say that it needs it",
    ),
    ("of-integer = x", "the category of-integer looks for regex, and its field has values of type Int"),
    ("of-nothing = x", "the extension broken:NOTHING cannot be loaded: AttributeError"),
    ("raising = x", "the extension raising:CATEGORY cannot be loaded: RuntimeError: I am broken"),
    ("[stage {0}]\nfactory = raising", "the extension raising:Stage cannot be loaded: RuntimeError: I am broken"),
    ("[action {0}]\ntype = raising", "the extension raising:Action cannot be loaded: RuntimeError: I am broken"),
    ('expression = broken.listed eq "x"', "the field broken.listed cannot be used: TypeError"),
    ('expression = broken.untyped eq "x"', "the field broken.untyped cannot be used: AttributeError"),
    ('expression = broken.unread eq "x"', "the field broken.unread has no reader"),
    ("text = x", "the category text has to make bytes, of this, and makes str"),
    ("bytes-regex = x", "the category bytes-regex has to make a regular expression, str, of this, and makes bytes"),
    ("wrong-regex = x", "not a regular expression of RE2: missing ): ("),
    ("fails = x", "the category fails cannot read this: ZeroDivisionError"),
    ("no-notation = x", "the category no-notation cannot be used: AttributeError"),
    ("[action {0}]\ntype = broken:action_number", "the extension has made an Action that cannot be used: TypeError"),
    ("[action {0}]\ntype = broken:action_high", "the extension has made an Action that cannot be used: TypeError"),
    ("[action {0}]\ntype = broken:action_none", "the extension has made an Action that cannot be used: TypeError"),
    ("[action {0}]\ntype = broken:action_magic", "the action needs what there is not: magic"),
    ("[action {0}]\ntype = broken:action_no_action", "the extension has made no Action of the name"),
    ("[action {0}]\ntype = broken:action_other", "the extension has made no Action of the name"),
    ("[sink {0}]\nfactory = broken:Deaf", "the extension has made no IEventSink, but a Deaf"),
    ("[stage {0}]\nfactory = broken:Sulking", "the extension has made: KeyError"),
    ("[stage {0}]\nfactory = broken:Mute", "the stage n27 has no method decide"),
)
"""What names an extension that cannot be used, and what is said of it; ``{0}`` is the name of a section."""


def test_an_extension_that_cannot_be_used_is_a_fault_of_whoever_names_it(outside: Outside) -> None:
    """With its place, all of them at once; and of nobody else: a configuration that names none is not touched."""
    broken = outside.declaring("broken", BROKEN, POINTS).declaring("raising", 'raise RuntimeError("I am broken")\n', "")
    sections = [
        text.format(f"n{number}") if text[0] == "[" else f"[global-filter n{number}]\ntags = t\npath = x\n{text}"
        for number, (text, _) in enumerate(FAULTS)
    ]
    printed = broken.run("check", broken.ini("\n".join(sections)), status=1)
    for number, (text, sentence) in enumerate(FAULTS):
        caret = "" if "factory = broken" in text else r"\n    .+\n +\^"
        told = rf"^node\.ini:\d+: \[\S+ n{number}\] [a-z-]+: {re.escape(sentence)}.*{caret}$"
        assert re.search(told, printed, re.MULTILINE), sentence
    assert f"node.ini: {len(FAULTS)} errors" in printed
    assert "ok" in broken.run("check", broken.ini(QUOTA))


def test_the_name_of_what_is_built_in_cannot_be_taken(outside: Outside) -> None:
    """What a rule would mean nobody knows: no configuration is used until one of the two is gone."""
    declared = {"fields": "ip.src", "categories": "header", "actions": "block"}
    points = "".join(f"[edgenode.{group}]\n{name} = thief:X\n" for group, name in declared.items())
    thief = outside.declaring("thief", 'raise RuntimeError("never loaded")\n', points)
    printed = thief.run("check", thief.ini(""), status=1)
    for group, name, kind in (
        ("fields", "ip.src", "field"),
        ("categories", "header", "category"),
        ("actions", "block", "action"),
    ):
        told = f"[edgenode.{group}] {name}: thief 1.0 declares it, and it is the name of a built-in {kind}"
        assert told in printed
    other = outside.declaring("twin", "", "[edgenode.stages]\nquota = twin:X\n")
    printed = other.run("check", other.ini(QUOTA), status=1)
    assert re.search(r"quota: several distributions declare it: acme-edge 1.0, twin 1.0", printed)


@pytest.mark.parametrize("value", ['"text"', "7", 'b"x"[9]', "exchange.request.fields[b'x'].data"])
@pytest.mark.parametrize("where", ["filter", "path-map"])
def test_a_field_that_fails_lets_nobody_pass(outside: Outside, value: str, where: str) -> None:
    """It raises, or gives what is not of its type: 503, and never no match; of recorded requests nothing is certain."""
    module = f"""
from edgenode import BYTES, Exchange, Field

def read(exchange: Exchange):
    return {value}

FIELD = Field("odd.value", BYTES, read, "Help.")
"""
    odd = outside.declaring("odd", module, "[edgenode.fields]\nodd.value = odd:FIELD\n")
    filter = '[global-filter f]\naction = block\nexpression = odd.value eq "text"\n'
    ini = odd.ini(filter if where == "filter" else "")
    if where == "path-map":
        text = (odd.folder / ini).read_text().replace("path-maps = all", "path-maps = odd, all")
        (odd.folder / ini).write_text(f'{text}\n[path-map odd]\norigin = shop\nexpression = odd.value eq "x"\n')
    told = json.loads(odd.run("explain", ini, "https://shop.example/", "--json", "-d", "x").partition("\n}")[0] + "}")
    assert told["outcome"]["status"] == 503
    plain = Configuration.from_text(MINIMAL.replace("shop.example", "www.test"), odd.folder)
    (odd.folder / "events.json").write_text(event(plain).replace("www.test", "shop.example") + "\n")
    printed = odd.run("replay", ini, "events.json")
    assert "0 the same, 0 changed, 1 not certain" in printed


def test_a_stage_without_a_factory_is_for_a_program(outside: Outside) -> None:
    """``check`` says so; ``explain`` says that it was not run, ``replay`` that nothing is certain behind it; and a node
    alone cannot use the configuration, and says why."""
    skipping = "[action out]\ntype = skip\n[global-filter out]\npath = ^/out\naction = out\n"
    ini = outside.ini(f"[stage given]\n{skipping}")
    assert "note: node.ini:23: [stage given]: the program in which the node is embedded has to" in outside.run(
        "check", ini
    )
    printed = outside.run("explain", ini, "https://shop.example/", "--expect", "forward")
    assert re.search(r"^  given +not run: the program gives it$", printed, re.MULTILINE)
    assert "\n  unless a stage of the program decides otherwise: given\n  forwarded\n" in printed
    assert "note: [stage given] was not run" in printed
    printed = outside.run("explain", ini, "https://shop.example/out")
    assert "stage of the program" not in printed, "it is not asked"
    plain = Configuration.from_text(MINIMAL.replace("shop.example", "www.test"), outside.folder)
    line = event(plain).replace("www.test", "shop.example")
    out = line.replace('"target":"/', '"target":"/out')
    (outside.folder / "events.json").write_text(f"{line}\n{out}\n")
    told = json.loads(outside.run("replay", ini, "events.json", "--json"))
    assert [(each["missing"], each["rules"], each["count"]) for each in told["not_certain"]] == [
        ("a stage of the program", "stage given", 1)
    ]
    assert len(told["changed"]) + told["same"] == 1
    told = "[stage given] factory: this key is required: no program gives the stage"
    assert told in outside.run("run", ini, status=1)


def test_explain_shows_what_an_asynchronous_stage_has_said(outside: Outside) -> None:
    """If it waits for nothing; else explain and the engine would disagree about filters on its tags."""
    module = """
from edgenode import Decision, Exchange
from twisted.internet.defer import succeed

class Tagging:
    needs: frozenset[str] = frozenset()
    def __init__(self, name: str) -> None:
        self.name = name
    async def decide(self, exchange: Exchange) -> Decision:
        return Decision(frozenset((await succeed("asked"),)))
"""
    asking = outside.declaring("asking", module, "")
    filter = "[global-filter asked]\ntag = asked\ntags = seen\naction = block\n"
    told = explained(asking, asking.ini(f"[stage asking]\nfactory = asking:Tagging\nbefore = global-filters\n{filter}"))
    assert (told["outcome"]["status"], told["agrees"]) == (403, True)
    assert {"tag": "asked", "from": "stage", "name": "asking"} in told["tags"]


def test_code_of_an_extension_is_loaded_only_by_who_names_it(outside: Outside) -> None:
    """A node without extensions imports none, however many are installed."""
    quiet = outside.declaring("quiet", 'raise SystemExit("loaded")\n', "[edgenode.fields]\nquiet.field = quiet:FIELD\n")
    assert "ok" in quiet.run("check", quiet.ini('[global-filter f]\ntags = t\nexpression = http.host eq "x"\n'))
    printed = quiet.run("check", quiet.ini('[global-filter f]\ntags = t\nexpression = quiet.field eq "x"\n'), status=1)
    assert "the extension quiet:FIELD cannot be loaded: SystemExit: loaded" in printed


def test_the_example_is_strictly_typed_from_outside(tmp_path: pathlib.Path) -> None:
    """``mypy --strict`` has nothing to say of it, with the package installed as any other; a wrong type is told."""
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "edgenode").symlink_to(ROOT / "edgenode")
    text = (ROOT / "examples" / "extending" / "acme_edge.py").read_text()
    wrong = text.replace(
        "def decide(self, exchange: Exchange) -> Decision:", "def decide(self, exchange: Exchange) -> int:"
    )
    (tmp_path / "right.py").write_text(text)
    (tmp_path / "wrong.py").write_text(
        f"{wrong}\n\nfrom edgenode import Placed\n\nPlaced(Quota('x', QuotaKeys(limit=1)))\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    command += ["--python-executable", str(folder / "bin" / "python")]
    for file, status in (("right.py", 0), ("wrong.py", 1)):
        done = subprocess.run([*command, file], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == status, done.stdout + done.stderr
    assert 'Argument 1 to "Placed" has incompatible type "Quota"' in done.stdout


LISTENS = re.compile(r"listener public on \S*:(\d+)")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the node is asked with curl")
def test_the_example_runs_as_it_is(outside: Outside) -> None:
    """The fourth request is over the quota, unless its key is a live one; the sink has the events of all."""
    examples = outside.folder / "examples"
    (examples / "pki").mkdir(parents=True)
    for name in ("pem", "key"):
        shutil.copy(outside.folder / f"server.{name}", examples / "pki" / f"site.{name}")
    (examples / "extending").mkdir()
    ini = examples / "extending" / "extending.ini"
    ini.write_text(
        EXAMPLE.replace("tcp:8446:", "tcp:0:").replace("hosts           = localhost", "hosts = shop.example")
    )
    command = [sys.executable, "-m", "edgenode", "run", str(ini)]
    with subprocess.Popen(
        command, cwd=outside.folder, env=outside.environment, stderr=subprocess.PIPE, text=True
    ) as node:
        assert node.stderr is not None
        try:
            port = next(found[1] for found in map(LISTENS.search, node.stderr) if found)
            place = ["--resolve", f"shop.example:{port}:127.0.0.1"]

            def status(path: str, key: str = "none") -> str:
                curl = ["curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"X-Api-Key: {key}"]
                url = f"https://shop.example:{port}/{path}"
                return subprocess.run([*curl, *place, url], capture_output=True, text=True, check=True).stdout

            assert [status("") for _ in range(4)] == ["502", "502", "502", "429"]
            assert [status("", "live_1"), status("health"), status("", "test_1")] == ["502", "502", "503"]
        finally:
            node.send_signal(signal.SIGTERM)
            rest = node.stderr.read()
    assert node.returncode == 0, rest
    events = [json.loads(line) for line in (examples / "extending" / "slow.json").read_text().splitlines()]
    assert [event["status"] for event in events] == [502, 502, 502, 429, 502, 502, 503]
    assert [event["action"] for event in events][3:] == ["quota", None, None, "later"]
