"""``[content-filter]``: its rules are read from files, and what is wrong with them is told where it stands."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.policy.contentfilter.directives import Rule, RuleTree, Target
from tests.support.node import PKI, ini

RULES = """
SecDefaultAction "phase:2,log,pass"
SecRule ARGS|REQUEST_COOKIES "@rx union" "id:1,phase:2,block,tag:attack-sqli,tag:x"
SecRule ARGS "@pmFromFile words.data" "id:2,phase:2,deny,chain"
    SecRule REQUEST_COOKIES "@rx x" "t:none"
SecAction "id:3,phase:1,pass,nolog,setvar:tx.paranoia_level=4,setvar:tx.other=1"
"""


def text(**keys: str) -> str:
    """A configuration with a content filter."""
    named = {name.replace("_", "-"): value for name, value in keys.items()}
    return ini(1, {"content-filter site": named, "path-map all": {"content-filter": "site"}})


def read(pki: PKI, **keys: str) -> RuleTree:
    """The rules of a content filter."""
    return Configuration.from_text(text(**keys), pki.folder, {}).credentials.content_rules["site"].tree


def told(pki: PKI, **keys: str) -> str:
    """What is wrong with it."""
    with pytest.raises(ConfigurationError) as raised:
        read(pki, **keys)
    return str(raised.value)


def rules(tree: RuleTree) -> dict[int, Rule]:
    """The rules by their number."""
    return {each.id: each for each in tree.directives if isinstance(each, Rule)}


@pytest.fixture(autouse=True)
def _files(pki: PKI) -> None:
    (pki.folder / "own.conf").write_text(RULES)
    (pki.folder / "words.data").write_text("# no word\nselect\n")


def test_a_file_is_read_with_those_that_it_names(pki: PKI) -> None:
    """Files of words and included ones are found beside the file that names them."""
    (pki.folder / "more").mkdir()
    (pki.folder / "more" / "b.conf").write_text('SecRule ARGS "b" "id:12"')
    (pki.folder / "more" / "a.conf").write_text('SecRule ARGS "a" "id:11"\nIncludeOptional none/*.conf')
    (pki.folder / "all.conf").write_text("Include own.conf\nInclude more/*.conf")
    found = rules(read(pki, rules="all.conf"))
    assert [*found] == [1, 2, 3, 11, 12]
    operator = found[2].operator
    assert operator is not None
    assert operator.argument == "select"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("SecFoo", "there is no directive SecFoo"),
        ("Include own.conf", "files include one another too deep, or in a circle"),
        ("Include no.conf", "there is no such file: FOLDER/no.conf"),
        ('SecRule ARGS "@pmFromFile no.data" "id:9"', "cannot read FOLDER/no.data: No such file or directory"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(pki: PKI, line: str, sentence: str) -> None:
    """The file and the line are those of the rules, and the section and the key are those that name them."""
    (pki.folder / "own.conf").write_text(f"\n{line}\n")
    found = told(pki, rules="own.conf")
    assert (
        f"{pki.folder}/own.conf:2: [content-filter site] rules: {sentence}" in found.replace("FOLDER", str(pki.folder))
        or f"own.conf:2: [content-filter site] rules: {sentence.replace('FOLDER', str(pki.folder))}" in found
    )


def test_a_folder_of_a_core_rule_set_is_read_in_its_order(pki: PKI) -> None:
    """The set-up first, then plug-ins, the rules by name, and what comes behind them."""
    folder = pki.folder / "crs"
    for number, name in enumerate(
        (
            "crs-setup.conf",
            "plugins/a-config.conf",
            "plugins/a-before.conf",
            "REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf",
            "rules/REQUEST-901.conf",
            "rules/REQUEST-942.conf",
            "plugins/a-after.conf",
            "RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf",
        ),
        1,
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'SecAction "id:{number},phase:1,nolog,pass"')
    assert [*rules(read(pki, rules="crs:crs"))] == [*range(1, 9)]
    assert [*rules(read(pki, rules="crs:crs/rules"))] == [*range(1, 9)]
    (pki.folder / "my.conf").write_text('SecAction "id:20,phase:1,nolog,pass"')
    (pki.folder / "last.conf").write_text('SecAction "id:21,phase:1,nolog,pass"')
    found = rules(read(pki, rules="crs:crs/rules last.conf", setup="my.conf"))
    assert [*found] == [20, 2, 3, 5, 6, 7, 21]


def test_without_a_set_up_the_rules_are_told_that_there_is_one(pki: PKI) -> None:
    """Else the Core Rule Set refuses every request."""
    (pki.folder / "bare").mkdir()
    (pki.folder / "bare" / "REQUEST-901.conf").write_text('SecAction "id:1,phase:1,nolog,pass"')
    assert ("crs_setup_version", "400") in read(pki, rules="crs:bare").variables


def test_keys_win_over_the_set_up(pki: PKI) -> None:
    """What the section says is set before any rule runs, and no rule that always matches sets it otherwise."""
    assert [each.name for each in rules(read(pki, rules="own.conf"))[3].set_vars] == ["paranoia_level", "other"]
    tree = read(pki, rules="own.conf", paranoia="2", inbound_threshold="7", outbound_threshold="9")
    assert [each.name for each in rules(tree)[3].set_vars] == ["other"]
    assert dict(tree.variables) == {
        "paranoia_level": "2",
        "blocking_paranoia_level": "2",
        "detection_paranoia_level": "2",
        "executing_paranoia_level": "2",
        "inbound_anomaly_score_threshold": "7",
        "outbound_anomaly_score_threshold": "9",
    }


def test_exclusions_leave_out_rules_and_what_they_look_at(pki: PKI) -> None:
    """By number, range or tag; in every link of a chain that looks at it."""
    assert [*rules(read(pki, rules="own.conf", exclude="1"))] == [2, 3]
    assert [*rules(read(pki, rules="own.conf", exclude="1-2"))] == [3]
    assert [*rules(read(pki, rules="own.conf", exclude="tag:x"))] == [2, 3]
    found = rules(read(pki, rules="own.conf", exclude="\n    1 argument.Q\n    1-2 cookie./^s/"))
    cookie = Target("REQUEST_COOKIES", pattern="^s", excluded=True)
    assert found[1].targets[2:] == (Target("ARGS", "q", excluded=True), cookie)
    assert found[2].targets == (Target("ARGS"),)
    assert found[2].chained[0].targets[1:] == (cookie,)


@pytest.mark.parametrize(
    ("line", "sentence", "column"),
    [
        ("9", "no rule is left out: there is none like this", 0),
        ("tag:none argument.q", "no rule is left out: there is none like this", 0),
        ("1 header.referer", "nothing is left out: no rule like this looks at it", 2),
        ("1 args.q", "there is no args to exclude: there are argument, argument-name", 2),
        ("1 query.q", "query has no names", 7),
        ("1 argument.", "a name is missing", 11),
        ("tag:", "a tag is missing: tag:attack-sqli", 4),
        ("x", "this is no number of a rule, and no range such as 942000-942999: x", 0),
        ("2-1", "this is no number of a rule, and no range such as 942000-942999: 2-1", 0),
        ("1 argument.q argument.r", "an exclusion has two words: which rules, and what they do not look at", 13),
    ],
)
def test_an_exclusion_that_leaves_nothing_out_is_an_error(pki: PKI, line: str, sentence: str, column: int) -> None:
    """With a caret below what is wrong."""
    found = told(pki, rules="own.conf", exclude=line)
    assert f"[content-filter site] exclude: {sentence}" in found
    assert f"    {line}\n    {' ' * column}^" in found


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"rules": "no.conf"}, "cannot read"),
        ({"rules": "crs:none"}, "there is no such folder"),
        ({"rules": "crs:strange"}, "there is no rule in the files *.conf in"),
        ({"rules": "buildin"}, 'No such file or directory; did you mean "builtin"?'),
        ({"rules": "https://a.example/"}, "an address is no source of rules: builtin, crs:FOLDER, or a file"),
        ({"rules": "crs:empty"}, "there are no files of rules, *.conf, in"),
        ({}, "rules: this key is required"),
        ({"rules": "own.conf", "setup": "own.conf"}, "no rules are those of a Core Rule Set, as crs:FOLDER"),
        ({"rules": "own.conf", "paranoia": "5"}, "expected a number from 1 to 4"),
        ({"rules": "own.conf", "response-limit": "0"}, "of 0 bytes no rule could see anything"),
        ({"rules": "own.conf own.conf"}, "this is written twice"),
        ({"rules": "own.conf", "action": "nothing"}, "there is no [action nothing]"),
    ],
)
def test_keys_that_say_nothing_are_errors(pki: PKI, keys: dict[str, str], sentence: str) -> None:
    """Each with what is wrong."""
    (pki.folder / "empty").mkdir(exist_ok=True)
    (pki.folder / "strange").mkdir(exist_ok=True)
    (pki.folder / "strange" / "resolv.conf").write_text("nameserver 192.0.2.1")
    assert sentence in told(pki, **keys)


@pytest.mark.parametrize(
    ("word", "keys", "warned"),
    [
        ("Off", {}, "active = no says it"),
        ("Off", {"mode": "monitoring"}, "active = no says it"),
        ("DetectionOnly", {}, "mode = monitoring says it"),
        ("DetectionOnly", {"mode": "monitoring"}, ""),
        ("On", {}, ""),
    ],
)
def test_a_file_that_switches_rules_off_is_told(pki: PKI, word: str, keys: dict[str, str], warned: str) -> None:
    """``SecRuleEngine`` has no effect here; nobody shall think that it has."""
    (pki.folder / "off.conf").write_text(f'SecRuleEngine {word}\nSecRule ARGS "@rx a" "id:1,phase:2,deny"')
    configuration = Configuration.from_text(text(rules="off.conf", **keys), pki.folder, {})
    found = [str(each) for each in configuration.warnings if "SecRuleEngine" in str(each)]
    assert [warned in each for each in found] == [True] * bool(warned)


def test_answers_that_no_rule_looks_at_are_told(pki: PKI) -> None:
    """Whoever says ``responses = yes`` shall not think that leaks are looked for."""
    for phase, warned in ((2, 1), (4, 0)):
        (pki.folder / "some.conf").write_text(f'SecRule RESPONSE_STATUS "@rx a" "id:1,phase:{phase},deny"')
        configuration = Configuration.from_text(text(rules="some.conf", responses="yes"), pki.folder, {})
        assert sum("no rule is of phase 3 or 4" in str(each) for each in configuration.warnings) == warned


def test_one_that_is_not_active_reads_nothing(pki: PKI) -> None:
    """So that what is broken can be switched off."""
    (pki.folder / "own.conf").write_text("SecFoo")
    configuration = Configuration.from_text(text(rules="own.conf", active="no"), pki.folder, {})
    assert configuration.credentials.content_rules == {}


def written(pki: PKI) -> Configuration:
    """A running configuration with rules of a file."""
    (pki.folder / "edge.ini").write_text(text(rules="own.conf", exclude="1 argument.q"))
    return Configuration.load(pki.folder / "edge.ini")


def later(path: pathlib.Path) -> None:
    """Give a file another time, as whoever writes it does."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


