"""The regression tests of the OWASP Core Rule Set: YAML, a file for each rule, read from a folder of its repository.

Each test is a request and the numbers of the rules that have to match, or must not. The format:
https://github.com/coreruleset/ftw-tests-schema. What is sent is completed as its program ``go-ftw`` does.
"""

from __future__ import annotations

import base64
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_plus

import yaml  # type: ignore[import-untyped]  # has no stubs of its own
from attrs import frozen

from tests.support.modsecurity import Asked

SETUP = """\
SecAction "id:900005,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=4,setvar:tx.detection_paranoia_level=4,\
setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,\
setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
setvar:tx.combined_file_sizes=65535"
"""
"""What the tests take for granted, as their README says: paranoia level 4, and limits."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_FORM = b"application/x-www-form-urlencoded"


@frozen
class Case:
    """One test.

    :ivar rule: the rule that it is a test of.
    :ivar number: its number among those of the rule.
    :ivar request: what is sent; ``None`` if it has several requests.
    :ivar expected: rules that have to match.
    :ivar forbidden: rules that must not.
    :ivar silent: whether none may match at all.
    """

    rule: int
    number: int
    request: Asked | None
    expected: frozenset[int] = frozenset()
    forbidden: frozenset[int] = frozenset()
    silent: bool = False

    @property
    def inbound(self) -> bool:
        """Whether it is about requests."""
        return not 950_000 <= self.rule < 999_000

    def passed(self, rules: Collection[int]) -> bool:
        """Whether it passes if those match."""
        return self.expected <= set(rules) and not self.forbidden & set(rules) and not (self.silent and rules)


def cases(folder: pathlib.Path) -> Iterator[Case]:
    """All tests of a folder, which may have others in it."""
    for file in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        document = yaml.load(file.read_bytes(), _Loader)  # a safe one
        for test in (document or {}).get("tests") or ():
            yield _case(document["rule_id"], test)


def _case(rule: int, test: Mapping[str, Any]) -> Case:
    stages = test["stages"]
    output = stages[-1]["output"]
    log = output.get("log") or {}
    several = len(stages) > 1
    wanted = log.get("match_regex") or ""
    return Case(
        rule,
        test["test_id"],
        None if several else _request(f"{rule}-{test['test_id']}", stages[0]["input"]),
        frozenset(log.get("expect_ids") or ()) | frozenset(int(each) for each in re.findall(r'id "(\d+)"', wanted)),
        frozenset(log.get("no_expect_ids") or ()),
        "id" in (log.get("no_match_regex") or ""),
    )


def _request(name: str, given: Mapping[str, Any]) -> Asked:
    if raw := given.get("encoded_request"):
        return _raw(name, base64.b64decode(raw))
    headers = [(str(key).encode(), str(value).encode()) for key, value in (given.get("headers") or {}).items()]
    body = (given.get("data") or "").encode()
    names = {key.lower() for key, _ in headers}
    if given.get("autocomplete_headers", True):
        kind = next((value for key, value in headers if key.lower() == b"content-type"), None)
        if body and kind is None:
            headers.append((b"Content-Type", _FORM))
        if body and kind in {None, _FORM} and unquote_plus(body.decode()) == body.decode():
            body = _coded(body.decode())
        if b"connection" not in names:
            headers.append((b"Connection", b"close"))
        if body and not names & {b"content-length", b"transfer-encoding"}:
            headers.append((b"Content-Length", b"%d" % len(body)))
    return Asked(
        given.get("method", "GET"),
        str(given.get("uri", "/")).encode(),
        tuple(headers),
        body,
        name,
        given.get("version") or "HTTP/1.1",
    )


def _coded(body: str) -> bytes:
    """A form whose values are not encoded yet."""
    pairs = parse_qsl(body, keep_blank_values=True, separator="&")
    return "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs).encode()


def _raw(name: str, data: bytes) -> Asked:
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    pairs = [each.partition(b":")[::2] for each in fields]
    headers = tuple((key, value.strip()) for key, value in pairs)
    return Asked(method.decode("latin-1"), target, headers, body, name, version.decode("latin-1"))
