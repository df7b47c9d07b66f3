"""``[trust-store]``: whom we believe, and what they have revoked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.settings import Choice, File, setting


@frozen
class TrustStore:
    """Certificate authorities that are believed, and their revocation lists."""

    kind: ClassVar[str] = "trust-store"

    authorities: tuple[File, ...] = setting("PEM: one or more files of CA certificates.")
    crl: tuple[File, ...] = setting("PEM: revocation lists, one or more a file, each signed by one of the authorities.", ())
    crl_check: Annotated[str, Choice(("leaf", "chain"))] = setting(
        "Whether the leaf alone needs a revocation list or every certificate of its chain; as nginx, the chain.", "chain"
    )
    advertise: bool = setting("Whether the names of the authorities are sent to clients in the handshake.", True)
