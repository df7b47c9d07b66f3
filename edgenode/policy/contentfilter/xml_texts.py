"""The collection XML: the texts and the attributes of a body.

Law: of XPath there are the two expressions that the Core Rule Set has. ``/*`` is the text of the whole, as libxml2 puts
it together, and further each text and each attribute by itself, of every body that somebody may read as XML;
``//@*`` is each attribute. Entities and document types: :mod:`edgenode.rules.views.xml_values`.
"""

from __future__ import annotations

from xml.parsers import expat

from edgenode.model.exchange import NO_BODY, Request
from edgenode.policy.contentfilter.arguments import is_plain_body, processor
from edgenode.rules.views import bodies, structured
from edgenode.rules.views.flattening import MOST_DEEP, MOST_VALUES
from edgenode.rules.views.pairs import Pairs
from edgenode.rules.views.view import view

TEXT, ATTRIBUTE = b"/*", b"//@*"
"""The expressions, as targets have them: ``XML:/*``, ``XML://@*``."""

_pairs = structured.pairs_of(frozenset(("xml",)))


class _Beyond(Exception):
    """It has more than is looked at, or a document type."""


@view
def texts(request: Request) -> Pairs:
    """The text of a body whose type says that it is XML, and its attributes."""
    if request.body is NO_BODY or processor(request) != b"XML":
        return ()
    found = bodies.body(request)
    return () if found is None or not found.data else _read(found.data)


@view
def further(request: Request) -> Pairs:
    """Each text and each attribute by itself."""
    if request.body is NO_BODY or (processor(request) != b"XML" and is_plain_body(request)):
        return ()
    values = dict.fromkeys(value for _, value in _pairs(request)[0] if value)
    return tuple((TEXT, value) for value in values)


def _read(data: bytes) -> Pairs:
    pieces: list[str] = []
    attributes: list[str] = []
    depth = count = 0

    def start(name: str, written: list[str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1 + len(written)
        if depth > MOST_DEEP or count > MOST_VALUES:
            raise _Beyond
        pairs = zip(written[::2], written[1::2], strict=True)
        attributes.extend(value for key, value in pairs if key.partition(":")[0] != "xmlns")  # none to XPath

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*what: object) -> None:
        raise _Beyond

    parser = expat.ParserCreate()
    parser.buffer_text = parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = pieces.append, refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, _Beyond, ValueError, LookupError):
        return ()  # it is refused where something looks, and what can be guessed of it is looked at
    text = "".join(pieces).encode("utf-8", "surrogatepass")
    found = [(ATTRIBUTE, each.encode("utf-8", "surrogatepass")) for each in attributes]
    return ((TEXT, text), *found) if text else tuple(found)
