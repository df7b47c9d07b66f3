"""Contents as people and broken servers make them: each is read right or refused, and nothing of it is lost unsaid."""

from __future__ import annotations

import gzip
import pathlib

import pytest

from edgenode.config.load import Configuration
from edgenode.feeds.contents import Refused, read_download
from edgenode.feeds.store import Stored
from edgenode.rules.feed_formats import MOST_BAD
from edgenode.rules.lists import List
from tests.support.node import PKI, ini

SOURCE = "https://feeds.example.net/x"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """What a configuration takes."""
    made = PKI.make(tmp_path_factory.mktemp("odd"))
    (made.folder / "state").mkdir(mode=0o700)
    return made


def read(pki: PKI, keys: str, *data: bytes) -> tuple[list[tuple[int, int]] | set[object], list[str]]:
    """The ranges or texts of a list, and what was left out.

    :param keys: of its section, separated by ``;``.
    """
    sources = [f"{SOURCE}{number}" for number, _ in enumerate(data)]
    lines = ["[list x]", "source =", *(f"    {each}" for each in sources), *(each.strip() for each in keys.split(";"))]
    text = ini(1, {"edge": {"state": "state"}}) + "\n" + "\n".join(lines) + "\n"
    section = dict(Configuration.from_text(text, pki.folder, {}).fed())["list x"]
    assert isinstance(section, List)
    parts = [Stored(source, each) for source, each in zip(sources, data, strict=True)]
    content = read_download("list x", section, parts, None)
    found = [(each.first & 0xFF, each.last & 0xFF) for each in content.members.networks.ranges()]
    return found or set(content.members.words), [each.sentence for each in content.skipped]


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("keys", "data", "found"),
    [
        ("type = ip", b"192.0.2.1\r\n192.0.2.9\r\n", [(1, 1), (9, 9)]),
        ("type = ip", BOM + b"192.0.2.1\n", [(1, 1)]),
        ("type = ip; format = json-lines a", BOM + b'{"a":"192.0.2.1"}\r\n\r\n{"a":"192.0.2.9"}', [(1, 1), (9, 9)]),
        ("type = ip; format = csv ip", BOM + b'"ip","x"\r\n"192.0.2.1","a\r\nb"\r\n', [(1, 1)]),
        ("type = ip", b"\t192.0.2.1\t# one\n 192.0.2.9 ; two\n; three\n", [(1, 1), (9, 9)]),
        ("type = ip", b"192.0.2.1-192.0.2.9\n192.0.2.11 - 192.0.2.12\n", [(1, 9), (11, 12)]),
        ("type = ip", b"2001:db8::1-2001:db8::9\n2001:db8::b - 2001:db8::c\n", [(1, 9), (11, 12)]),
        ("type = ip; format = separated tab 1-2", b"192.0.2.1\t192.0.2.9\t24\r\n", [(1, 9)]),
        ("type = ip; format = separated tab 2", b"\t192.0.2.1\n", [(1, 1)]),
        ("type = hostname", b".example.com\r\nA.example\n", {b".example.com", b"a.example"}),
    ],
)
def test_odd_contents_are_read(pki: PKI, keys: str, data: bytes, found: object) -> None:
    """All of them, and as they are meant."""
    values, skipped = read(pki, keys, data)
    if isinstance(values, set):
        assert len(values) == len(found)  # type: ignore[arg-type]
    else:
        assert values == found
    assert not skipped


PAGE = b"<!DOCTYPE html>\n<html><head><title>503</title></head>\n<body>Unavailable</body></html>\n"


