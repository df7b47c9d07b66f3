"""The tree of commands: its help, the completion that shells make of it, and the manual page."""

from __future__ import annotations

import argparse
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from edgenode import __main__ as command
from edgenode.commands.tree import COMMANDS, tree

ROOT = pathlib.Path(__file__).parent.parent.parent
PATIENCE = 20.0
"""Seconds that a shell may take."""

COMPLETED = (
    ("che", {"check"}),
    ("pki se", {"server"}),
    ("feeds ", {"update", "list"}),
    ("content-filter ", {"test"}),
    ("reload --pid", {"--pid", "--pid-file"}),
    ("completion z", {"zsh"}),
    ("reference access-log-f", {"access-log-format"}),
    ("check edg", {"edge.ini"}),
)
"""Beginnings of command lines, and all that the last word can become, in a folder with the file ``edge.ini``."""


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of the commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for below in action.choices.values():
                yield from parsers(below)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with a file, and in ``bin`` an ``edgenode`` that prints what the command has printed once."""
    folder = tmp_path_factory.mktemp("shells")
    (folder / "edge.ini").touch()
    (folder / "bin").mkdir()
    for shell in ("bash", "zsh", "fish"):
        made = subprocess.run([sys.executable, "-m", "edgenode", "completion", shell], capture_output=True, check=True)
        (folder / "bin" / shell).write_bytes(made.stdout)
    program = folder / "bin" / "edgenode"
    program.write_text('#!/bin/sh\nexec cat "$(dirname "$0")/$2"\n')
    program.chmod(0o755)
    return folder


def in_shell(*line: str, folder: pathlib.Path) -> list[str]:
    """The lines that a shell prints, in the folder and with its program."""
    if shutil.which(line[0]) is None:
        pytest.skip(f"there is no {line[0]} here: its completion was not tried")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "TERM": "dumb", "LANG": "C.UTF-8"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_every_command_says_what_it_takes() -> None:
    """No argument is without help, none but those that are hidden on purpose; and each command says what it does."""
    whole = list(parsers(tree()))
    assert len(whole) == 1 + len(COMMANDS) + 16
    for parser in whole:
        for action in parser._actions:
            assert action.help or action.metavar == "COMMAND", (parser.prog, action)
    for parser in whole[1:]:
        assert parser.description or parser.prog.count(" ") == 2, parser.prog


def test_help_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of any help is longer than 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    for parser in parsers(tree()):
        assert max(map(len, parser.format_help().splitlines())) <= 80, parser.prog


def test_only_the_command_that_is_called_is_loaded() -> None:
    """``edgenode --help`` answers at once: nothing of a command, of Twisted or of the rules is imported for it."""
    script = "import sys\nfrom edgenode.commands.tree import parse\ntry: parse(['--help'])\n"
    script += "finally: print(*sorted(name for name in sys.modules if name.startswith(('edgenode.', 'twisted'))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    loaded = done.stdout.splitlines()[-1].split()
    assert set(loaded) <= {"edgenode.commands", "edgenode.commands.tree", "edgenode.model", "edgenode.model.version"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["check", "--strct", "x.ini"], "usage: edgenode check [-h]"),
        (["pki", "server", "a", "b", "c"], "usage: edgenode pki server [-h]"),
        (["feeds"], "usage: edgenode feeds [-h]"),
        (["explain", "x.ini", "a.test", "--js"], "usage: edgenode explain [-h]"),
        (["demo", "--port", "65536"], "usage: edgenode demo [-h]"),
        (["demo", "--port", "-1"], "usage: edgenode demo [-h]"),
        (["check", "--json", "--effective", "x.ini"], "usage: edgenode check [-h]"),
        ([], "usage: edgenode [-h]"),
    ],
)
def test_wrong_usage_is_told_with_the_usage_of_that_command(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ends with 2, before anything was done."""
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(complaint)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("feeds update --shrink x.ini tor", {"file": "x.ini", "names": ["tor"], "shrink": True}),
        ("feeds update x.ini --shrink tor", {"file": "x.ini", "names": ["tor"], "shrink": True}),
        ("explain x.ini --from 192.0.2.1 a.test", {"file": "x.ini", "peer": "192.0.2.1", "url": "a.test"}),
        ("replay x.ini --json e.jsonl", {"file": "x.ini", "events": "e.jsonl", "json": True}),
        ("pki client --days 3 ca acme", {"command": "client", "name": "acme", "days": 3}),
    ],
)
def test_options_may_stand_anywhere(words: str, found: dict[str, object]) -> None:
    """Before, between and behind the other arguments."""
    parsed = vars(tree(words.split()).parse_args(words.split()))
    assert {**parsed, **found} == parsed


