"""``[certificate]``: a certificate chain and its private key, ours to present."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from edgenode.settings import File, Secret, setting


@frozen
class Certificate:
    """A certificate chain and its private key, presented by a server group to clients or by the node to an origin."""

    kind: ClassVar[str] = "certificate"

    chain: File = setting("PEM: the leaf first, then the intermediates in order. RSA and ECDSA keys are supported.")
    key: File = setting("PEM: the private key of the leaf; readable by its owner alone.")
    passphrase: Secret | None = setting("The passphrase of the private key.", None)
    authorities: tuple[File, ...] = setting(
        "PEM: the CA bundle that must contain the issuer. Checked when the file is loaded, never sent.", ()
    )
