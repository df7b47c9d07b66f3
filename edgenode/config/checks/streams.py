"""Whether whoever names an origin speaks what its servers take: HTTP, or a stream that is none.

Law: a path map never forwards a request to what takes no HTTP, nor a stream to what takes nothing else; and no syslog
or mail is sent to a server of HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.proxy.origin.origin import Origin

_MAIL = "mail-origin"
"""The key that names a mail server."""


def streams(configuration: Sections) -> Iterator[Problem]:
    """Origins that are named by a section that speaks something else.

    A section that speaks a stream says so by ``stream_keys``: its keys that name such an origin.
    """
    relaying = {f"path-map {name}": True for name in _reached(configuration, "stream")}
    relaying |= {f"path-map {name}": False for name in _reached(configuration, "http")}
    for header, section in configuration.written():
        stream_keys = getattr(section, "stream_keys", ())
        for key, (setting, value) in schema.values_of(section).items():
            if setting.notation.refers_to != Origin.kind:
                continue
            for name in value if isinstance(value, tuple) else (value,):
                origin = configuration.origins.get(name)
                takes_streams = key in stream_keys
                if header in relaying:
                    takes_streams = relaying[header]
                if origin is not None and origin.stream != takes_streams:
                    server = origin.servers[0]
                    wanted = "tls:// or tcp://" if takes_streams else "https:// or http://"
                    sentence = f"[origin {name}] has {server}, and what is sent here goes to servers with {wanted}"
                    yield Problem(header, key, sentence, name, 0)
                elif origin is not None and key != _MAIL and any(each.starttls for each in origin.servers):
                    yield Problem(header, key, f"[origin {name}] has starttls://, which is for mail alone", name, 0)


def shared(configuration: Sections) -> Iterator[Problem]:
    """Path maps that listeners for HTTP and for streams share: their origin can speak only one of the two."""
    both = {*_reached(configuration, "stream")} & {*_reached(configuration, "http")}
    for name in sorted(both):
        sentence = "requests and streams both come here, by listeners of either protocol, and have no origin in common"
        yield Problem(f"path-map {name}", "origin", sentence)


def _reached(configuration: Sections, protocol: str) -> Iterator[str]:
    """The path maps that the listeners of a protocol serve."""
    for listener in configuration.listeners.values():
        for group_name in listener.server_groups if listener.protocol == protocol else ():
            group = configuration.server_groups.get(group_name)
            policy = None if group is None else configuration.security_policies.get(group.security_policy)
            yield from () if policy is None else policy.path_maps
