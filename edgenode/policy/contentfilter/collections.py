"""Collections: the variables of SecLang, each a reader of an exchange, or of the answer to it.

Law: what ModSecurity v3 has in a variable stands in it, in the order received; one with a single value always has it,
though it may be empty. What rules see besides, because some server reads it, are further members: they can match, and
are not counted. A view is computed at most once for each request; without a body, what is of one costs nothing.

https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x), "Variables".
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import frozen

from edgenode.model.exchange import NO_BODY, Exchange, Request, Response, host_of
from edgenode.policy.contentfilter import arguments, messages, parts, xml_texts
from edgenode.rules.views.pairs import Pairs

Read = Callable[[Exchange], Pairs]


def _nothing(exchange: Exchange) -> Pairs:
    return ()


@frozen
class Collection:
    """One variable of requests.

    :ivar name: as the manual writes it.
    :ivar read: its members, name and value, as ModSecurity has them; of what has no members one without a name.
    :ivar further: what else servers read in their place: other values. A rule that a member matches needs none of
        them: it would count twice what was sent once.
    :ivar early: what it has in phase 1, before the body has come; ``None`` if that is the same.
    :ivar aliases: the same as ``further``, and the same values by other names, for targets that choose by name:
        ``a[b]`` is ``a`` to PHP. ``None`` if that is the same as ``further``.
    """

    name: str
    read: Read
    further: Read = _nothing
    early: Read | None = None
    aliases: Read | None = None


@frozen
class ResponseCollection:
    """One variable of answers: phases 3 and 4.

    :ivar name: as the manual writes it.
    :ivar read: its members.
    """

    name: str
    read: Callable[[Response], Pairs]


# -- what makes readers ------------------------------------------------------------------------------------------------


def _of_request(read: Callable[[Request], Pairs]) -> Read:
    def reader(exchange: Exchange) -> Pairs:
        request = exchange.request
        return () if request is None else read(request)

    return reader


def _of_body(read: Callable[[Request], Pairs]) -> Read:
    """A reader of what there is only in bodies."""

    def reader(exchange: Exchange) -> Pairs:
        request = exchange.request
        return () if request is None or request.body is NO_BODY else read(request)

    return reader


def _one(read: Callable[[Request], bytes | None]) -> Read:
    """A reader of a variable with one value."""

    def reader(exchange: Exchange) -> Pairs:
        request = exchange.request
        return () if request is None else ((b"", read(request) or b""),)

    return reader


_EMPTY = ((b"", b""),)


def _one_of_body(read: Callable[[Request], bytes], without: Pairs = _EMPTY) -> Read:
    """The same of a body; without one it is always the same."""

    def reader(exchange: Exchange) -> Pairs:
        request = exchange.request
        if request is None:
            return ()
        return without if request.body is NO_BODY else ((b"", read(request)),)

    return reader


def _about(read: Callable[[Exchange], str | int]) -> Read:
    """A reader of one value of an exchange."""

    def reader(exchange: Exchange) -> Pairs:
        return ((b"", str(read(exchange)).encode("utf-8", "surrogateescape")),)

    return reader


def _names(read: Read) -> Read:
    return lambda exchange: tuple([(name, name) for name, _ in read(exchange)])


# -- the connection, and when it is ------------------------------------------------------------------------------------

_GEO = {
    "country_code": "country",
    "country_name": "country_name",
    "country_continent": "continent",
    "region": "region_code",
    "city": "city",
    "postal_code": "postal_code",
    "latitude": "latitude",
    "longitude": "longitude",
    "dma_code": "metro_code",
}


def _geography(exchange: Exchange) -> Pairs:
    found = exchange.geography
    if found is None:
        return ()
    known = ((name.encode(), getattr(found, attribute).encode("utf-8")) for name, attribute in _GEO.items())
    return tuple((name, value) for name, value in known if value)


def _time(form: str, less: int = 0) -> Read:
    def read(exchange: Exchange) -> str:
        written = datetime.datetime.fromtimestamp(exchange.time, datetime.UTC).strftime(form)
        return written if ":" in written else str(int(written) - less)

    return _about(read)


def _server_name(request: Request) -> bytes:
    return host_of(request.authority)


# -- all of them -------------------------------------------------------------------------------------------------------


def _arguments(exchange: Exchange) -> Pairs:
    request = exchange.request
    if request is None:
        return ()
    return arguments.of_query(request) if request.body is NO_BODY else arguments.all_of_them(request)


_FURTHER = _of_request(arguments.further)
_QUERY = _of_request(arguments.of_query)
_FURTHER_NAMES = _of_request(arguments.further_names)
_ALIASES = _of_request(arguments.aliases)

_COOKIES, _FURTHER_COOKIES = _of_request(arguments.of_cookies), _of_request(arguments.further_cookies)
_ZERO = ((b"", b"0"),)

_ALL = (
    Collection("ARGS", _arguments, _FURTHER, _QUERY, _ALIASES),
    Collection(
        "ARGS_NAMES",
        _names(_arguments),
        _FURTHER_NAMES,
        _names(_QUERY),
    ),
    Collection("ARGS_GET", _QUERY, _FURTHER, aliases=_ALIASES),
    Collection("ARGS_GET_NAMES", _names(_QUERY), _FURTHER_NAMES),
    Collection("ARGS_POST", _of_body(arguments.of_body), _FURTHER, _nothing, _ALIASES),
    Collection("ARGS_POST_NAMES", _names(_of_body(arguments.of_body)), _FURTHER_NAMES, _nothing),
    Collection("ARGS_COMBINED_SIZE", _one(messages.combined_size), early=_one(messages.early_size)),
    Collection("AUTH_TYPE", _one(lambda request: messages.authorization(request)[0])),
    Collection("DURATION", lambda exchange: ((b"", b"0"),)),
    Collection("FILES", _of_body(parts.files), _of_body(parts.further_files), _nothing),
    Collection("FILES_COMBINED_SIZE", _one_of_body(parts.combined_size), early=_nothing),
    Collection("FILES_NAMES", _of_body(parts.file_fields), _of_body(parts.further_file_fields), _nothing),
    Collection("FILES_SIZES", _of_body(parts.file_sizes), early=_nothing),
    Collection("FILES_TMPNAMES", _nothing),
    Collection("FILES_TMP_CONTENT", _of_body(parts.file_contents), early=_nothing),
    Collection("FULL_REQUEST", _one(messages.full_request), early=_nothing),
    Collection(
        "FULL_REQUEST_LENGTH", _one(lambda request: b"%d" % len(messages.full_request(request))), early=_nothing
    ),
    Collection("GEO", _geography),
    Collection("INBOUND_DATA_ERROR", _one_of_body(messages.data_error, _ZERO), early=_nothing),
    Collection("MULTIPART_FILENAME", _of_body(parts.filenames), _of_body(parts.further_files), _nothing),
    Collection("MULTIPART_NAME", _of_body(parts.names), _of_body(parts.further_names), _nothing),
    Collection("MULTIPART_PART_HEADERS", _of_body(parts.headers), early=_nothing),
    *[Collection(name, _one_of_body(read), early=_nothing) for name, read in parts.FLAGS.items()],
    Collection("PATH_INFO", _one(messages.filename), _of_request(messages.further_filenames)),
    Collection("QUERY_STRING", _one(lambda request: request.query)),
    Collection("REMOTE_ADDR", lambda exchange: ((b"", exchange.client.encode()),)),
    Collection("REMOTE_HOST", _about(lambda exchange: exchange.client)),
    Collection("REMOTE_PORT", _about(lambda exchange: exchange.connection.peer.port)),
    Collection("REMOTE_USER", _one(messages.user)),
    Collection("REQBODY_ERROR", _one_of_body(messages.body_error, _ZERO), early=_nothing),
    Collection("REQBODY_ERROR_MSG", _one_of_body(messages.body_message), early=_nothing),
    Collection("REQBODY_PROCESSOR", _one(arguments.processor)),
    Collection("REQBODY_PROCESSOR_ERROR", _one_of_body(messages.body_error, _ZERO), early=_nothing),
    Collection("REQBODY_PROCESSOR_ERROR_MSG", _one_of_body(messages.body_message), early=_nothing),
    Collection("REQUEST_BASENAME", _one(messages.basename), _of_request(messages.further_basenames)),
    Collection("REQUEST_BODY", _one_of_body(messages.body), _of_body(messages.further_bodies), _nothing),
    Collection("REQUEST_BODY_LENGTH", _one_of_body(messages.body_length), early=_nothing),
    Collection("REQUEST_COOKIES", _COOKIES, _FURTHER_COOKIES, aliases=_of_request(arguments.cookie_aliases)),
    Collection(
        "REQUEST_COOKIES_NAMES",
        _names(_COOKIES),
        _of_request(arguments.further_cookie_names),
    ),
    Collection("REQUEST_FILENAME", _one(messages.filename), _of_request(messages.further_filenames)),
    Collection("REQUEST_HEADERS", _of_request(lambda request: request.headers)),
    Collection("REQUEST_HEADERS_NAMES", _of_request(messages.header_names)),
    Collection("REQUEST_LINE", _one(messages.line)),
    Collection("REQUEST_METHOD", _one(lambda request: request.method)),
    Collection("REQUEST_PROTOCOL", _one(messages.protocol)),
    Collection("REQUEST_URI", _one(messages.uri), _of_request(messages.further_uris)),
    Collection("REQUEST_URI_RAW", _one(lambda request: request.target)),
    Collection("SERVER_ADDR", _about(lambda exchange: exchange.connection.local.host)),
    Collection("SERVER_NAME", _one(_server_name)),
    Collection("SERVER_PORT", _about(lambda exchange: exchange.connection.local.port)),
    Collection("TIME", _time("%H:%M:%S")),
    Collection("TIME_DAY", _time("%d")),
    Collection("TIME_EPOCH", _about(lambda exchange: int(exchange.time))),
    Collection("TIME_HOUR", _time("%H")),
    Collection("TIME_MIN", _time("%M")),
    Collection("TIME_MON", _time("%m", less=1)),
    Collection("TIME_SEC", _time("%S")),
    Collection("TIME_WDAY", _time("%w")),
    Collection("TIME_YEAR", _time("%Y")),
    Collection("UNIQUE_ID", lambda exchange: ((b"", exchange.identifier),)),
    Collection("URLENCODED_ERROR", _one(messages.escape_error)),
    Collection("WEBAPPID", _about(lambda exchange: exchange.path_map)),
    Collection("XML", _of_body(xml_texts.texts), _of_body(xml_texts.further), _nothing),
)

COLLECTIONS: Mapping[str, Collection] = MappingProxyType({each.name: each for each in _ALL})
"""The variables of requests, by their names. What rules set and match is the engine's: TX, MATCHED_VAR and the like."""


