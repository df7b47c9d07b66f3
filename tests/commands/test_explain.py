"""``edgenode explain``, as it is used; and that it says what the node does."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgenode import __main__ as command
from edgenode.policy import explaining
from tests.support.certificates import CLIENT, SERVER, make_authority, now, write_pem

ROOT = pathlib.Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The example, and certificates for it: a partner's, a stranger's, one that has expired."""
    folder = tmp_path_factory.mktemp("why")
    shutil.copytree(ROOT / "examples" / "seeing-why", folder / "examples" / "seeing-why")
    pki = folder / "examples" / "pki"
    pki.mkdir()
    authority = make_authority("Example CA")
    write_pem(pki / "ca.pem", [authority])
    make_authority("Servers").issue("site", eku=[SERVER], sans=["DNS:shop.example.com"]).write(pki, "site")
    authority.issue("CN=acme", eku=[CLIENT]).write(pki, "acme")
    authority.issue("CN=late", eku=[CLIENT], not_after=now()).write(pki, "late")
    make_authority("Others").issue("CN=stranger", eku=[CLIENT]).write(pki, "stranger")
    return folder


def explained(folder: pathlib.Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What the command says of a request, as JSON."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["explain", file, "--json", *words]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def certificate(folder: pathlib.Path, name: str) -> list[str]:
    """The options for a certificate."""
    return ["--cert", str(folder / "examples" / "pki" / f"{name}.pem")]


# -- what is told ------------------------------------------------------------------------------------------------------


def test_everything_is_told_of_a_request(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The route, the tags and their origin, the filters with what matched, and the outcome."""
    told = explained(folder, capsys, "-X", "POST", "https://shop.example.com/cart", "-d", "item=7")
    assert told["route"] == {
        "server_group": "shop",
        "security_policy": "shop",
        "path_map": "shop",
        "passed_over": ["login"],
        "origin": "shop",
        "servers": ["http://127.0.0.1:8080"],
    }
    tags = {each["tag"]: (each["from"], each["name"]) for each in told["tags"]}
    assert tags["protocol:https"] == ("the node", "")
    assert tags["shop"] == ("security policy", "shop")
    assert tags["script"] == ("global filter", "scripts")
    assert tags["action:forbid"] == ("action", "forbid")
    assert list(tags).index("script") < list(tags).index("unattended") < list(tags).index("action:forbid")
    scripts = next(each for each in told["filters"]["matched"] if each["name"] == "scripts")
    assert scripts["rule"]["parts"][0] == {
        "holds": True,
        "text": "header.user-agent: ^curl/",
        "annotation": "by hand",
        "looked_at": ["curl/8.14.1"],
        "found": [{"value": "curl/8.14.1", "before": "", "match": "curl/", "behind": "8.14.1"}],
    }
    assert told["outcome"]["status"] == 403
    assert told["outcome"]["headers"][0] == ["content-type", "text/plain; charset=utf-8"]
    assert told["actions"] == [
        {"action": "forbid", "filter": "scripts-that-write", "strength": 500, "taken": True, "why": "the strongest"}
    ]
    assert told["agrees"]
    assert set(told["timings"]) == {"tagging", "global-filters"}


def test_filters_that_nearly_matched_say_what_was_wanting(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each part whether it was true, nearest first, and on which value."""
    told = explained(folder, capsys, "https://api.example.com/orders", *certificate(folder, "acme"))
    nearly = told["filters"]["nearly"]
    assert [each["name"] for each in nearly] == ["strangers", "scripts-that-write", "guessers"]
    assert [part["holds"] for part in nearly[0]["rule"]["parts"]] == [True, False, True]
    assert nearly[0]["rule"]["parts"][1]["looked_at"] == ["true"]
    assert told["outcome"]["kind"] == "forward"


@pytest.mark.parametrize("relation", ["and", "or"])
def test_every_entry_that_did_not_match_is_told(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], relation: str
) -> None:
    """Not only the first one that was missing; with the name that people call the filter by, and tags as before."""
    file = folder / "examples" / "seeing-why" / "explain.ini"
    other = file.with_name("missing.ini")
    entries = "method = ^PUT$\npath = ^/x\nheader.x = # both\n    ^1$\n    ^2$\n"
    named = f"[global-filter far-off]\nname = Far \x1b[31moff\ntags = far\nrelation = {relation}\n{entries}"
    if relation == "and":
        named += "authority = ^shop"
    other.write_text(f"{file.read_text()}\n{named}\n".replace("\x1b", ""))
    words = ["explain", str(other), "https://shop.example.com/", "-H", "X: 3", "--filter", "far-off"]
    assert command.main([*words, "--json"]) == 0
    asked = json.loads(capsys.readouterr().out)["filter"]
    missing = [(part["text"], part["annotation"]) for part in asked["rule"]["parts"] if not part["holds"]]
    assert missing == [
        ("method: ^PUT$", ""), ("path: ^/x", ""), ("header.x: ^1$", "both"), ("header.x: ^2$", "both"),
    ]  # fmt: skip
    assert (asked["display_name"], asked["tags"]) == ("Far [31moff", ["far"])
    assert command.main(words) == 0
    text = capsys.readouterr().out
    assert '  far-off "Far [31moff"  [far]' in text
    for entry, _ in missing:
        assert f"no   {entry}" in text
    if relation == "and":
        assert command.main(words[:-2]) == 0
        nearly = capsys.readouterr().out
        assert all(f"no   {entry}" in nearly for entry, _ in missing)


def test_a_certificate_is_judged_by_the_trust_store_of_its_group(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good one brings its tags; others are refused in the node's words, with the group's status."""
    url = "https://api.example.com/"
    told = explained(folder, capsys, url, *certificate(folder, "acme"))
    assert (told["certificate"]["verify"], told["certificate"]["subject"]) == ("SUCCESS", "CN=acme")
    assert {"tag": "partner", "from": "trust store", "name": ""} in told["tags"]
    late = explained(folder, capsys, url, *certificate(folder, "late"), "--at", str(now().timestamp() + 5))
    assert late["refusal"] == {"status": 495, "reason": "client certificate: certificate has expired"}
    assert late["outcome"]["status"] == 403
    stranger = explained(folder, capsys, url, *certificate(folder, "stranger"))
    assert stranger["refusal"]["reason"] == "client certificate: unable to get local issuer certificate"
    # In time the same certificate was good.
    early = explained(folder, capsys, url, *certificate(folder, "late"), "--at", str(now().timestamp() - 3600))
    assert early["certificate"]["verify"] == "SUCCESS"


def test_a_request_to_an_address_is_told_of_as_it_is_served(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a server name the group is the one that has the address of the URL."""
    file = folder / "examples" / "seeing-why" / "explain.ini"
    other = file.with_name("addresses.ini")
    other.write_text(file.read_text().replace("= shop.example.com", "= shop.example.com, 192.0.2.7, [2001:db8::7]", 1))
    for url, status in (("https://192.0.2.7/", 200), ("https://[2001:db8::7]/", 200), ("https://192.0.2.8/", None)):
        assert command.main(["explain", str(other), "--json", url]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["sni"] is None
        assert (told["outcome"]["kind"] == "alert") == (status is None), told


def test_what_never_reaches_a_rule_is_told_as_well(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown server name, a wrong host, plain HTTP and a head that is refused."""
    unknown = explained(folder, capsys, "https://elsewhere.example.com/")
    assert (unknown["refusal"]["status"], unknown["outcome"]) == (421, {"kind": "alert", "alert": "unrecognized name"})
    wrong = explained(folder, capsys, "https://shop.example.com/", "-H", "Host: api.example.com")
    assert (wrong["refusal"]["status"], wrong["outcome"]["status"]) == (421, 421)
    plain = explained(folder, capsys, "http://shop.example.com/")
    assert (plain["refusal"]["status"], plain["outcome"]["status"]) == (497, 400)
    refused = explained(
        folder, capsys, "https://shop.example.com/", "-H", "Content-Length: 1", "-H", "Content-Length: 2"
    )
    assert (refused["refusal"]["status"], refused["outcome"]["status"]) == (400, 400)


def test_the_command_as_the_documentation_has_it(folder: pathlib.Path) -> None:
    """Each command of docs/explain.rst prints what stands below it there, but for the time that it took."""
    blocks = re.findall(
        r"^   \$ edgenode (.*)\n((?:   .*\n|\n)*)", (ROOT / "docs" / "explain.rst").read_text(), re.MULTILINE
    )
    assert len(blocks) >= 2
    for line, expected in blocks:
        ended = subprocess.run(
            [sys.executable, "-m", "edgenode", *shlex.split(line)],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
        )
        varying = r"took: .*|matched: \d+ of \d+"  # the system-managed filters count too
        assert re.sub(varying, "", ended.stdout).split() == re.sub(varying, "", expected).split()


def test_what_a_client_sends_steers_no_terminal(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not printable is escaped in the text."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["explain", file, "https://shop.example.com/", "-A", "curl/\u009b2J\x80"]) == 0
    assert all(each.isprintable() or each == "\n" for each in capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "a URL is missing"),
        (["ftp://a/"], "one of https"),
        (["https://u:p@a/"], "-u"),
        (["https://a/", "-H", "x"], "Name: value"),
        (["https://a/", "-b", "jar"], "name=value"),
        (["https://a/", "-d", "a", "-F", "b=c"], "exclude each other"),
        (["https://a/", "-d", "@/nonexistent"], "cannot read /nonexistent"),
        (["https://a/", "--from", "nobody"], "expected an IP address"),
        (["https://a/", "--at", "noon"], "expected a time"),
        (["https://a/", "--cert", "/nonexistent"], "cannot read /nonexistent"),
        (["https://a/", "--listener", "other"], "there is no [listener other]"),
    ],
)
def test_what_cannot_be_asked_is_said(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    """A sentence on standard error, and the status 1."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["explain", file, *words]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "time",
    ["nan", "inf", "1e308", "99999999999999", "-1e11", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)
def test_a_time_without_a_date_is_said_to_be_none(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], time: str
) -> None:
    """Before the year 1, behind the year 9999, or no number: nobody can judge a certificate then."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    words = ["https://api.example.com/", *certificate(folder, "acme"), f"--at={time}"]
    assert command.main(["explain", file, *words]) == 1
    assert "--at: expected a time" in capsys.readouterr().err


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("kind", ["base64", "DER", "version", "name"])
def test_a_certificate_that_cannot_be_read_is_said(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], kind: str, place: int
) -> None:
    """Wherever it is broken, and whether it is the leaf or stands in the chain."""
    good = (folder / "examples" / "pki" / "acme.pem").read_bytes()
    der = x509.load_pem_x509_certificate(good).public_bytes(Encoding.DER)
    content = {
        "base64": b"!",
        "DER": base64.b64encode(der[:100]),
        "version": base64.b64encode(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x63", 1)),
        "name": base64.b64encode(der.replace(b"\x06\x03\x55\x04\x03\x0c", b"\x06\x03\x55\x04\x03\x02")),
    }[kind]
    bad = b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n"
    (tmp_path / "bad.pem").write_bytes(good + bad if place else bad)
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    ended = command.main(["explain", file, "https://api.example.com/", "--cert", str(tmp_path / "bad.pem")])
    said = capsys.readouterr()
    assert (ended, said.err) == (1, "--cert: there is a certificate in it that cannot be read\n")


@pytest.mark.parametrize(
    "words",
    [
        ["https://shop.example.com/", "--sni", "a\x1b[2J\n"],
        ["https://shop.example.com/", "--from", "a\x1b[2J\n"],
        ["https://shop.example.com/", "--listener", "a\x1b[2J\n"],
        ["https://shop\x1b[2J/"],
        ["https://shop.example.com/", "--at", "\x1b[2J"],
        ["https://shop.example.com/", "-H", "\x1b[2J"],
        ["https://shop.example.com/", "--cert", "/\x1b[2J"],
    ],
)
def test_what_is_asked_steers_no_terminal(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """It may have been copied from a client's request."""
    command.main(["explain", str(folder / "examples" / "seeing-why" / "explain.ini"), *words])
    said = capsys.readouterr()
    assert "x1b[2" in said.out + said.err
    assert all(each.isprintable() or each == "\n" for each in said.out + said.err)


def test_a_terminal_without_the_characters_gets_escapes(folder: pathlib.Path) -> None:
    """The marks around a match are not in ASCII."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    line = [sys.executable, "-m", "edgenode", "explain", file, "https://shop.example.com/"]
    ended = subprocess.run(
        line, env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=True
    )
    assert r'"\xabcurl/\xbb8.14.1"' in ended.stdout


def test_a_body_of_untold_length_is_measured(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Forwarded it would be cut off where it is too large; what is refused is refused for what it is."""
    (folder / "large").write_bytes(b"x" * ((1 << 20) + 1))
    words = ["https://shop.example.com/", "--data-binary", f"@{folder / 'large'}", "-H", "Transfer-Encoding: chunked"]
    told = explained(folder, capsys, *words, "-A", "x")
    assert (told["refusal"]["status"], told["outcome"]["status"]) == (413, 413)
    assert explained(folder, capsys, *words, "-A", "curl/8")["outcome"]["status"] == 403


def test_a_body_that_is_too_large_to_be_judged_is_not(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If rules want to see more of it than the path map takes, it is cut off before they are asked."""
    file = folder / "examples" / "seeing-why" / "small.ini"
    text = (file.parent / "explain.ini").read_text().replace("origin = shop", "origin = shop\nmax-body-size = 5")
    file.write_text(f"{text}\n[global-filter looks]\nargument.x = .\naction = block\n")
    words = ["https://shop.example.com/", "-H", "Transfer-Encoding: chunked", "--json"]
    for data, status in (("x=1", 403), ("x=1234", 413)):
        assert command.main(["explain", str(file), *words, "-d", data]) == 0
        assert json.loads(capsys.readouterr().out)["outcome"]["status"] == status


def test_why_a_body_is_refused_of_which_rules_may_read_something_else_is_told(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the stage that refuses it, with what is ambiguous in it; and it is let through where the path map says so."""
    file = folder / "examples" / "seeing-why" / "ambiguous.ini"
    (folder / "body").write_bytes(b'--b\r\nContent-Disposition: form-data; name="q"\r\nattack\r\n--b--\r\n')
    words = ["https://shop.example.com/", "-A", "x", "--data-binary", f"@{folder / 'body'}"]
    words += ["-H", "Content-Type: multipart/form-data; boundary=b"]
    text = (file.parent / "explain.ini").read_text() + "\n[global-filter looks]\nargument.q = ^evil$\naction = block\n"
    why = "a multipart body that two servers may read differently: an empty line does not end the head of a part"
    for key, status in (("", 400), ("\nambiguous-multipart = pass", None)):
        file.write_text(text.replace("origin = shop", f"origin = shop{key}"))
        assert command.main(["explain", str(file), "--json", *words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["outcome"].get("status") == status
        assert [each["annotation"] for stage in told["stages"] for each in stage["reasons"]] == [why] * (not key)
        assert command.main(["explain", str(file), *words]) == 0
        assert (f"  tag: body:ambiguous -> uninspected: {why}\n" in capsys.readouterr().out) is (not key)
    assert "body:ambiguous" in [each["tag"] for each in told["tags"]]


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("TRACE", 405)])
def test_what_may_go_no_further_is_answered_here(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], method: str, status: int
) -> None:
    """``Max-Forwards: 0``, of the methods for which it counts."""
    url = "https://shop.example.com/"
    told = explained(folder, capsys, url, "-X", method, "-H", "Max-Forwards: 0")
    assert (told["outcome"]["kind"], told["outcome"]["status"]) == ("respond", status)
    kind = explained(folder, capsys, url, "-X", method, "-H", "Max-Forwards: 1")["outcome"]["kind"]
    assert kind == ("forward" if method == "OPTIONS" else "respond")
    assert explained(folder, capsys, url, "-H", "Max-Forwards: 0")["outcome"]["kind"] == "forward"


def test_a_disagreement_is_said_loudly(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the engine and the explanation ever differ, that comes first, and the status is 3."""
    monkeypatch.setattr(explaining.Filters, "traces", lambda self, exchange: {})
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["explain", file, "https://shop.example.com/"]) == 3
    assert capsys.readouterr().out.startswith("*** The engine and the explanation disagree")


# -- one filter, and what is expected ----------------------------------------------------------------------------------


def asked(folder: pathlib.Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The status of the command, and what it says to people."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    status = command.main(["explain", file, *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_filter_that_did_not_match_says_why(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entry by entry with the values that were looked at, also of one entry, which never nearly matches."""
    told = asked(folder, capsys, "--filter", "old-links", "https://shop.example.com/new")[1]
    assert 'the filter did not match\n  old-links -> moved\n    no   path: ^/old(/|$)   "/new"\n' in told
    assert "filters that" not in told
    told = asked(folder, capsys, "--filter", "scripts-that-write", "https://shop.example.com/", "-A", "x")[1]
    lines = [line.strip()[:3] for line in told.partition("did not match\n")[2].splitlines()[1:5]]
    assert lines == ["all", "no ", "no ", "yes"]
    assert '"GET"' in told
    assert '"protocol:https"' in told  # each of the tags that there were, instead of their number


def test_a_filter_that_matched_is_told_alike(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what was found."""
    told = explained(folder, capsys, "--filter", "old-links", "https://shop.example.com/old/x")["filter"]
    assert (told["judged"], told["rule"]["holds"], told["action"]) == (True, True, "moved")


def test_a_filter_that_was_not_judged_says_so(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Because it is not active, because the request was refused before, or because there is none."""
    assert (
        "old-links was not judged: the request is refused before"
        in asked(folder, capsys, "--filter", "old-links", "https://nobody.example.com/")[1]
    )
    status, _, err = asked(folder, capsys, "--filter", "old-link", "https://shop.example.com/")
    assert (status, err) == (1, 'there is no [global-filter old-link]; did you mean "old-links"?\n')
    file = folder / "examples" / "seeing-why" / "inactive.ini"
    text = (file.parent / "explain.ini").read_text()
    file.write_text(text.replace("[global-filter old-links]\n", "[global-filter old-links]\nactive = no\n"))
    assert command.main(["explain", str(file), "--filter", "old-links", "https://shop.example.com/old"]) == 0
    assert "the filter old-links was not judged: active = no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "words", "met"),
    [
        ("forward", ("https://shop.example.com/",), True),
        ("block", ("https://shop.example.com/",), False),
        ("script", ("https://shop.example.com/",), True),
        ("protocol:https", ("https://shop.example.com/",), True),
        ("nobody", ("https://shop.example.com/",), False),
        ("block", ("https://shop.example.com/cart", "-d", "x=1"), True),
        ("403", ("https://shop.example.com/cart", "-d", "x=1"), True),
        ("200", ("https://shop.example.com/cart", "-d", "x=1"), False),
        ("action:forbid", ("https://shop.example.com/cart", "-d", "x=1"), True),
        ("forward", ("https://shop.example.com/cart", "-d", "x=1"), False),
        ("497", ("http://shop.example.com/",), True),
        ("400", ("http://shop.example.com/",), True),
        ("block", ("https://nobody.example.com/",), True),
        ("script", ("https://nobody.example.com/",), False),
    ],
)
def test_what_is_expected_becomes_the_status(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], expected: str, words: tuple[str, ...], met: bool
) -> None:
    """0 if it is so, and 4 with a sentence if not; as JSON too."""
    for more in (), ("--json",):
        status, out, err = asked(folder, capsys, *words, "--expect", expected, *more)
        assert (status, bool(out)) == (0 if met else 4, True)
        assert err == "" if met else err.startswith(f"expected {expected}, and it is ")


def test_several_expectations_must_all_be_met(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each that is not has a line."""
    url = "https://shop.example.com/"
    assert asked(folder, capsys, url, "--expect", "forward", "--expect", "script")[0] == 0
    status, _, err = asked(folder, capsys, url, "--expect", "forward", "--expect", "404", "--expect", "x")
    assert (status, len(err.splitlines())) == (4, 2)


def test_a_call_of_grpc_is_told_the_status_that_its_client_reads(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--http2``, by which rules see that version; others are told none."""
    call = ("-X", "POST", "-H", "content-type: application/grpc", "https://shop.example.com/cart")
    told = explained(folder, capsys, "--http2", *call)
    assert (told["outcome"]["status"], told["outcome"]["grpc_status"]) == (403, 7)
    told = explained(
        folder, capsys, "--http2", "-H", "content-type: application/grpc", "-d", "x", "shop.example.com/%zz"
    )
    assert "grpc_status" not in told["outcome"], "it cannot be read"
    assert "grpc_status" not in explained(folder, capsys, *call)["outcome"]
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["explain", file, "--http2", *call]) == 0
    assert "  status 403, in gRPC 7\n" in capsys.readouterr().out


RULED = """
[listener public]
endpoint = tcp:8443
server-groups = shop
[server-group shop]
hosts = shop.example.com
certificate = site
security-policy = shop
response-rules = site
[certificate site]
chain = examples/pki/site.pem
key = examples/pki/site.key
[security-policy shop]
path-maps = shop
[path-map shop]
path = ^/shop
origin = shop
[origin shop]
servers = http://127.0.0.1:8080
[global-filter a]
path = /private
action = block
[action own]
type = block
body = Mine.
[global-filter b]
path = /own
action = own
[response-rules site]
set = x-one: ${http.host}
error-page = 403 404: "page ${http.response.code}"
"""


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/shop/private", 403, "page 403\n"), ("/shop/own", 403, "Mine.\n"), ("/elsewhere", 404, "page 404\n")],
)
def test_an_answer_is_told_as_response_rules_make_it(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], path: str, status: int, body: str
) -> None:
    """With its page and its fields, also where no path map is responsible."""
    (folder / "ruled.ini").write_text(RULED)
    assert command.main(["explain", str(folder / "ruled.ini"), "--json", f"https://shop.example.com:8443{path}"]) == 0
    outcome = json.loads(capsys.readouterr().out)["outcome"]
    assert (outcome["status"], outcome["body"]) == (status, body)
    assert ["x-one", "shop.example.com"] in outcome["headers"]
    assert ["strict-transport-security", "max-age=31536000"] in outcome["headers"]
    assert "plain" not in outcome
