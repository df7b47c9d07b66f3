"""``edgenode demo``: a node, an origin and a throw-away PKI in one process, to try out.

The module owns the demo's state folder. The law: every line that it prints works as it is printed, from any folder; and
nothing is deleted but what it has made itself.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.resources
import json
import pathlib
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.tcp import Port
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.node.service import EdgeService
from edgenode.tls.authority import Authority, PkiError
from edgenode.tls.names import distinguished_name
from twisted import logger

LOOPBACK = "127.0.0.1"

INI = importlib.resources.files("edgenode.commands") / "demo.ini"
"""The configuration, with ``{port}`` and ``{origin}`` for the ports."""


@frozen
class Visit:
    """A request to try out.

    :ivar title: the result in a word, who asks for what, the HTTP status, and what else there is to be seen.
    :ivar client: the name of the client's certificate, empty for none.
    :ivar words: where it goes, and further arguments of curl; ``{port}`` stands for the port.
    """

    title: str
    client: str
    words: tuple[str, ...]

    def line(self, state: pathlib.Path, port: int) -> str:
        """The visit as a line for a shell."""
        stem, words = state / "pki" / "partners" / self.client, [word.format(port=port) for word in self.words]
        shown = ("--cert", f"{stem}.pem", "--key", f"{stem}.key") if self.client else ()
        return shlex.join(("curl", "-K", f"{state / 'curlrc'}", *shown, *words))


_STRICT = ("https://strict.localhost:{port}/orders",)
_PARTNERS = ("https://optional.localhost:{port}/partners/",)
_SCRIPT = ("-A", "python-requests/2.32", "https://localhost:{port}/")
_ELSEWHERE = ("-H", "Host: strict.localhost:{port}", "https://localhost:{port}/orders")
_CLAIMING = ("-H", "X-SSL-Client-Verify: SUCCESS", "https://localhost:{port}/")

VISITS = (
    Visit("allowed: a partner, where a certificate is required -> 200, the origin's echo", "acme", _STRICT),
    Visit("refused: the same without a certificate -> 400, the event says 496", "", _STRICT),
    Visit("tagged: a script, where no certificate is asked for -> 200, the event's tag script", "", _SCRIPT),
    Visit("revoked: yesterday's partner -> 400, the event says 495, certificate revoked", "former", _STRICT),
    Visit("blocked: nobody, where certificates are optional -> 403, a filter's answer", "", _PARTNERS),
    Visit("passed: a partner in the same place -> 200, the origin's echo", "acme", _PARTNERS),
    Visit("misdirected: the Host field of another server group -> 421, its TLS policy is another", "", _ELSEWHERE),
    Visit("stripped: a header that claims a certificate -> 200, the echo does not have it", "", _CLAIMING),
)
"""The requests to try out, in the order of the tour."""


# -- what is in the state folder -------------------------------------------------------------------------------------

PLAN = """\
Throw-away certificates of `edgenode demo`, which makes them anew if it wants others than these:
public server edge DNS:localhost,DNS:optional.localhost,DNS:strict.localhost
partners client acme
partners client former
internal server echo DNS:echo.internal
internal client edge-client
"""
"""Every certificate: authority, usage, name, subject alternative names. In the folder it is the mark of the demo."""

REMAINDER = datetime.timedelta(days=1)
"""How long certificates must still be valid to be used again."""


def make_certificates(folder: pathlib.Path) -> bool:
    """Make the certificates of the demo, unless they are there and good for another day.

    :return: whether they were made.
    :raises PkiError: if something else is in the folder.
    :raises OSError: if it cannot be written.
    """
    issued = [line.split() for line in PLAN.splitlines()[1:]]
    mark = folder / "made-by-edgenode-demo"
    if mark.is_file():
        if mark.read_text() == PLAN and _good(folder, issued):
            Authority.open(folder / "partners").write_crl()  # it is good for a month only
            return False
        shutil.rmtree(folder)
    elif folder.exists():
        raise PkiError(f"{folder} was not made by the demo; choose another folder with --state")
    folder.mkdir(parents=True)
    mark.write_text(PLAN)
    authorities: dict[str, Authority] = {}
    for authority, usage, name, *sans in issued:
        if authority not in authorities:
            authorities[authority] = Authority.create(folder / authority, f"Demo {authority} CA")
        authorities[authority].issue(usage, name, sans[0].split(",") if sans else ())
    authorities["partners"].revoke("former")
    return True


def _good(folder: pathlib.Path, issued: Sequence[Sequence[str]]) -> bool:
    until = datetime.datetime.now(datetime.UTC) + REMAINDER
    try:
        authorities = {each[0]: Authority.open(folder / each[0]) for each in issued}
        certificates = [authority.certificate for authority in authorities.values()]
        for authority, _, name, *_ in issued:
            certificates.append(x509.load_pem_x509_certificate((folder / authority / f"{name}.pem").read_bytes()))
            (folder / authority / f"{name}.key").read_bytes()
        revoked = [entry.name for entry in authorities["partners"].issued() if entry.revoked]
    except (PkiError, OSError, ValueError):
        return False
    return revoked == ["former"] and all(each.not_valid_after_utc > until for each in certificates)


def curlrc(state: pathlib.Path) -> str:
    """What all curl lines share, as a configuration file of curl."""
    authority = str(state / "pki" / "public" / "ca.pem").replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'# Believe the authority of the demo.\ncacert = "{authority}"\n'
        f'# Whatever the name, it is this machine, without a proxy.\nconnect-to = "::{LOOPBACK}:"\nnoproxy = "*"\n'
        "# Show the status and the headers, but no progress.\ninclude\nsilent\nshow-error\n"
    )


# -- the origin ------------------------------------------------------------------------------------------------------


class Echo(Resource):
    """Answers every request with what was received, as JSON."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """The request line, the headers, and the certificate that the node has shown."""
        transport: Any = request.transport
        certificate = transport.getPeerCertificate().to_cryptography()
        received = {
            "method": request.method.decode("latin-1"),
            "target": request.uri.decode("latin-1"),
            "headers": {
                name.decode("latin-1"): b", ".join(values).decode("latin-1")
                for name, values in request.requestHeaders.getAllRawHeaders()
            },
            "client-certificate": {
                "subject": distinguished_name(certificate.subject),
                "issuer": distinguished_name(certificate.issuer),
            },
        }
        request.setHeader(b"content-type", b"application/json")
        return json.dumps(received, indent=2).encode("ascii") + b"\n"


def serve_origin(reactor: Any, pki: pathlib.Path) -> Port:
    """Serve the echo on a free port, to clients with a certificate of the internal authority alone."""
    internal = pki / "internal"
    own = PrivateCertificate.loadPEM((internal / "echo.pem").read_bytes() + (internal / "echo.key").read_bytes())
    options = own.options(Certificate.loadPEM((internal / "ca.pem").read_bytes()))
    port: Port = reactor.listenSSL(0, Site(Echo()), options, interface=LOOPBACK)
    return port


# -- the terminal ----------------------------------------------------------------------------------------------------


def greeting(state: pathlib.Path, port: int, made: bool) -> str:
    """What is printed first: where everything is, and what to try."""
    lines = [
        f"edgenode demo on https://localhost:{port} until Ctrl-C",
        "",
        f"  certificates   {state / 'pki'} ({'new' if made else 'from last time'})",
        f"  configuration  {state / 'edgenode.ini'}",
        f"  events         {shlex.join(('tail', '-f', str(state / 'events.jsonl')))}",
        "",
        "Lines to paste into a second terminal; curlrc has what they share: whom to believe, where to connect.",
    ]
    for number, visit in enumerate(VISITS, 1):
        lines += ["", f"{number}. {visit.title}", visit.line(state, port)]
    return "\n".join((*lines, "", "Requests, as they come:"))


# -- the command -----------------------------------------------------------------------------------------------------


def start(reactor: Any, state: pathlib.Path, port: int) -> None:
    """Make what is missing and start the node; it ends with the reactor.

    :raises PkiError: if the state folder is somebody else's.
    :raises OSError: if it cannot be written.
    :raises ConfigurationError: if the configuration cannot be used.
    :raises CannotListenError: if the port cannot be had.
    """
    made = make_certificates(state / "pki")
    (state / "curlrc").write_text(curlrc(state))
    origin = serve_origin(reactor, state / "pki")
    ini = state / "edgenode.ini"
    ini.write_text(INI.read_text().format(port=port, origin=origin.getHost().port))
    configuration = Configuration.load(ini)
    service = EdgeService(configuration, reactor)
    service.privilegedStartService()
    service.startService()

    def stop() -> Deferred[Any]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # a second Ctrl-C does not wait for open requests
        print("\nStopping.", flush=True)
        return service.stopService().addCallback(lambda _: origin.stopListening())

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    print(greeting(state, service.ports["public"].getHost().port, made), flush=True)


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.add_argument("--port", type=_port, default=8443, help="the port to listen on; 0 for any free one (8443)")
    parser.add_argument(
        "--state", metavar="DIR", type=pathlib.Path, default="state/demo", help="the folder for everything (state/demo)"
    )


def _port(word: str) -> int:
    if word.isdecimal() and int(word) <= 65535:
        return int(word)
    raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")


def main(arguments: argparse.Namespace) -> int:
    """Run the demo until it is interrupted.

    :return: the exit status: 0, or 1 with one sentence if it cannot start.
    """
    from twisted.internet import reactor

    observer = logger.FilteringLogObserver(
        logger.textFileLogObserver(sys.stderr), [logger.LogLevelFilterPredicate(logger.LogLevel.warn)]
    )
    logger.globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    try:
        start(reactor, arguments.state.resolve(), arguments.port)
    except CannotListenError as error:
        where = f"{error.interface}:{error.port}: {error.socketError.strerror}"
        hint = "choose another port: --port N, or make run PORT=N"
        print(f"edgenode demo: cannot listen on {where}; {hint}", file=sys.stderr)
        return 1
    except (PkiError, OSError, ConfigurationError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"edgenode demo: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    reactor.run()
    return 0
