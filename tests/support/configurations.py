"""The smallest configuration that can be used: one listener, server group, policy, path map and origin."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from tests.support.certificates import SERVER, make_authority

MINIMAL = """\
[listener public]
endpoint = tcp:0
server-groups = shop

[server-group shop]
hosts = shop.example
certificate = server
security-policy = shop

[certificate server]
chain = server.pem
key = server.key

[security-policy shop]
path-maps = all

[path-map all]
origin = shop

[origin shop]
servers = http://127.0.0.1:8080
"""


def changed(changes: Mapping[str, str], text: str = MINIMAL) -> str:
    """A configuration with lines replaced by others, and what stands under the empty string appended."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(f"{old}\n", f"{new}\n", 1) if old else f"{text}\n{new}\n"
    return text


def write_server(folder: pathlib.Path, *names: str, passphrase: bytes | None = None) -> pathlib.Path:
    """Write the certificate that it names.

    :param names: further hosts.
    """
    sans = [f"DNS:{name}" for name in ("shop.example", *names)]
    make_authority("Servers").issue("shop", eku=[SERVER], sans=sans).write(folder, "server", passphrase=passphrase)
    return folder
