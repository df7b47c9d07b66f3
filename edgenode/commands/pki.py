"""``edgenode pki``: a certificate authority in a folder, for development, demonstration and tests."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from edgenode.tls.authority import AUTHORITY_DAYS, CRL_DAYS, LEAF_DAYS, USAGES, Authority, PkiError


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("folder", metavar="DIR", type=pathlib.Path, help="the folder of the authority")
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("name", metavar="NAME", help="the name of the certificate and of its files")

    ca = commands.add_parser("ca", parents=[folder], help="make an authority")
    ca.add_argument("--name", default="edgenode development CA", help="its common name")
    ca.add_argument("--days", type=int, default=AUTHORITY_DAYS, help="how long it is valid")
    ca.add_argument("--issuer", metavar="DIR", type=pathlib.Path, help="make an intermediate of the authority there")
    for usage in USAGES:
        issue = commands.add_parser(usage, parents=[folder, name], help=f"issue a {usage} certificate")
        issue.add_argument(
            "--san", action="append", default=[], help="DNS:name and IP:address, separated by commas; may be repeated"
        )
        issue.add_argument("--days", type=int, default=LEAF_DAYS, help="how long it is valid")
    commands.add_parser("revoke", parents=[folder, name], help="revoke a certificate and write the revocation list")
    crl = commands.add_parser("crl", parents=[folder], help="write the revocation list anew")
    crl.add_argument("--days", type=int, default=CRL_DAYS, help="how long it is good for")


def _run(arguments: argparse.Namespace) -> Sequence[pathlib.Path]:
    if arguments.command == "ca":
        issuer = Authority.open(arguments.issuer) if arguments.issuer else None
        folder = Authority.create(arguments.folder, arguments.name, arguments.days, issuer).folder
        return folder / "ca.pem", folder / "ca.key", folder / "ca.crl.pem"
    authority = Authority.open(arguments.folder)
    if arguments.command == "revoke":
        return (authority.revoke(arguments.name),)
    if arguments.command == "crl":
        return (authority.write_crl(arguments.days),)
    sans = [san.strip() for san in ",".join(arguments.san).split(",") if san.strip()]
    return authority.issue(arguments.command, arguments.name, sans, arguments.days)


def main(arguments: argparse.Namespace) -> int:
    """Run ``pki``; the paths written go to standard output, an error is one sentence.

    :return: the exit status: 0, or 1 for an error.
    """
    try:
        written = _run(arguments)
    except (PkiError, OSError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        sys.stderr.write(f"edgenode pki: {reason}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0