@pytest.mark.parametrize("name", ["own.conf", "words.data"])
def test_a_changed_file_is_read_without_a_reload(pki: PKI, name: str) -> None:
    """That of rules, and those that it names."""
    configuration = written(pki)
    assert configuration.changed() == {}
    (pki.folder / name).write_text((pki.folder / name).read_text().replace("select", "insert").replace("id:3", "id:4"))
    later(pki.folder / name)
    assert [*configuration.changed()] == ["content-filter site"]
    renewed, problems = configuration.refreshed(["content-filter site"])
    assert problems == []
    assert renewed.credentials.content_rules != configuration.credentials.content_rules
    assert renewed.rules is not configuration.rules
    assert renewed.changed() == {}


def test_a_broken_file_leaves_the_old_rules_in_use(pki: PKI) -> None:
    """With every problem told, where it stands; also when the whole configuration is loaded again."""
    configuration = written(pki)
    (pki.folder / "own.conf").write_text("SecFoo")
    renewed, problems = configuration.refreshed(["content-filter site"])
    assert renewed is configuration
    assert [str(each).partition(" ")[0] for each in problems] == [f"{pki.folder}/own.conf:1:"]
    reloaded = Configuration.load(pki.folder / "edge.ini", configuration)
    assert reloaded.kept == ("content-filter site",)
    assert reloaded.credentials.content_rules == configuration.credentials.content_rules
    (told,) = reloaded.warnings
    assert str(told).startswith(f"{pki.folder}/own.conf:1: warning: [content-filter site] rules: there is no directive")
    assert "SecFoo; what is in use stays in use" in str(told)


