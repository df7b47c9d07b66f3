"""Public collections of attacks, and of what is none, as requests: each is read from a folder of its own repository.

None of them is part of this project. What is sent is what the program of each, or its README, says.
"""

from __future__ import annotations

import base64
import csv
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import yaml  # type: ignore[import-untyped]  # has no stubs of its own
from attrs import field, frozen

from tests.support import crs_regression
from tests.support.attack_requests import asked
from tests.support.modsecurity import Asked

_FORM = b"application/x-www-form-urlencoded"


def _several(requests: Iterable[Asked]) -> Sequence[Asked]:
    return tuple(requests)


@frozen
class Corpus:
    """A collection.

    :ivar name: how it is called.
    :ivar attacks: what has to be refused.
    :ivar benign: what has to be let through.
    """

    name: str
    attacks: Sequence[Asked] = field(converter=_several)
    benign: Sequence[Asked] = field(converter=_several)

    def thinned(self, most: int) -> Corpus:
        """At most so many of either, evenly taken."""

        def some(requests: Sequence[Asked]) -> Sequence[Asked]:
            return requests[:: max(1, -(-len(requests) // most))]

        return Corpus(self.name, some(self.attacks), some(self.benign))


def core_rule_set(folder: pathlib.Path) -> Corpus:
    """The regression tests of the Core Rule Set, ``tests/regression/tests``: what has to match, and what must not."""
    cases = [each for each in crs_regression.cases(folder) if each.inbound and each.request is not None]
    return Corpus(
        "Core Rule Set, regression",
        [each.request for each in cases if each.request and each.expected],
        [each.request for each in cases if each.request and not each.expected],
    )


def libinjection(folder: pathlib.Path) -> Corpus:
    """libinjection's ``data``: arguments, encoded already, a line each."""

    def arguments(files: Iterable[pathlib.Path]) -> Iterator[Asked]:
        for file in sorted(files):
            for line in file.read_bytes().splitlines():
                text = line.strip()
                if text and not text.startswith(b"#"):
                    yield asked(target=b"/?q=" + quote(text, safe="%+!$'()*,/:;=?@-_.").encode())

    attacks = [*folder.glob("sqli-*.txt"), *folder.glob("xss-*.txt")]
    return Corpus("libinjection, data", arguments(attacks), arguments(folder.glob("false_positives.txt")))


def http_params(file: pathlib.Path) -> Corpus:
    """HttpParamsDataset's ``payload_full.csv``: values of arguments."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [(row["label"] == "norm", row["payload"]) for row in csv.DictReader(lines)]

    def arguments(benign: bool) -> Iterator[Asked]:
        return (asked(target=b"/?q=" + quote(text, safe="").encode()) for good, text in rows if good == benign)

    return Corpus("HttpParams", arguments(False), arguments(True))


def gotestwaf(folder: pathlib.Path) -> Corpus:
    """gotestwaf's ``testcases``, but for those of gRPC."""

    def requests(files: Iterable[pathlib.Path]) -> Iterator[Asked]:
        for file in sorted(files):
            document = _read(file)
            for payload in document["payload"]:
                for encoder in document["encoder"]:
                    for placeholder in document["placeholder"]:
                        name, keys = _named(placeholder)
                        if name in _PLACEHOLDERS:
                            yield _PLACEHOLDERS[name](_ENCODERS[encoder](str(payload)), keys)

    files = set(folder.rglob("*.yml"))
    benign = {file for file in files if file.parent.name == "false-pos"}
    return Corpus("gotestwaf", requests(files - benign), requests(benign))


def _read(file: pathlib.Path) -> Mapping[str, Any]:
    """A file of test cases; Go's reader takes ``\\'`` in a text in double quotes, which YAML does not have."""
    text = file.read_text()
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = yaml.safe_load(text.replace("\\'", "'"))
    return dict(found)


def _named(placeholder: str | Mapping[str, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    return (placeholder, {}) if isinstance(placeholder, str) else next(iter(placeholder.items()))


def _flat(text: str) -> str:
    return base64.b64encode(text.encode()).decode().replace("=", "")


_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "Plain": str,
    "URL": lambda text: quote(text, safe="$&+:=@-_.~"),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64Flat": _flat,
}


def _sent(text: str) -> bytes:
    """A target as Go sends it: what may not stand in one is encoded."""
    return quote(text, safe="%+!$'()*,/:;=?@[]&~-_.").encode()


def _post(kind: bytes, body: str) -> Asked:
    return asked("POST", b"/", body=body.encode(), kind=kind)


def _units(text: str) -> str:
    data = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[at]:02x}{data[at + 1]:02x}" for at in range(0, len(data), 2))


def _multipart(text: str, _keys: Mapping[str, Any]) -> Asked:
    body = f'--b0undary\r\nContent-Disposition: form-data; name="d3a5f1"\r\n\r\n{text}\r\n--b0undary--\r\n'
    return _post(b"multipart/form-data; boundary=b0undary", body)


def _raw(text: str, keys: Mapping[str, Any]) -> Asked:
    target = keys.get("path", "/").replace("{{payload}}", quote(text, safe="$&+:=@-_.~"))
    headers = [
        (name.encode(), value.replace("{{payload}}", text).encode()) for name, value in keys.get("headers", {}).items()
    ]
    return asked(
        keys["method"], _sent(target), *headers, body=keys.get("body", "").replace("{{payload}}", text).encode()
    )


def _graphql(text: str, keys: Mapping[str, Any]) -> Asked:
    if keys["method"] == "GET":
        return asked(target=b"/graphql?query=" + quote(text, safe="").encode())
    return asked("POST", b"/graphql", body=text.encode())


_PLACEHOLDERS: Mapping[str, Callable[[str, Mapping[str, Any]], Asked]] = {
    "URLParam": lambda text, _: asked(target=b"/?d3a5f1=" + _sent(text)),
    "URLPath": lambda text, _: asked(target=b"/" + _sent(text)),
    "HTMLForm": lambda text, _: _post(_FORM, f"d3a5f1={text}"),
    "HTMLMultipartForm": _multipart,
    "JSONBody": lambda text, _: _post(b"application/json", text),
    "JSONRequest": lambda text, _: _post(b"application/json", f'{{"test": true, "d3a5f1": "{_units(text)}"}}'),
    "RequestBody": lambda text, _: asked("POST", b"/", body=text.encode()),
    "XMLBody": lambda text, _: _post(b"application/xml", text),
    "Header": lambda text, _: asked("GET", b"/", (b"X-D3a5f1", text.replace("\n", " ").encode())),
    "UserAgent": lambda text, _: asked("GET", b"/", (b"User-Agent", text.encode())),
    "GraphQL": _graphql,
    "RawRequest": _raw,
}
