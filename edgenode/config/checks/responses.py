"""Whether response rules can do what they say: the header fields that they change, and what their values look at.

Law: what would let an answer be read otherwise than it was written is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.policy.escaping import header_value
from edgenode.proxy.header_names import changed_header_fault


def response_rules(configuration: Sections) -> Iterator[Problem]:
    """Header fields that are not the configuration's to change, and values that cannot be computed for an answer."""
    for name, section in configuration.response_rules.items():
        header = f"response-rules {name}"
        for key, fields in (("set", section.set), ("add", section.add)):
            for each in fields:
                sentence = changed_header_fault(each.name.encode("ascii"), key)
                if not each.value.pieces:
                    sentence = "a value is missing; what clients do not get stands under remove"
                if "body" in header_value(each.value, each.name).needs:
                    sentence = "the body of the request cannot stand in a header: it may not have been read"
                if sentence:
                    yield Problem(header, key, sentence, str(each), 0)
        for word in section.remove:
            sentence = changed_header_fault(word.lower().encode("utf-8"), "remove")
            if sentence:
                yield Problem(header, "remove", sentence, word, 0)