@pytest.mark.parametrize(("line", "words"), COMPLETED)
def test_bash_completes(line: str, words: set[str], folder: pathlib.Path) -> None:
    """Commands, options, names of the reference and files."""
    typed = f"edgenode {line}"
    typed_words = shlex.split(typed) + ([""] if typed.endswith(" ") else [])
    script = f"""eval "$(edgenode completion bash)"
COMP_WORDS=({shlex.join(typed_words)}); COMP_CWORD={len(typed_words) - 1}; COMP_LINE={shlex.quote(typed)}
COMP_POINT=${{#COMP_LINE}}; _shtab_edgenode; printf '%s\\n' "${{COMPREPLY[@]}}" """
    assert set(in_shell("bash", "-c", script, folder=folder)) == words


@pytest.mark.parametrize(("line", "words"), COMPLETED)
def test_fish_completes(line: str, words: set[str], folder: pathlib.Path) -> None:
    """The same; fish says behind a tab what each is."""
    typed = f"edgenode {line}"
    lines = in_shell(
        "fish", "-c", f"edgenode completion fish | source\ncomplete -C {shlex.quote(typed)}", folder=folder
    )
    assert {each.partition("\t")[0] for each in lines} == words


def test_zsh_completes(folder: pathlib.Path) -> None:
    """On a terminal, where alone it does: each beginning that has one end becomes that, by the tabulator."""
    in_shell("zsh", "-c", "true", folder=folder)
    (folder / ".zshrc").write_text(
        'autoload -U compinit; compinit -u -D\neval "$(edgenode completion zsh)"\nPS1="ready> "\n'
    )
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb"}
    environment |= {"LANG": "C.UTF-8"}
    above, below = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-i"], cwd=folder, env=environment, stdin=below, stdout=below, stderr=below, start_new_session=True
    ) as shell:
        os.close(below)
        try:
            said = read_until(above, "ready> ")
            for line, words in COMPLETED:
                if len(words) == 1:
                    os.write(above, f"\x15edgenode {line}\t".encode())
                    said = read_until(above, f"edgenode {line.rpartition(' ')[0]}".rstrip(), *words)
                    assert "not found" not in said
        finally:
            shell.kill()
            os.close(above)


def read_until(terminal: int, *words: str) -> str:
    """What a terminal shows until all words were there in their order, without the sequences that move the cursor."""
    said, until = "", time.monotonic() + PATIENCE
    while not re.search(".*".join(map(re.escape, words)), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said), re.DOTALL):
        assert select.select([terminal], [], [], until - time.monotonic())[0], (words, said)
        said += os.read(terminal, 65536).decode()
    return said


def test_the_manual_page_has_every_command(tmp_path: pathlib.Path) -> None:
    """``make man`` makes a page that ``man -l`` shows without a warning, with all commands and options."""
    tool = pathlib.Path(sys.executable).with_name("argparse-manpage")
    if not tool.exists():
        pytest.skip("there is no argparse-manpage here: the manual page was not made")
    (recipe,) = re.findall(r"^build/man/edgenode\.1:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = re.sub(r"^\t@?", "", recipe, flags=re.MULTILINE).replace("$(BIN)/", "").replace("$@", "build/man/edgenode.1")
    made = made.replace("$$", "$")
    path = f"{tool.parent}:{os.environ['PATH']}"
    (tmp_path / "edgenode").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m edgenode "$@"\n')
    (tmp_path / "edgenode").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{path}", "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-ec", made], cwd=tmp_path, env=environment, check=True, timeout=60)
    page = (tmp_path / "build" / "man" / "edgenode.1").read_text().replace("\\-", "-")
    for parser in parsers(tree()):
        assert parser.prog in page
        for action in parser._actions:
            if action.help != argparse.SUPPRESS and action.dest != "help":
                assert all(option in page for option in action.option_strings), action
    if shutil.which("man") is None:
        pytest.skip("there is no man here: the page was made, but not shown")
    shown = subprocess.run(
        ["man", "--warnings", "-l", "build/man/edgenode.1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "edgenode explain" in shown.stdout