@pytest.mark.parametrize("skip", ["", "; bad-lines = skip; most-shrink = 100"])
@pytest.mark.parametrize(
    ("keys", "data", "sentence"),
    [
        *((f"type = {kind}", page, "an HTML page") for kind in ("ip", "string", "hostname", "asn")
          for page in (PAGE, BOM + b"\r\n " + PAGE, b"<html><body>Just a moment</body>")),
        ("type = string; format = csv 1", PAGE, "an HTML page"),
        ("type = string; format = json a?", PAGE, "an HTML page"),
        ("type = ip", gzip.compress(b"192.0.2.1\n" * 50, mtime=0), ("line 1: not UTF-8", "more bad lines")),
        ("type = ip", "192.0.2.1\n192.0.2.2\n".encode("utf-16"), ("not UTF-8", "more bad lines")),
        ("type = ip", b"192.0.2.9-192.0.2.1\n", ("the lower one first", "more bad lines")),
        ("type = ip", b"192.0.2.1-2001:db8::1\n", ("of one family", "more bad lines")),
        ("type = ip; format = csv 1", b'192.0.2.1,x\n192.0.2.2,"x\n192.0.2.3\n192.0.2.4\n', ("not CSV", "more bad")),
        ("type = ip; format = json a[*]", b'{"a":["192.0.2.1"],"a":[]}', "a key is twice in one object: 'a'"),
        ("type = ip; format = json [*]", b'["192.0.2.1","192.0.2.2"', "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_such_content_is_refused(
    pki: PKI, keys: str, data: bytes, sentence: str | tuple[str, str], skip: str
) -> None:
    """Whether bad lines are left out or not."""
    with pytest.raises(Refused) as refused:
        read(pki, keys + skip, data)
    assert (sentence if isinstance(sentence, str) else sentence[bool(skip)]) in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\r\n \r\n", b"# nothing\n"])
def test_an_empty_content_is_refused_unless_all_may_go(pki: PKI, data: bytes) -> None:
    """At the first time, too."""
    with pytest.raises(Refused, match="it is empty"):
        read(pki, "type = ip", data)
    assert read(pki, "type = ip; most-shrink = 100", data)[0] == set()


def test_a_bad_line_is_told_and_only_it_is_left_out(pki: PKI) -> None:
    """With its number and its source, if there are several."""
    values, skipped = read(pki, "type = ip; bad-lines = skip", b"192.0.2.1\nbad\n192.0.2.9\n", b"192.0.2.20\n")
    assert values == [(1, 1), (9, 9), (20, 20)]
    (told,) = skipped
    assert told.startswith(f"{SOURCE}0: line 2: expected an address")


@pytest.mark.parametrize(
    ("keys", "line"), [("", b"bad"), ("; format = json-lines a", b"bad"), ("; format = csv 2", b"bad")]
)
def test_a_flood_of_bad_lines_is_given_up(pki: PKI, keys: str, line: bytes) -> None:
    """Each costs time and memory to tell of: millions would take minutes and gigabytes."""
    lines = {b"bad": b"192.0.2.1"} if not keys else {}
    good = lines.get(line, b'{"a":"192.0.2.1"}' if "json" in keys else b"x,192.0.2.1")
    data = (good + b"\n") * (MOST_BAD + 9) + (line + b"\n") * (MOST_BAD + 1)
    with pytest.raises(Refused) as refused:
        read(pki, f"type = ip; bad-lines = skip{keys}", data)
    assert str(refused.value).endswith(f"more than {MOST_BAD} bad lines")


def test_an_operator_s_own_items_are_no_page(pki: PKI) -> None:
    """Whatever they begin with."""
    text = ini(1) + "\n[list x]\ntype = string\nitems =\n    <html>\n    <b>\n"
    assert "x" in Configuration.from_text(text, pki.folder, {}).lists


def test_a_file_that_is_too_large_is_not_read(pki: PKI) -> None:
    """Of 300 MB no more than ``max-size``; the file here is sparse."""
    path = pathlib.Path(pki.folder / "large.txt")
    with path.open("wb") as file:
        file.truncate(300 << 20)
    text = ini(1) + "\n[list x]\ntype = ip\nsource = file:large.txt\n"
    with pytest.raises(Exception, match=r"large\.txt is larger than max-size"):
        Configuration.from_text(text, pki.folder, {})
