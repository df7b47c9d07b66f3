"""libmodsecurity, the reference engine of SecLang, in a process of its own: which rules match, and what scores become.

The rules are asked without taking any action (``DetectionOnly``), so that all that match are told; those of ``nolog``
are not. Content types choose the processor of a body as in ``modsecurity.conf-recommended``.
"""

from __future__ import annotations

import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

DEBIAN_RULES = pathlib.Path("/usr/share/modsecurity-crs/rules")
DEBIAN_SETUP = pathlib.Path("/etc/modsecurity/crs/crs-setup.conf")
"""Where Debian's package ``modsecurity-crs`` has the Core Rule Set, and its set-up."""

LAST = 999_999
"""The number of the rule that tells the scores."""

SCORES = {
    "anomaly_score": "inbound",
    "blocking_inbound_anomaly_score": "inbound",
    "sql_injection_score": "sql_injection",
    "xss_score": "xss",
    "rfi_score": "rfi",
    "lfi_score": "lfi",
    "rce_score": "rce",
    "php_injection_score": "php_injection",
    "http_violation_score": "http_violation",
    "session_fixation_score": "session_fixation",
}
"""The scores of the Core Rule Set 3 and 4: members of TX, and what they are called in :class:`Answer`."""

_HEAD = """\
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecAuditEngine Off
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 13107200
SecArgumentsLimit 100000
SecPcreMatchLimit 500000
SecPcreMatchLimitRecursion 500000
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" \
 "id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+[+])?json" \
 "id:2,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
"""

_GEOGRAPHY = re.compile(r"^SecRule(?:[^\n]*\\\n)*[^\n]*\n(?:[ \t]+SecRule [^\n]*\n(?:[^\n]*\\\n)*[^\n]*\n)*", re.M)
"""One rule with the links of its chain."""


@frozen
class Asked:
    """A request as it is sent.

    :ivar target: path and query.
    :ivar headers: names and values, Host among them, in their order.
    :ivar name: what is told of it if an answer is wrong.
    :ivar version: that of HTTP, as in the request line.
    """

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    name: str = field(default="", eq=False)
    version: str = "HTTP/1.1"

    @property
    def head(self) -> bytes:
        """The request line and the fields, as they are sent."""
        lines = [b"%s %s %s" % (self.method.encode(), self.target, self.version.encode())]
        lines += [b"%s: %s" % each for each in self.headers]
        return b"\r\n".join([*lines, b"", b""])


@frozen
class Answer:
    """What rules say of a request.

    :ivar rules: the numbers of those that matched, each once, in their order.
    :ivar scores: those of them that are not 0.
    """

    rules: tuple[int, ...]
    scores: Mapping[str, int]


@frozen
class Reference:
    """libmodsecurity with some rules.

    :ivar rules: a folder of a Core Rule Set's ``rules``.
    :ivar setup: its set-up.
    :ivar before: what is written behind the set-up, before the rules.
    """

    rules: pathlib.Path = DEBIAN_RULES
    setup: pathlib.Path = DEBIAN_SETUP
    before: str = ""

    def answers(self, requests: Sequence[Asked], patience: float = 600.0) -> list[Answer]:
        """Ask it of requests, in a process of its own.

        :raises RuntimeError: if it cannot read the rules, or crashes.
        """
        lines = [json.dumps(_written(request)) for request in requests]
        with tempfile.TemporaryDirectory(prefix="edgenode-") as name:
            file = self.prepare(pathlib.Path(name))
            ended = subprocess.run(
                [sys.executable, str(pathlib.Path(__file__).resolve()), str(file)],
                input="\n".join(lines).encode(),
                capture_output=True,
                timeout=patience,
                check=False,
            )
        if ended.returncode:
            raise RuntimeError(ended.stderr.decode(errors="replace"))
        return [Answer(tuple(rules), scores) for rules, scores in map(json.loads, ended.stdout.splitlines())]

    def prepare(self, folder: pathlib.Path) -> pathlib.Path:
        """Write the configuration into a folder; without rules of ``@geoLookup``, which the wheel was built without."""
        for file in self.rules.iterdir():
            if file.suffix == ".conf":
                text = file.read_text()
                text = _GEOGRAPHY.sub(lambda each: "" if "@geoLookup" in each[0] else each[0], text)
                folder.joinpath(file.name).write_text(text)
            elif file.suffix == ".data":
                shutil.copy(file, folder)
        names = " ".join(f"{name}=%{{tx.{name}}}" for name in SCORES)
        last = f"SecAction \"id:{LAST},phase:2,pass,log,msg:'{names}'\"\n"
        setup = self.setup.read_text()
        folder.joinpath("setup").write_text(f"{_HEAD}{setup}\n{self.before}\n")
        folder.joinpath("last").write_text(last)
        file = folder / "all"
        file.write_text(f"Include {folder}/setup\nInclude {folder}/*.conf\nInclude {folder}/last\n")
        return file


def _written(request: Asked) -> list[object]:
    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    headers = [[text(name), text(value)] for name, value in request.headers]
    version = request.version.removeprefix("HTTP/")
    return [request.method, text(request.target), headers, text(request.body), version]


def main(argv: Sequence[str]) -> None:
    """Answer the requests of standard input, one a line; what the process does."""
    import libmodsecurity

    # Its stubs ask for texts; it takes bytes as they are.
    new: Any = libmodsecurity.Transaction
    rules = libmodsecurity.RulesSet()
    if rules.load_from_uri(argv[0]) < 0:
        raise SystemExit(rules.get_parser_error())
    engine = libmodsecurity.ModSecurity()
    engine.set_log_callback(lambda line: None)

    def judged(
        method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes, version: str
    ) -> list[object]:
        asked = new(engine, rules)
        asked.process_connection("203.0.113.9", 50000, "192.0.2.1", 443)
        asked.process_uri(target, method, version)
        for name, value in headers:
            asked.add_request_header(name, value)
        asked.process_request_headers()
        if body:
            asked.append_request_body(body)
        asked.process_request_body()
        messages = asked.get_rule_messages()
        scores: dict[str, int] = {}
        for each in messages:
            if each.rule_id == LAST:
                pairs = (word.partition("=")[::2] for word in each.message.split())
                scores |= {SCORES[name]: int(value) for name, value in pairs if value.isdigit() and int(value)}
        return [list(dict.fromkeys(each.rule_id for each in messages if each.rule_id != LAST)), scores]

    for line in sys.stdin:
        method, target, headers, body, version = json.loads(line)
        decoded = [(base64.b64decode(name), base64.b64decode(value)) for name, value in headers]
        answer = judged(method, base64.b64decode(target), decoded, base64.b64decode(body), version)
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