def test_a_folder_that_is_gone_leaves_the_old_rules_in_use(pki: PKI) -> None:
    """As a file that is gone does; at a start there are none."""
    (pki.folder / "gone").mkdir()
    (pki.folder / "gone" / "REQUEST-901.conf").write_text('SecAction "id:1,phase:1,nolog,deny"')
    (pki.folder / "edge.ini").write_text(text(rules="crs:gone"))
    configuration = Configuration.load(pki.folder / "edge.ini")
    shutil.rmtree(pki.folder / "gone")
    assert [*configuration.changed()] == ["content-filter site"]
    reloaded = Configuration.load(pki.folder / "edge.ini", configuration)
    assert reloaded.kept == ("content-filter site",)
    with pytest.raises(ConfigurationError, match="there is no such folder"):
        Configuration.load(pki.folder / "edge.ini")


def test_a_new_file_in_a_folder_is_read(pki: PKI) -> None:
    """And one that is taken away is gone."""
    folder = pki.folder / "growing"
    folder.mkdir()
    (folder / "a.conf").write_text('SecAction "id:1,phase:1,nolog,deny"')
    (pki.folder / "edge.ini").write_text(text(rules="crs:growing"))
    configuration = Configuration.load(pki.folder / "edge.ini")
    (folder / "b.conf").write_text('SecAction "id:2,phase:1,nolog,deny"')
    assert [*configuration.changed()] == ["content-filter site"]
    configuration, _ = configuration.refreshed(["content-filter site"])
    assert [*rules(configuration.credentials.content_rules["site"].tree)] == [1, 2]
    (folder / "a.conf").unlink()
    configuration, _ = configuration.refreshed([*configuration.changed()])
    assert [*rules(configuration.credentials.content_rules["site"].tree)] == [2]


