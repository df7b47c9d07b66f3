"""The example etc/edgenode.ini: complete, right, and checked by the command that its first lines name."""

from __future__ import annotations

import pathlib
import re
import shlex

import attrs
import pytest

from edgenode.__main__ import main
from edgenode.config import schema
from edgenode.config.data import SECTIONS
from edgenode.config.ini import IniSection
from edgenode.config.load import Configuration
from edgenode.config.value_readers import Scope
from edgenode.rules.categories import WORDS

EXAMPLE = pathlib.Path(__file__).parent.parent.parent / "etc" / "edgenode.ini"
COMMENTED = re.compile(r"#([a-z][a-z-]*) = (.+)")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the example, with the certificates made by the commands that it names."""
    folder = tmp_path_factory.mktemp("example")
    path = folder / "etc" / "edgenode.ini"
    path.parent.mkdir()
    path.write_bytes(EXAMPLE.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in re.findall(r"^#   \$ python -m edgenode pki (.*)$", path.read_text(), re.MULTILINE):
            assert main(["pki", *shlex.split(line)]) == 0
    (path.parent / "geo").mkdir()
    (path.parent / "state").mkdir()
    (path.parent / "journal").mkdir()
    for named in (
        "pki/public/shop.passphrase",
        "pki/challenge.keys",
        "pki/mask.key",
        "pki/sticky.keys",
        "pki/redis.password",
        "pki/traces.token",
        "crs-setup.conf",
        "geo/GeoLite2-City.mmdb",
        "geo/GeoLite2-Country.mmdb",
        "geo/GeoLite2-ASN.mmdb",
    ):
        (path.parent / named).touch()  # in a comment only
    return path


def test_the_example_can_be_used_as_it_stands(example: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example has neither errors nor warnings once its certificates are there."""
    assert main(["check", str(example)]) == 0
    counts = "1 listener, 2 server groups, 3 path maps, 2 origins, 5 global filters, 0 warnings"
    assert capsys.readouterr() == (f"{example}: ok, {counts}\n", "")


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.rst"])
def test_the_problems_that_a_page_shows_are_those_of_the_example(
    example: pathlib.Path, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy with three mistakes has the problems that the README and the tutorial print, at whatever lines."""
    text = EXAMPLE.read_text()
    for right, wrong in (("= on\n", "= maybe\n"), ("\nservers ", "\nserverz "), ("= ^/old/\n", "= ^/old/(\n")):
        text = text.replace(right, wrong, 1)
    (example.parent / "broken.ini").write_text(text)
    monkeypatch.chdir(example.parent.parent)
    assert main(["check", "etc/broken.ini"]) == 1
    assert _lines(capsys.readouterr().err) in _lines((EXAMPLE.parent.parent / page).read_text())


def _lines(text: str) -> str:
    """The lines of a text without what they are indented by, and without the numbers of lines in the example."""
    return re.sub(r"(?<=\.ini):\d+:", ":", "\n".join(line.strip() for line in text.splitlines()))


def test_the_example_lacks_nothing_but_its_certificates(capsys: pytest.CaptureFixture[str]) -> None:
    """In a fresh clone every problem of the example is a missing file of the folder that is made, and nothing else."""
    problems = (
        re.findall(r"^\S+:\d+: \[.*$", capsys.readouterr().err, re.MULTILINE) if main(["check", str(EXAMPLE)]) else []
    )
    assert all("etc/pki/" in problem for problem in problems)


def test_the_example_shows_every_key_and_every_category() -> None:
    """Each key of each kind of section is in the example, written or commented out, and each category of rules."""
    shown: dict[str, set[str]] = {}
    kind = ""
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith(("[", "#[")):  # an extension's is commented out, for it is not installed
            kind = line.strip("#[]").split()[0]
        elif match := re.match(r"#?([a-z][a-z0-9.-]*) *=", line):
            shown.setdefault(kind, set()).add(match[1].partition(".")[0])
    assert set(shown) == {cls.kind for cls in SECTIONS}
    missing = {
        cls.kind: keys
        for cls in SECTIONS
        if (keys := schema.settings(cls).keys() - shown[cls.kind] - {"relation", "sections"})
    }
    assert missing == {}
    assert set().union(*shown.values()) >= {*WORDS, "relation", "sections"}


def test_what_is_commented_out_is_the_default(example: pathlib.Path) -> None:
    """A key that the example shows as a default is read as the default of its class."""
    classes = {cls.kind: cls for cls in SECTIONS}
    cls: type = object
    checked = 0
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith(("[", "#[")):
            cls = classes[line.strip("#[]").split()[0]]
        elif (match := COMMENTED.fullmatch(line)) and match[1] in schema.settings(cls):  # else it is an entry
            setting = schema.settings(cls)[match[1]]
            scope = Scope(
                example.parent,
                {"PUBLIC_KEY_PASSPHRASE": "x", "JWT_SECRET": "x"},
                {
                    "trust-store": ["internal"],
                    "action": ["block"],
                    "certificate": ["edge-client"],
                    "content-filter": ["partners"],
                    "dynamic-rule": ["scanners"],
                    "origin": ["collector", "shop"],
                    "edge-function": ["signature"],
                    "health-check": ["alive"],
                },
            )
            value, problems = setting.notation.parse(match[2], scope)
            assert problems == [], line
            assert setting.default in (None, (), attrs.NOTHING) or value == setting.default, line
            checked += 1
    assert checked > 30


def test_the_example_with_its_defaults_written_out_means_the_same(example: pathlib.Path) -> None:
    """Taking away the comment signs of the defaults changes nothing; a key without one shows an example."""
    text = re.sub(r"^#\[[^\n]*\n(?:#[^\n]*\n)*", "", example.read_text(), flags=re.MULTILINE)  # sections that are one
    empty = "|".join(
        setting.key
        for cls in SECTIONS
        for setting in schema.settings(cls).values()
        if setting.default in (None, (), attrs.NOTHING)
    )
    written = re.sub(rf"^#(?!({empty}) = )(?=[a-z][a-z-]* = )", "", text, flags=re.MULTILINE)
    assert written != text
    before, after = (dict(Configuration.from_text(each, example.parent, {}).written()) for each in (text, written))
    assert before == after


def test_an_ini_section_that_is_read_has_no_default_hidden() -> None:
    """A section without any key has nothing but defaults: edge may be left out."""
    assert schema.read(IniSection("edge", "", {}), SECTIONS[0], Scope(pathlib.Path()))[0] == SECTIONS[0]()
