"""``edgenode content-filter test``: rules alone, asked about a request."""

from __future__ import annotations

import json
import pathlib

import pytest

from edgenode import __main__ as command

UNION = "https://shop.example.com/?q=1'%20union%20select%20password%20from%20users--"
RULE = """\
SecAction "id:1,phase:1,pass,nolog,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule ARGS "@contains attack" "id:100,phase:2,pass,log,t:none,msg:'An attack',setvar:tx.anomaly_score=+5"
SecRule TX:ANOMALY_SCORE "@ge %{tx.inbound_anomaly_score_threshold}" "id:101,phase:2,deny,log,msg:'Too much'"
"""


def test_what_matched_is_told_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Every rule that matched stands there with its score, target and text, behind the verdict; the status is 4."""
    assert command.main(["content-filter", "test", "builtin", UNION]) == 4
    assert capsys.readouterr().out.splitlines() == [
        "refused by rule 5099100: inbound 5",
        "  5010010  +5  ARGS:q  SQL: UNION SELECT",
        "                       1' union select password from users--",
    ]


def test_what_matches_nothing_is_let_through(capsys: pytest.CaptureFixture[str]) -> None:
    """An ordinary request is let through, with status 0."""
    assert command.main(["content-filter", "test", "builtin", "https://shop.example.com/?q=apple"]) == 0
    assert capsys.readouterr().out.splitlines() == ["let through", "no rule matched"]


def test_it_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has the same, and tags besides."""
    assert command.main(["content-filter", "test", "builtin", "--json", UNION]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["refused"], told["by"], told["scores"]["inbound"]) == (True, 5099100, 5)
    (found,) = (each for each in told["findings"] if each["rule"] != told["by"])
    assert (found["rule"], found["score"], found["target"]) == (5010010, 5, "ARGS:q")
    assert "attack-sqli" in found["tags"]


def test_a_file_of_rules_and_curls_options(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RULES may be a file; the request is written as for curl, its body too."""
    (tmp_path / "own.conf").write_text(RULE)
    asked = ["content-filter", "test", str(tmp_path / "own.conf"), "https://shop.example.com/", "-d", "a=an attack"]
    assert command.main(asked) == 4
    assert "  100  +5  ARGS:a  An attack" in capsys.readouterr().out.splitlines()


def test_a_rule_that_refuses_by_itself_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that refuses by what it found in the request stands there too, not only in the verdict."""
    (tmp_path / "own.conf").write_text(
        """SecRule ARGS "@contains attack" "id:7,phase:2,deny,log,t:none,msg:'No attacks'"\n"""
    )
    assert (
        command.main(["content-filter", "test", str(tmp_path / "own.conf"), "https://shop.example.com/?a=attack"]) == 4
    )
    assert capsys.readouterr().out.splitlines() == [
        "refused by rule 7",
        "  7    ARGS:a  No attacks",
        "               attack",
    ]


def test_a_threshold_paranoia_and_exclusions_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """What the keys of a section say, options say here."""
    ask = ["content-filter", "test", "builtin", UNION]
    assert command.main([*ask, "--threshold", "6"]) == 0
    assert command.main([*ask, "--exclude", "5010010 argument.q"]) == 0
    quoted = ["content-filter", "test", "builtin", "https://shop.example.com/?file=../img/a.png"]
    assert command.main([*ask, "--paranoia", "2"]) == 4
    assert command.main(quoted) == 4
    assert "5010510" in capsys.readouterr().out


def test_what_matched_cannot_write_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a client sent is escaped, and of a long value only its beginning is shown."""
    assert command.main(["content-filter", "test", "builtin", f"{UNION}%1b]0;x%07{'a' * 500}"]) == 4
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert all(len(line) < 200 for line in printed.splitlines())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nowhere.conf", "https://shop.example.com/"], "rules: cannot read nowhere.conf"),
        (["builtin", "--exclude", "4711", "https://shop.example.com/"], "exclude: no rule is left out"),
        (["builtin"], "a URL is missing"),
        (["builtin", "https://shop.example.com/", "-H", "nothing"], "a header field is written"),
    ],
)
def test_what_cannot_be_used_is_said(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Rules, exclusions and requests that are none end with status 1 and a sentence."""
    assert command.main(["content-filter", "test", *options]) == 1
    assert told in capsys.readouterr().err