def test_what_is_the_same_is_not_compiled_again(pki: PKI) -> None:
    """A reload of files that nobody has changed gives the rules that are in use."""
    configuration = written(pki)
    reloaded = Configuration.load(pki.folder / "edge.ini", configuration)
    assert reloaded.rules is configuration.rules


def test_what_is_ignored_is_not_looked_at_and_the_filter_keeps_its_name(pki: PKI) -> None:
    """An ignored member is left out of every rule that looks at it."""
    found = rules(read(pki, rules="own.conf", ignore="argument.comment"))
    assert Target("ARGS", "comment", excluded=True) in found[1].targets


def test_what_cannot_be_done_in_a_rule_is_told_where_it_stands(pki: PKI) -> None:
    """Only if the rule can run at all."""
    never = 'SecRule TX:never "@eq 1" "id:8,phase:1,pass,chain"\n    SecRule REMOTE_ADDR "@rbl x" "t:none"\n'
    (pki.folder / "own.conf").write_text(f'{never}SecRule REMOTE_ADDR "@rbl dnsbl.example" "id:9,phase:1,deny"\n')
    assert f"{pki.folder}/own.conf:3: [content-filter site] rules: " in told(pki, rules="own.conf")
    (pki.folder / "own.conf").write_text(never)
    assert [*rules(read(pki, rules="own.conf"))] == [8]


def test_an_empty_file_is_no_file_of_rules(pki: PKI) -> None:
    """It is one that is being written, or was lost: nobody means that there are no rules."""
    (pki.folder / "own.conf").write_text("")
    with pytest.raises(ConfigurationError, match=r"own\.conf is empty"):
        Configuration.from_text(text(rules="own.conf"), pki.folder, {})


