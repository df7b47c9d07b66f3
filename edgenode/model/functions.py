"""What edge functions are given besides an exchange, and what they return.

Law: both are values: a function changes nothing but by what it returns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import Factory, field, frozen

from edgenode.model.exchange import Body, Headers, Response, by_name


@frozen(kw_only=True)
class FunctionResult:
    """What an edge function has to say of an exchange; one that has nothing to say returns ``None``.

    :ivar tags: the tags to put on, in canonical form.
    :ivar reason: why, for the event: one line, without secrets.
    :ivar action: the name of an action that it proposes, such as ``block``, a predefined one or a section's.
    :ivar answer: what the client gets in place of the origin's answer.
    :ivar headers: header fields to set: of the request for its origin, or of the answer for the client, in place of all
        fields of these names; names in lower case.
    :ivar remove: the names of header fields to take away, in lower case.
    :ivar origin: of a request, the name of the origin to ask, one of the function's ``origins``.
    """

    tags: Collection[str] = frozenset()
    reason: str = ""
    action: str = ""
    answer: Response | None = None
    headers: Headers = ()
    remove: Collection[bytes] = ()
    origin: str = ""


@frozen(eq=False)
class OriginResponse:
    """An origin's answer, as far as it has come.

    :ivar status: the status code.
    :ivar headers: the header fields, names in lower case.
    :ivar body: as much of the body as was asked for, without its content codings; ``None`` if none was asked for, or
        what there is cannot be read.
    :ivar fields: every value of every header by its lower-case name.
    """

    status: int
    headers: Headers
    body: Body | None = None
    fields: Mapping[bytes, tuple[bytes, ...]] = field(
        default=Factory(lambda self: by_name(self.headers), takes_self=True), repr=False
    )
