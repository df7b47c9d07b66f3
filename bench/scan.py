"""Looks at the node's TLS from outside with the scanners that others would use, sslyze and testssl.sh.

A node with default settings is started for each kind of server group, with certificates that have what a public one
has. sslyze judges by Mozilla's "intermediate" profile; of testssl.sh everything above INFO is a finding. The exit
status is 1 if there is any, 2 if a scanner is missing. sslyze cannot live in one environment with the node (it wants an
older cryptography): ``make scan`` gives it one of its own; testssl.sh is a package of the system.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from edgenode.config.load import Configuration
from edgenode.node.service import EdgeService
from tests.support.certificates import SERVER, Issued, make_authority, new_key, now, write_pem

HOST = "localhost"

GROUPS: Mapping[str, tuple[str, str]] = {
    "ecdsa": ("ec", ""),
    "rsa": ("rsa", ""),
    "ecdsa-mtls": ("ec", "mtls = on\ntrust-store = clients"),
    "rsa-mtls": ("rsa", "mtls = on\ntrust-store = clients"),
}
"""The server groups that are looked at: the kind of key, and what differs from the default settings."""

HEADERS: Mapping[str, str] = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Content-Security-Policy": "default-src 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What the origin answers with: it knows its pages, and testssl.sh looks for them."""

OF_THE_PAGE = frozenset({"HSTS", "security_headers"})
"""Findings about the page. testssl.sh has no client certificate, so where one is required it sees a refusal instead."""

VERDICT = "Checking results against"
"""Behind this line sslyze says what is not compliant."""

GRAVE = frozenset({"LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"})
"""What testssl.sh calls findings above OK and INFO."""


@frozen
class Finding:
    """What a scanner does not like.

    :ivar group: the server group, see :data:`GROUPS`.
    :ivar scanner: ``sslyze`` or ``testssl``.
    :ivar words: the scanner's own.
    """

    group: str
    scanner: str
    words: str

    def __str__(self) -> str:
        return f"{self.group}: {self.scanner}: {self.words}"


def issue(folder: pathlib.Path) -> None:
    """Write certificates that have what a public one has, one for each kind of key."""
    authority = make_authority("Scan CA")
    write_pem(folder / "ca.pem", [authority])
    for kind in ("ec", "rsa"):
        _leaf(authority, kind).write(folder, kind)


def _leaf(authority: Issued, kind: str) -> Issued:
    uri = x509.UniformResourceIdentifier
    return authority.issue(
        HOST,
        key=new_key(kind),
        eku=[SERVER],
        sans=[f"DNS:{HOST}", "IP:127.0.0.1"],
        not_after=now() + datetime.timedelta(days=89),
        extensions=[
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            x509.KeyUsage(True, False, False, False, False, False, False, False, False),
            x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)]),
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([uri("http://crl.example/scan.crl")], None, None, None)]
            ),
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, uri("http://ca.example/scan.der"))]
            ),
        ],
    )


class Page(Resource):
    """What the origin has: one page, with the headers of a careful application."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        return b"Nothing to see here.\n"


def ini(origin: int) -> str:
    """A configuration with a listener for each of :data:`GROUPS`, in front of an origin on a port of this host."""
    parts = [
        "[trust-store clients]\nauthorities = ca.pem",
        "[security-policy all]\npath-maps = all",
        "[path-map all]\norigin = page",
        f"[origin page]\nservers = http://127.0.0.1:{origin}",
        *(f"[certificate {kind}]\nchain = {kind}.pem\nkey = {kind}.key" for kind in ("ec", "rsa")),
    ]
    for name, (kind, more) in GROUPS.items():
        parts += [
            f"[listener {name}]\nendpoint = tcp:0:interface=127.0.0.1\nserver-groups = {name}\n"
            f"default-server-group = {name}",
            f"[server-group {name}]\nhosts = {HOST}\ncertificate = {kind}\nsecurity-policy = all\n{more}",
        ]
    return "\n\n".join(parts)


async def sslyze(command: str, folder: pathlib.Path, group: str, port: int) -> tuple[Finding, ...]:
    """What keeps a server group from being Mozilla's "intermediate"."""
    arguments = ["--mozilla_config", "intermediate", "--certinfo_ca_file", str(folder / "ca.pem"), f"{HOST}:{port}"]
    output, error, status = await getProcessOutputAndValue(command, arguments, env=os.environ)
    (folder / f"{group}.sslyze").write_bytes(output + error)
    if status == 0:
        return ()
    lines = output.decode(errors="replace").partition(VERDICT)[2].splitlines() or ["no verdict"]
    return tuple(Finding(group, "sslyze", line.strip()) for line in lines[1:] if line.strip())


async def testssl(command: str, folder: pathlib.Path, group: str, port: int) -> tuple[Finding, ...]:
    """What testssl.sh finds above INFO."""
    report = folder / f"{group}.csv"
    arguments = ["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "none"]
    arguments += ["--add-ca", str(folder / "ca.pem"), "--csvfile", str(report), f"{HOST}:{port}"]
    output, error, _ = await getProcessOutputAndValue(command, arguments, env=os.environ)
    (folder / f"{group}.testssl").write_bytes(output + error)
    excused = OF_THE_PAGE if "mtls" in GROUPS[group][1] else frozenset()
    return tuple(Finding(group, "testssl", words) for words in grave(report.read_text(), excused))


def grave(report: str, excused: Collection[str] = ()) -> Iterator[str]:
    """The findings above INFO in a report of testssl.sh, CSV, but for those with an excused identifier."""
    for row in csv.DictReader(report.splitlines()):
        if row["severity"] in GRAVE and row["id"] not in excused:
            yield f"{row['severity']} {row['id']}: {row['finding']}"


SCANNERS = {"sslyze": sslyze, "testssl": testssl}
"""The scanners by their names."""


async def scan(reactor: Any, scanners: Mapping[str, str], folder: pathlib.Path) -> list[Finding]:
    """Start the node and let each scanner look at each server group.

    :param scanners: the command of each scanner, by its name.
    :param folder: where certificates and the scanners' reports go.
    """
    issue(folder)
    origin = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1")
    service = EdgeService(Configuration.from_text(ini(origin.getHost().port), folder, {}), reactor)
    service.privilegedStartService()
    service.startService()
    found: list[Finding] = []
    try:
        for group in GROUPS:
            port = service.ports[group].getHost().port
            for name, command in scanners.items():
                findings = await SCANNERS[name](command, folder, group, port)
                print(f"{group:12} {name:8} {'findings' if findings else 'nothing'}", flush=True)
                for finding in findings:
                    print(f"    {finding}", flush=True)
                found += findings
    finally:
        await service.stopService()
        await origin.stopListening()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scanners."""
    parser = argparse.ArgumentParser("bench.scan", description="Look at the node's TLS with sslyze and testssl.sh.")
    for name in SCANNERS:
        parser.add_argument(f"--{name}", default=name, metavar="COMMAND", help="the command; empty to do without it")
    parser.add_argument("--reports", type=pathlib.Path, metavar="DIR", help="keep the scanners' own reports there")
    options = parser.parse_args(arguments)
    scanners = {name: command for name in SCANNERS if (command := getattr(options, name))}
    missing = [command for command in scanners.values() if shutil.which(command) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        raise SystemExit(2)

    async def run(reactor: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if await scan(reactor, scanners, options.reports or pathlib.Path(folder)):
                raise SystemExit(1)

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main()
