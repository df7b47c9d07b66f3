"""The command line: ``edgenode check``, ``reference``, and how every command ends."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import docutils.core  # type: ignore[import-untyped]
import docutils.nodes  # type: ignore[import-untyped]
import docutils.parsers.rst.directives  # type: ignore[import-untyped]
import pytest

from edgenode import __main__ as command
from edgenode.config import schema
from edgenode.config.data import SECTIONS, UNNAMED
from edgenode.config.reference import reference
from edgenode.model.version import version
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.functions import FUNCTIONS

BROKEN = "[edge]\nname = a b\n[listener x]\n[global-filter f]\npath = x\n"


def test_errors_go_to_standard_error_and_the_status_is_1(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be used: all its problems, warnings too, a count of the errors, and 1."""
    path = tmp_path / "broken.ini"
    path.write_text(BROKEN)
    assert command.main(["check", str(path)]) == 1
    assert capsys.readouterr() == (
        "",
        f"{path}:2: [edge] name: expected a single word\n"
        "    a b\n"
        "     ^\n"
        f"{path}:3: [listener x] endpoint: this key is required\n"
        f"{path}:3: [listener x] server-groups: this key is required\n"
        f"{path}:4: warning: [global-filter f]: has neither tags nor an action, and so no effect\n"
        f"{path}: 3 errors\n",
    )


def test_check_in_a_process_of_its_own(tmp_path: pathlib.Path) -> None:
    """``edgenode check`` ends with the status, and installs no reactor."""
    path = tmp_path / "broken.ini"
    path.write_text("nonsense")
    script = (
        "import runpy, sys\n"
        "sys.argv[1:] = ['check', sys.argv[1]]\n"
        "try: runpy.run_module('edgenode', run_name='__main__')\n"
        "finally: assert 'twisted.internet.reactor' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{path}:1: expected [kind name]")


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not exist ends with 2 and a list of those that do."""
    with pytest.raises(SystemExit) as ended:
        command.main(["chekc"])
    assert ended.value.code == 2
    assert "check" in capsys.readouterr().err


def test_the_reference_names_every_key_with_its_type_default_and_help() -> None:
    """Nothing of the schema is missing from the reference."""
    text = reference()
    for cls in SECTIONS:
        title = f"[{cls.kind} NAME]" if cls not in UNNAMED.values() else f"[{cls.kind}]"
        part = text.partition(f"\n{title}\n")[2].partition("\n[")[0]
        for setting in schema.settings(cls).values():
            row = part.partition(f"\n.. key:: [{cls.kind}] {setting.key}\n")[2].partition("\n.. ")[0]
            assert setting.help in row, (cls, setting.key)
            assert setting.notation.title in re.sub(r"(?<!`)`([^`]+)`_", r"\1", row)
            assert ("*required*" in row) == setting.required
    for directive, table in (("category", CATEGORIES), ("field", FIELDS), ("function", FUNCTIONS)):
        for name, each in table.items():
            assert f"\n.. {directive}:: {name}" in text
            assert each.help in text


class Definition(docutils.parsers.rst.Directive):
    """What Sphinx makes of ``.. key::`` and the like, as far as docutils is concerned: a name, and what is below it."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[docutils.nodes.Node]:
        """Read what is below."""
        node = docutils.nodes.container()
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def test_the_reference_is_valid_restructuredtext(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a page that docutils reads without a complaint."""
    for name in ("key", "category", "field", "function", "recorded-field"):
        docutils.parsers.rst.directives.register_directive(name, Definition)
    assert command.main(["reference"]) == 0
    page = capsys.readouterr().out.replace(":ref:", "")
    docutils.core.publish_doctree(page, settings_overrides={"halt_level": 2, "report_level": 2})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("next-upstream", "[origin] next-upstream = list: error | timeout"),
        ("access-log", "[edge] access-log = file to write (default: -)\n    Where to write a line"),
        ("edge", "[edge] drain-timeout = duration (default: 30s)"),
        ("http.host", "http.host: field\n    The host asked for"),
        ("header", "header: category of rules\n"),
        ("lower", "lower: function\n"),
    ],
)
def test_the_reference_of_one_name(capsys: pytest.CaptureFixture[str], name: str, shown: str) -> None:
    """A key in each section that has it, all keys of a section, and what rules may name."""
    assert command.main(["reference", name]) == 0
    out = capsys.readouterr().out
    assert shown in out
    assert "``" not in out


def test_every_name_of_the_reference_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """None of them is unknown to the command; of another it says what may be meant."""
    for name in (*(key for cls in SECTIONS for key in schema.settings(cls)), *CATEGORIES, *FIELDS, *FUNCTIONS):
        assert command.main(["reference", name]) == 0
    capsys.readouterr()
    assert command.main(["reference", "acces-log"]) == 1
    assert capsys.readouterr() == ("", 'there is no acces-log; did you mean "access-log"?\n')


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Without loading anything else."""
    with pytest.raises(SystemExit) as ended:
        command.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"edgenode {version()}\n"


def test_a_reader_that_has_seen_enough_is_no_trouble() -> None:
    """``edgenode reference | head -1`` ends as any program in a pipe does, and quietly."""
    line = [sys.executable, "-m", "edgenode", "reference"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
