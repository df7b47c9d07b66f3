"""``[edge]``: what holds for the whole node."""

from __future__ import annotations

import pathlib
import re
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.decision import MODES
from edgenode.model.errors import InvalidValue
from edgenode.model.interfaces import EVENT_HEADERS
from edgenode.model.settings import Choice, Folder, Network, Output, Seconds, Word, setting
from edgenode.proxy.trusted_proxies import FORWARDED, X_FORWARDED_FOR
from edgenode.rules.sections import READINGS

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, section 5.6.2


@frozen
class Edge:
    """The node as a whole; the section has no name and may be left out."""

    kind: ClassVar[str] = "edge"

    name: Word = setting("The node's name: in events, and in Via (RFC 9110, section 7.6.3).", Word("edgenode"))
    trusted_proxies: tuple[Network, ...] = setting(
        "Networks of trusted proxies in front of the node. Only these may report a client's address: see "
        "``client-address``.",
        (),
    )
    client_address: Annotated[str, Choice((X_FORWARDED_FOR, FORWARDED))] = setting(
        "The header in which ``trusted-proxies`` report the client's address. It is read from right to "
        "left, up to the first address that is not one of theirs. All of them must write it, or a client "
        "could write it itself. The other header is ignored; with ``forwarded`` so are "
        "``X-Forwarded-Proto`` and ``X-Forwarded-Host``.",
        X_FORWARDED_FOR,
    )
    failure: Annotated[str, Choice(("closed", "open"))] = setting(
        "What happens to a request if a stage of the pipeline fails: ``closed`` refuses it with 503, ``open`` lets it "
        "pass.",
        "closed",
    )
    judging_timeout: Seconds = setting(
        "How long each stage of the pipeline may have a request wait; then it has failed. Only a stage of your own has "
        "to wait for something; 0 waits for ever.",
        Seconds(10.0),
    )
    mode: Annotated[str, Choice(MODES)] = setting(
        "The mode of filters: with ``off`` none is evaluated; with ``monitoring`` they are, tags are set "
        "and events say what would have been done, and nothing is refused; with ``block`` decisions are "
        "enforced. ``[server-group]`` and ``[path-map]`` may have another mode. Client certificates are "
        "verified in every mode.",
        "block",
    )
    strict: bool = setting("Whether server groups and path maps are forbidden to have a looser mode.", False)
    system_filters: bool = setting("Whether system-managed filters are evaluated.", True)
    events: Output | None = setting(
        "Where to write one JSON line for each exchange; ``-`` is standard output. Without the key, as with "
        "``off``, there are none.",
        None,
    )
    access_log: Output | None = setting(
        "Where to write a line for each exchange, whatever ``events`` says: ``-`` is standard output, ``off`` nowhere.",
        Output(pathlib.Path("-")),
    )
    access_log_format: Annotated[str, Choice(("line", "common", "combined", "json"))] = setting(
        "The format of the access log: ``line`` is for people, with the reasons; ``common`` and "
        "``combined`` are those of Apache httpd and nginx; ``json`` is the event.",
        "line",
    )
    event_headers: tuple[Word, ...] = setting(
        "The header fields whose values are in events; ``replay`` is uncertain about rules on others. "
        "``Authorization`` and ``Cookie`` are in events only if they are named here, and then events are "
        "secrets.",
        tuple(Word(name.decode("ascii")) for name in EVENT_HEADERS),
    )
    drain_timeout: Seconds = setting("How long a stopping node lets open requests finish.", Seconds(30.0))
    watch_interval: Seconds = setting(
        "How often the files of certificates, trust stores and ``[geo]`` are checked; 0 never. A file that "
        "has changed, and is unchanged at the next check, is read again; if it cannot be used, the old one "
        "stays in use. Twice this, and less than half a second more, is how long a client stays connected whose "
        "certificate a new list revokes.",
        Seconds(0.25),
    )
    state: Folder | None = setting(
        "Where the node keeps the last good content of each ``https`` source, and the quarantine with its bans "
        "(``quarantine.sqlite``). Nobody but its user should be able to write there. Each node needs its own.",
        None,
    )
    readings: tuple[Annotated[str, Choice(READINGS)], ...] = setting(
        "What the entries of all global filters and sections look at besides, as if each of them said so: see "
        "``readings`` of ``[global-filter]``.",
        (),
    )
    missing_not_equal: bool = setting(
        "Whether ``ne`` in an expression is true of a missing value, as in wirefilter. With ``no`` every "
        "comparison with a missing value is false, as at Cloudflare.",
        False,
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if events are to tell of what cannot be a header field."""
        for name in self.event_headers:
            if not TOKEN.fullmatch(name):
                sentence = f"{name} is no name of a header (RFC 9110, section 5.6.2)"
                raise InvalidValue(sentence, which="event-headers")

    @property
    def told_headers(self) -> tuple[bytes, ...]:
        """The names of those header fields in lower case, each once."""
        return tuple(dict.fromkeys(name.lower().encode("ascii") for name in self.event_headers))
