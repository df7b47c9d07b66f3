"""XML as names and values: those of attributes and of the texts in elements, named by the way that leads to them.

Law: no entity is expanded but the five that XML has itself. A document type could define others, of which every reader
makes something else, and so a text with such a one is unread; nothing outside of the text is ever asked for.
"""

from __future__ import annotations

import contextlib
import html
import re
from xml.parsers import expat

from attrs import define, field

from edgenode.rules.views.flattening import Beyond, Flattening, Unread, bytes_of

_ENCODING = re.compile(rb"""\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*["']([^"'>]{1,64})["']""")


_TEXT_OF_TAG = re.compile(rb"<(?:[^\s<>/:!?]+:)?([^\s<>/:!?]+)[^<>]*>([^<]*)")
_ATTRIBUTE = re.compile(rb"""\s(?:[\w.-]+:)?([\w.-]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')""")


def encoding_named(text: bytes) -> bytes:
    """The character set that a text says it is in; empty if it says none."""
    found = _ENCODING.match(text[:512])
    return b"" if found is None else found[1]


def _joined(before: bytes, name: bytes) -> bytes:
    return before + b"_" + name if before else name


@define
class _Element:
    """An element that is open.

    :ivar base: its name in the vendor's product, without the number behind it: ``a1b`` of ``<a><b>``.
    :ivar path: the names of the elements that lead to it: ``a_b``.
    :ivar inner: the same without the outermost one, which readers into objects leave out: ``b``.
    :ivar number: how many texts and elements have begun in it.
    :ivar texts: the texts in it.
    """

    base: bytes
    path: bytes
    inner: bytes
    number: int = 0
    texts: list[str] = field(factory=list)


@define
class _Reader:
    """Collects names and values from what expat reports."""

    into: Flattening
    codec: str
    prefix: bytes
    _open: list[_Element] = field(factory=list, init=False)
    _pieces: list[str] = field(factory=list, init=False)

    def start(self, name: str, attributes: list[str]) -> None:
        """An element begins."""
        self._end_of_text()
        outer, local = self._open[-1] if self._open else None, self._local(name)
        prefix = self.prefix if outer is None else outer.path
        self.into.expect(len(self._open) + 1, 1 + len(attributes) // 2, 3 * (len(prefix) + len(local)))
        path = _joined(prefix, local)
        if outer is None:
            element = _Element(path, path, self.prefix)
        else:
            outer.number += 1
            element = _Element(b"%b%d%b" % (outer.base, outer.number, local), path, _joined(outer.inner, local))
        self._open.append(element)
        for key, value in zip(map(self._local, attributes[::2]), attributes[1::2], strict=True):
            self._add(element.base + key, _joined(path, key), _joined(element.inner, key), value)

    def end(self, name: str) -> None:
        """An element ends."""
        self._end_of_text()
        element = self._open.pop()
        if not element.number:
            self._add(element.base + b"1", element.path, element.inner, "")
        elif len(element.texts) > 1:  # with elements between them, which some readers pass over
            self._add(element.path, element.path, element.inner, "".join(element.texts))

    def text(self, text: str) -> None:
        """A piece of a text."""
        self._pieces.append(text)

    def document_type(self, name: str, system: str | None, public: str | None, inner: bool) -> None:
        """A document type is declared; only of one that has nothing but a name it is known what it says."""
        if system or public or inner:
            raise Beyond("a document type")

    def _end_of_text(self) -> None:
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            if not text.isspace():
                element = self._open[-1]
                element.number += 1
                element.texts.append(text)
                self.into.expect(0, 1, 3 * len(element.path))
                self._add(b"%b%d" % (element.base, element.number), element.path, element.inner, text)

    def _local(self, name: str) -> bytes:
        """A name without its namespace."""
        return name.rpartition(":")[2].encode(self.codec, "xmlcharrefreplace")

    def _add(self, name: bytes, path: bytes, inner: bytes, value: str) -> None:
        written = value.encode(self.codec, "xmlcharrefreplace")
        bare = written.strip()
        names = {name, path, inner} - {b""}
        self.into.add(names, (written,) if bare == written else (written, bare))


def guess(text: bytes, into: Flattening) -> None:
    """Add what stands behind each tag, and in attributes, of a text that is not well-formed, as readers would take it
    that know no better.

    :raises Beyond: if there is too much of it.
    """
    for pattern in (_TEXT_OF_TAG, _ATTRIBUTE):
        for found in pattern.finditer(text):
            into.expect(0, 1, len(found[1]))
            value = b"".join(each or b"" for each in found.groups()[1:])
            decoded = value.decode("utf-8", "surrogateescape").strip()
            with contextlib.suppress(ValueError):  # of a reference to a character of thousands of digits
                decoded = html.unescape(decoded)
            into.add((found[1],), tuple(dict.fromkeys((value, bytes_of(decoded)))))


def flatten(text: bytes, into: Flattening, name: bytes = b"") -> None:
    """Add the values of a text: ``<a b="1"><c>x</c></a>`` has ``ab`` and ``a1c1``, as in the vendor's product, and by
    the way that leads to them also ``a_b`` and ``b``, ``a_c`` and ``c``.

    :param text: in UTF-8, or in a character set in which ASCII is ASCII, whatever it says of itself.
    :param name: what it stands under.
    :raises Unread: if it is not well-formed, has a document type, or too much of anything.
    """
    codec = "utf-8"
    try:
        text.decode(codec)
    except UnicodeDecodeError:
        codec = "iso-8859-1"
    parser = expat.ParserCreate(codec)
    parser.buffer_text = parser.ordered_attributes = True
    reader = _Reader(into, codec, name)
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = reader.text, reader.document_type
    try:
        parser.Parse(text.lstrip(b" \t\r\n"), True)
    except (expat.ExpatError, ValueError) as error:
        raise Unread(str(error)) from None
