"""The collection XML: the texts and the attributes of a body.

Law: of XPath there are the two expressions that the Core Rule Set has. ``/*`` is the text of the whole, as libxml2 puts
it together, and further each text and each attribute by itself, of every body that somebody may read as XML;
``//@*`` is each attribute. Entities and document types: :mod:`edgenode.rules.views.xml_values`.
"""

from __future__ import annotations

from xml.parsers import expat

from attrs import frozen

from edgenode.model.exchange import NO_BODY, Request
from edgenode.policy.contentfilter.arguments import is_plain_body, processor
from edgenode.rules.views import bodies, structured
from edgenode.rules.views.flattening import MOST_DEEP, MOST_VALUES
from edgenode.rules.views.pairs import Pairs
from edgenode.rules.views.view import view

TEXT, ATTRIBUTE = b"/*", b"//@*"
"""The expressions, as targets have them: ``XML:/*``, ``XML://@*``."""

_pairs = structured.pairs_of(frozenset(("xml",)))


_BEFORE = b"\xef\xbb\xbf \t\r\n"


class _Beyond(Exception):
    """It has more than is looked at, or a document type."""


@frozen
class _Document:
    """What is in a document.

    :ivar members: its text and its attributes.
    :ivar depth: in how many elements the deepest stands, itself counted.
    :ivar values: how many elements and attributes there are.
    """

    members: Pairs = ()
    depth: int = 0
    values: int = 0


_NONE = _Document()


def texts(request: Request) -> Pairs:
    """The text of a body whose type says that it is XML, and its attributes."""
    return _document(request).members if request.body is not NO_BODY and processor(request) == b"XML" else ()


def structure(request: Request) -> tuple[int, int]:
    """How deep the elements of a body stand, if it can be read as XML, and how many there are with their attributes."""
    found = _document(request)
    return found.depth, found.values


@view
def _document(request: Request) -> _Document:
    """The deepest reading of a body that begins like XML; the first is that of what was received."""
    texts = bodies.texts(request)
    found = [_read(each, number > 0) for number, each in enumerate(texts) if each.lstrip(_BEFORE).startswith(b"<")]
    if texts and not found and processor(request) == b"XML":
        found = [_read(texts[0], recoded=False)]
    return _Document(found[0].members, max(x.depth for x in found), max(x.values for x in found)) if found else _NONE


def unread(request: Request) -> bool:
    """Whether it is XML, and cannot be read; :func:`further` reads it."""
    return _pairs(request)[1]


@view
def further(request: Request) -> Pairs:
    """Each text and each attribute by itself."""
    if request.body is NO_BODY or (processor(request) != b"XML" and is_plain_body(request)):
        return ()
    known = {value for _, value in texts(request)}
    values = dict.fromkeys(value for _, value in _pairs(request)[0] if value and value not in known)
    return tuple((TEXT, value) for value in values)


def _read(data: bytes, recoded: bool) -> _Document:
    pieces: list[str] = []
    attributes: list[str] = []
    depth = deepest = count = 0

    def start(name: str, written: list[str]) -> None:
        nonlocal depth, deepest, count
        depth, count = depth + 1, count + 1 + len(written) // 2
        deepest = max(deepest, depth)
        if depth > MOST_DEEP or count > MOST_VALUES:
            raise _Beyond
        pairs = zip(written[::2], written[1::2], strict=True)
        attributes.extend(value for key, value in pairs if key.partition(":")[0] != "xmlns")  # none to XPath

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*what: object) -> None:
        raise _Beyond

    parser = expat.ParserCreate("utf-8" if recoded else None)  # it may still say that it is in another
    parser.buffer_text = parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = pieces.append, refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, _Beyond, ValueError, LookupError):
        # It is refused where something looks, and what can be guessed of it is looked at.
        return _Document((), deepest, count)
    text = "".join(pieces).encode("utf-8", "surrogatepass")
    found = tuple((ATTRIBUTE, each.encode("utf-8", "surrogatepass")) for each in attributes)
    return _Document(((TEXT, text), *found) if text else found, deepest, count)
