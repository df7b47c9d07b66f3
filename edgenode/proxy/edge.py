"""``[edge]``: what holds for the whole node."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.settings import Choice, Network, Output, Seconds, Word, setting


@frozen
class Edge:
    """The node as a whole; the section has no name and may be left out."""

    kind: ClassVar[str] = "edge"

    name: Word = setting("The node's name: in events, and in Via (RFC 9110, section 7.6.3).", Word("edgenode"))
    trusted_proxies: tuple[Network, ...] = setting(
        "Networks of proxies in front of the node. Only from them are X-Forwarded-For and Forwarded believed, walked "
        "from right to left up to the first address that is not one of them.",
        (),
    )
    failure: Annotated[str, Choice(("closed", "open"))] = setting(
        "What happens to a request if a stage of the pipeline fails: ``closed`` refuses it with 503, ``open`` lets it "
        "pass.",
        "closed",
    )
    events: Output | None = setting(
        "Where to write one JSON line for each exchange; ``-`` is standard output, without the key there are none.",
        None,
    )
    drain_timeout: Seconds = setting("How long a stopping node lets open requests finish.", Seconds(30.0))
    watch_interval: Seconds = setting(
        "How often the files of certificates and trust stores are looked at; 0 never. When they have changed, and stay "
        "the same for one look more, they are read anew: a broken one leaves the old one in use.",
        Seconds(1.0),
    )