def _of_response(name: bytes) -> Callable[[Response], Pairs]:
    return lambda response: tuple([(b"", value) for key, value in response.headers if key.lower() == name][:1])


def _names_of_response(response: Response) -> Pairs:
    return tuple([(name, name) for name, _ in response.headers])


_OF_RESPONSES = (
    ResponseCollection("OUTBOUND_DATA_ERROR", lambda response: ((b"", b"0"),)),
    ResponseCollection("RESPONSE_BODY", lambda response: ((b"", response.body),) if response.body else ()),
    ResponseCollection("RESPONSE_CONTENT_LENGTH", lambda response: ((b"", b"%d" % len(response.body)),)),
    ResponseCollection("RESPONSE_CONTENT_TYPE", _of_response(b"content-type")),
    ResponseCollection("RESPONSE_HEADERS", lambda response: response.headers),
    ResponseCollection(
        "RESPONSE_HEADERS_NAMES", lambda response: tuple([(name, name) for name, _ in response.headers])
    ),
    ResponseCollection("RESPONSE_PROTOCOL", lambda response: ((b"", b"HTTP/1.1"),)),
    ResponseCollection("RESPONSE_STATUS", lambda response: ((b"", b"%d" % response.status),)),
    ResponseCollection("STATUS_LINE", lambda response: ((b"", b"HTTP/1.1 %d" % response.status),)),
)

RESPONSE_COLLECTIONS: Mapping[str, ResponseCollection] = MappingProxyType({each.name: each for each in _OF_RESPONSES})
"""The variables of answers, by their names."""
