"""Phases 3 and 4 of a content filter: what its rules say of the answers of origins.

Law: of a body the rules see what a browser would read as text; where the filter refuses, nothing of one passes whose
end they have not seen, unless ``response-partial`` says so.
"""

from __future__ import annotations

import re
from typing import ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.model.decision import Decision
from edgenode.model.exchange import Exchange, Response
from edgenode.model.functions import OriginResponse
from edgenode.policy.contentfilter.stage import Filter

_TEXT = re.compile(
    rb"multipart/byteranges|text/(?!event-stream).*|application/(?:json|xml|xhtml\+xml|javascript|x-javascript|ecmascript|graphql|problem\+json"
    rb"|x-www-form-urlencoded|[a-z0-9.-]+\+(?:json|xml)|x-ndjson|sql|x-sh|x-httpd-php|x-php)"
)


@frozen(eq=False)
class AnswerFilter:
    """A content filter, as it judges answers.

    :ivar rules: the stage of the same filter.
    """

    name: ClassVar[str] = Filter.name

    rules: Filter

    @property
    def filter(self) -> str:
        """The name of its section."""
        return self.rules.filter

    @property
    def whole(self) -> bool:
        """See :class:`edgenode.model.interfaces.ResponseStage`."""
        return self.rules.action is not None and not self.rules.section.response_partial

    @property
    def limit(self) -> int:
        """Likewise."""
        return self.rules.section.response_limit

    def wants(self, exchange: Exchange, response: OriginResponse) -> bool:
        """Whether an answer's body is text; one that does not say is taken for it, as browsers do, and so are parts."""
        values = response.fields.get(b"content-type", (b"",))
        types = (value.partition(b";")[0].strip(b" \t").lower() for value in values)
        return any(not each or _TEXT.fullmatch(each) is not None for each in types)

    def decide_response(self, exchange: Exchange, response: OriginResponse) -> Decision | Deferred[Decision]:
        """What the rules come to for an answer."""
        body = b"" if response.body is None else response.body.data
        return self.rules.judge_response(exchange, Response(response.status, response.headers, body))
