"""Whether whoever names an origin speaks what its servers take: HTTP, or a stream that is none.

Law: a path map never forwards to what takes no HTTP, and no syslog or mail is sent to a server of HTTP.
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
    for header, section in configuration.written():
        stream_keys = getattr(section, "stream_keys", ())
        for key, (setting, value) in schema.values_of(section).items():
            if setting.notation.refers_to != Origin.kind:
                continue
            for name in value if isinstance(value, tuple) else (value,):
                origin = configuration.origins.get(name)
                if origin is not None and origin.stream != (key in stream_keys):
                    server = origin.servers[0]
                    wanted = "tls:// or tcp://" if key in stream_keys else "https:// or http://"
                    sentence = f"[origin {name}] has {server}, and what is sent here goes to servers with {wanted}"
                    yield Problem(header, key, sentence, name, 0)
                elif origin is not None and key != _MAIL and any(each.starttls for each in origin.servers):
                    yield Problem(header, key, f"[origin {name}] has starttls://, which is for mail alone", name, 0)
