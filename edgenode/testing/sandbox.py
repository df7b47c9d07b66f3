"""A folder with certificates and a configuration that fits them: what a test of a rule or a stage begins with."""

from __future__ import annotations

import pathlib
import re
from typing import Self

from attrs import frozen

from edgenode.config.load import Configuration
from edgenode.testing.certificates import SERVER, Issued, make_authority, write_pem

_INI = """
[edge]
access-log = off
events     = off

[listener public]
endpoint      = tcp:443:interface=127.0.0.1
server-groups = www, partners

[certificate edge]
chain = edge.pem
key   = edge.key

[trust-store clients]
authorities = clients.pem

[server-group www]
hosts           = www.test
certificate     = edge
mtls            = optional
trust-store     = clients
security-policy = all

[server-group partners]
hosts           = partners.test
certificate     = edge
mtls            = on
trust-store     = clients
security-policy = all

[security-policy all]
path-maps = all

[path-map all]
origin = app

[origin app]
servers = http://192.0.2.80:80
"""


@frozen
class Sandbox:
    """Certificates in a folder, for a node with two server groups, and an origin ``app`` behind both.

    Clients of ``www.test`` may present a certificate, those of ``partners.test`` must.

    :ivar folder: where the files are.
    :ivar servers: the authority of the node's own certificate.
    :ivar clients: the authority of clients: ``sandbox.clients.issue("alice")`` is one.
    """

    folder: pathlib.Path
    servers: Issued
    clients: Issued

    @classmethod
    def make(cls, folder: str | pathlib.Path) -> Self:
        """Make them.

        :param folder: made if it is not there; trial's ``mktemp`` names one.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        servers, clients = make_authority("Servers"), make_authority("Clients")
        servers.issue("edge", eku=[SERVER], sans=["DNS:www.test", "DNS:partners.test"]).write(folder, "edge")
        write_pem(folder / "clients.pem", [clients])
        return cls(folder, servers, clients)

    def configuration(self, more: str = "") -> Configuration:
        """The configuration of such a node.

        :param more: further sections: filters, actions, stages of one's own. One that is here already takes its place.
        :raises ConfigurationError: if they cannot be used.
        """
        return Configuration.load(self.write(more))

    def write(self, more: str = "") -> pathlib.Path:
        """Write that configuration into a file of the folder; its path."""
        replaced = set(re.findall(r"^\[.+?\]", more, re.MULTILINE))
        kept = [each for each in re.split(r"^(?=\[)", _INI, flags=re.MULTILINE) if each.split("\n")[0] not in replaced]
        path = self.folder / "edgenode.ini"
        path.write_text("".join([*kept, "\n", more]), encoding="utf-8")
        return path
