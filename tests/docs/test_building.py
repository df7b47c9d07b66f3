"""The pages as Sphinx builds them: without a warning, grouped, and with an anchor for everything that has a name."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import zlib

import pytest

from edgenode.config import schema
from edgenode.config.data import SECTIONS
from edgenode.observe.event_fields import ALL_ROWS
from edgenode.observe.state_events import reference as of_state
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.functions import FUNCTIONS

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.[rm][sd]*"))
KEYS = [f"[{cls.kind}] {key}" for cls in SECTIONS for key in schema.settings(cls)]
KEYS += [
    f"[{cls.kind}] {each.key} ({', '.join(words)})" for cls in SECTIONS for each, words in schema.keys_of_words(cls)
]
RELATIVE = re.compile(r"^(The same(?! as ``)|That |Those |Its |It |How:|For )|[Ll]ikewise")
TITLE = re.compile(r"^(\S.*)\n([=~-])\2+$|^#+ (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """All pages, built as ``make docs`` does."""
    folder = tmp_path_factory.mktemp("html")
    line = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", f"{folder}/trees"]
    done = subprocess.run([*line, DOCS, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def objects(folder: pathlib.Path) -> dict[tuple[str, str], str]:
    """What Sphinx lists for the search and for other projects: by kind and name, the page and the anchor."""
    packed = (folder / "objects.inv").read_bytes().split(b"\n", 4)[4]
    found = {}
    for line in zlib.decompress(packed).decode().splitlines():
        name, kind, place = re.fullmatch(r"(.+) std:([\w-]+) -?\d+ (\S+) .*", line).groups()  # type: ignore[union-attr]
        found[kind, name] = place.replace("$", name)
    return found


def test_every_key_field_and_function_has_an_anchor_that_the_search_finds(built: pathlib.Path) -> None:
    """One for each key of each section, each category, field and function, and each field of events."""
    found, reference = objects(built), (built / "configuration.html").read_text()
    categories = [f"{each.name}.NAME" if each.named else each.name for each in CATEGORIES.values()]
    events = [*ALL_ROWS, *re.findall(r"^\.\. event-field:: (\S+)$", of_state(), re.MULTILINE)]
    wanted = {"key": KEYS, "category": categories, "field": FIELDS, "function": FUNCTIONS, "event-field": events}
    assert {kind: {name for each, name in found if each == kind} for kind in wanted} == {
        kind: set(names) for kind, names in wanted.items()
    }
    assert found["key", "[path-map] max-body-size"] == "configuration.html#key-path-map-max-body-size"
    assert 'id="key-path-map-max-body-size"' in reference
    assert 'id="field-cf.tls_client_auth.cert_verified"' in reference


def test_the_search_ranks_a_definition_above_the_pages_that_mention_it(built: pathlib.Path) -> None:
    """Sphinx adds 15 to the score of objects of priority 0, and 15 is what a word in a title has."""
    line = zlib.decompress((built / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    assert "cf.tls_client_auth.cert_verified std:field 0 configuration.html#" in line
    assert "[path-map] max-body-size std:key 0 configuration.html#" in line


def test_every_key_is_defined_with_its_type_and_default(built: pathlib.Path) -> None:
    """A definition list for each, which fits a narrow window, and no table."""
    page = (built / "configuration.html").read_text()
    definition = page.partition('id="key-edge-drain-timeout"')[2].partition("<p>How long")[0]
    assert re.findall(r"<dt[^>]*>(\w+)<", definition) == ["Type", "Default"]
    assert "<table" not in page


def test_the_index_groups_all_pages() -> None:
    """Tutorial, how-to, reference and explanation: what a reader wants from a page says where it stands."""
    captions = re.findall(r":caption: (.*)", (DOCS / "index.rst").read_text())
    assert captions == ["Tutorial", "How-to guides", "Reference", "Explanation"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_titles_name_the_thing(page: pathlib.Path) -> None:
    """No title is a question or half a sentence: in a list of contents it has to say alone what is below it."""
    for plain, _, markdown in TITLE.findall(page.read_text()):
        title = plain or markdown
        if title == "How do I …?":  # what new users look for, and below it the things
            continue
        assert "?" not in title
        assert not re.match(r"(What|Where|When|Why|Who|How|In|Once|By|Between)\b", title), title


def test_a_definition_is_understood_without_the_one_above_it() -> None:
    """A reader comes to it by the search: nothing in it refers to what stands before it."""
    helps = {f"[{cls.kind}] {key}": each.help for cls in SECTIONS for key, each in schema.settings(cls).items()}
    helps |= {name: each.help for table in (CATEGORIES, FIELDS, FUNCTIONS) for name, each in table.items()}
    helps |= {path: row.help for path, row in ALL_ROWS.items()}
    assert [name for name, help in helps.items() if RELATIVE.search(help)] == []