@pytest.mark.parametrize("name", ["builtin", "crs:/usr/share/modsecurity-crs/rules"])
def test_known_rules_are_read_without_a_word(pki: PKI, name: str) -> None:
    """Those that come with edgenode, and Debian's package with its set-up."""
    if name != "builtin" and not pathlib.Path(name.removeprefix("crs:")).is_dir():
        pytest.skip("the Core Rule Set is not installed")
    configuration = Configuration.from_text(text(rules=name), pki.folder, {})
    assert configuration.warnings == ()
    assert len(rules(configuration.credentials.content_rules["site"].tree)) > 60


@pytest.mark.parametrize(
    ("keys", "further", "told"),
    [
        ({}, "", []),
        ({"paranoia": "2"}, "", ["paranoia: has no effect: no rule looks at TX:paranoia_level"]),
        ({"paranoia": "2"}, 'SecRule TX:paranoia_level "@lt 2" "id:9,phase:1,pass"', []),
        ({"inbound-threshold": "9"}, 'SecRule TX:n "@ge %{tx.inbound_anomaly_score_threshold}" "id:9,pass"', []),
        (
            {"response-limit": "1k"},
            "",
            ["response-limit: has no effect: answers are not looked at without responses = yes"],
        ),
        ({"action": "monitor"}, "", ["action: lets in those whom the rules refuse, for it is of type monitor"]),
        ({"action": "monitor", "mode": "monitoring"}, "", []),
        (
            {},
            'SecRule GEO:COUNTRY_CODE "@streq XX" "id:9,pass"',
            ["rules: rules look at GEO, which is empty: there is no [geo]"],
        ),
        ({"exclude": "2"}, "", ["rules: nobody is refused: no rule says deny, drop or redirect"]),
    ],
)
def test_what_has_no_effect_is_doubted(pki: PKI, keys: dict[str, str], further: str, told: list[str]) -> None:
    """Keys that no rule looks at, and filters that refuse nobody."""
    (pki.folder / "own.conf").write_text(RULES + further)
    configuration = Configuration.from_text(text(rules="own.conf", **keys), pki.folder, {})
    found = [str(each).partition("\n")[0] for each in configuration.warnings]
    assert found == [f"warning: [content-filter site] {each}" for each in told]


def test_tags_of_content_filters_come_too_late_for_others(pki: PKI) -> None:
    """A filter that looks for one is doubted, and none may set one."""
    named = text(rules="own.conf")
    looking = Configuration.from_text(f"{named}\n[global-filter late]\ntag = cf-rule:1\ntags = x\n", pki.folder, {})
    assert "the tag cf-rule:1 is a content filter's, and put on only after" in str(looking.warnings)
    with pytest.raises(ConfigurationError, match="the tag cf-rule:1 is set by the node alone"):
        Configuration.from_text(f"{named}\n[global-filter own]\npath = ^/x\ntags = cf-rule:1\n", pki.folder, {})


def test_limits_of_bodies_are_keys(pki: PKI) -> None:
    """Each is written as it stands in the documentation."""
    keys = {
        "content_types": "application/json image/*",
        "body_depth": "16",
        "max_file_size": "100k",
        "file_names": r"(?i)[\w-]+\.(png|jpe?g)",
        "graphql_introspection": "no",
    }
    section = Configuration.from_text(text(rules="own.conf", **keys), pki.folder, {}).content_filters["site"]
    assert section.limits is not None
    assert section.limits.depth == 16
    assert section.limits.file_size == 100 * 1024
    assert section.limits.introspection is False
    assert [str(each) for each in section.limits.types] == ["application/json", "image/*"]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("content_types", "application/json json", "expected a media type"),
        ("body_depth", "0", "from 1 to 64"),
        ("body_depth", "65", "from 1 to 64"),
        ("file_names", "(png", "missing )"),
        ("graphql_introspection", "perhaps", "yes or no"),
    ],
)
def test_a_limit_that_is_none_is_told(pki: PKI, key: str, value: str, sentence: str) -> None:
    """With its key and what is right."""
    assert sentence in told(pki, rules="own.conf", **{key: value})
