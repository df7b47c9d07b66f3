"""What a content filter has found: the rules that matched, and what becomes of the request."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Finding:
    """A rule that matched and tells of it.

    :ivar rule: its number.
    :ivar message: its ``msg``, macros worked out.
    :ivar data: its ``logdata``, likewise; it may have what the client sent.
    :ivar variable: where it matched, such as ``ARGS:q``; that of the last link of a chain.
    :ivar matched: the text that matched, as the operator saw it: it is the client's, and is masked before it is told.
    :ivar severity: 0 (emergency) to 7 (debug); ``None`` for none.
    :ivar score: what it added to the anomaly scores.
    :ivar tags: its tags.
    :ivar constant: whether message and tags are the same for all requests.
    """

    rule: int
    message: str = ""
    data: str = ""
    variable: str = ""
    matched: bytes = b""
    severity: int | None = None
    score: int = 0
    tags: tuple[str, ...] = ()
    constant: bool = False


@frozen
class Verdict:
    """What the rules of some phases come to.

    :ivar findings: in the order of the rules.
    :ivar refused: whether a rule refuses (``deny``, ``drop``, ``redirect``): of the Core Rule Set the one that compares
        the score with the threshold.
    :ivar by: the number of that rule; 0 for none.
    :ivar scores: the anomaly scores at the end, such as ``inbound`` and ``outbound``, and those of kinds of attacks.
    """

    findings: tuple[Finding, ...] = ()
    refused: bool = False
    by: int = 0
    scores: Mapping[str, int] = field(factory=dict)


SCORE = "_score"
"""How the names of variables end that are scores."""

CLEAN = Verdict()
