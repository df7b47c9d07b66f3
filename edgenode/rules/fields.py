"""The fields: everything about an exchange that a rule can look at, one line each.

Law: every reader sees every value, so a repeated header has all of its values looked at; what is absent is ``None``.
Bytes stay bytes: what is decoded stands in a field of its own. No reader raises, whatever the client has sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from operator import attrgetter, itemgetter
from typing import Any

from attrs import evolve, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Request
from edgenode.model.extensions import Table
from edgenode.rules.extension_values import checked, looks_at_body
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, STRING_LISTS, STRINGS, Type, array
from edgenode.rules.networks import address
from edgenode.rules.views import (
    arguments,
    bodies,
    certificates,
    cookies,
    geo,
    grpc,
    headers,
    proxy_protocol,
    tokens,
    uris,
)
from edgenode.rules.views.certificates import of_client, verdict
from edgenode.rules.views.media_type import media_type
from edgenode.rules.views.pairs import names_of, values_of
from edgenode.rules.views.view import of_request, then


@frozen
class Field:
    """One thing to look at.

    :ivar name: as written in expressions; Cloudflare's name where Cloudflare has the field.
    :ivar type: the type of its value.
    :ivar read: its value, of that type, or ``None`` where it is missing.
    :ivar help: a phrase for the reference.
    :ivar needs: what it takes besides the head of the request: ``body``, ``clock`` (two equal exchanges may differ),
        ``tags`` (they grow while rules are judged), ``geography``, ``certificate`` (of the client),
        ``tokens`` (the judge of them); and of the head ``arguments``, of which not all may be looked at.
    :ivar breadth: a guess at how many requests in a hundred a condition on it is true of.
    :ivar of_request: its value of a request, if it is a request's; ``read`` does the same of an exchange.
    """

    name: str
    type: Type
    read: Callable[[Exchange], Any]
    help: str
    needs: frozenset[str] = frozenset()
    breadth: int = 5
    of_request: Callable[[Request], Any] | None = field(default=None, kw_only=True)


# -- readers of what is there without a view ---------------------------------------------------------------------------


def _tags(exchange: Exchange) -> tuple[bytes, ...]:
    return tuple(tag.encode("utf-8") for tag in sorted(exchange.tags))


def _ja4(exchange: Exchange) -> bytes:
    return exchange.connection.fingerprint.encode("utf-8")


def _text(attribute: str) -> Callable[[Exchange], bytes | None]:
    """A reader of a text; missing if it is empty."""
    read = attrgetter(attribute)
    return lambda exchange: text.encode("utf-8", "surrogatepass") if (text := read(exchange)) else None


def _seed(identifier: bytes) -> bytes:
    return hashlib.blake2b(identifier, digest_size=32).digest()


def _of_parts(attribute: str) -> Callable[[Request], tuple[Any, ...] | None]:
    """A reader of one thing of each part of a body."""
    return then(bodies.parts, lambda found: tuple(map(attrgetter(attribute), found)))


_Row = tuple[str, Type, Callable[[Any], Any], str] | tuple[str, Type, Callable[[Any], Any], str, int]


def _group(prefix: str, needs: str, *rows: _Row) -> tuple[Field, ...]:
    """Fields whose names begin alike and whose readers need the same: name, type, reader, help, and its breadth."""
    need = frozenset(needs.split())
    return tuple(Field(prefix + name, of, read, phrase, need, *breadth) for name, of, read, phrase, *breadth in rows)


def _requests(prefix: str, needs: str, *rows: _Row) -> tuple[Field, ...]:
    """The same of readers that read the request."""
    readers: list[Callable[[Request], Any]] = [row[2] for row in rows]
    fields = zip(_group(prefix, needs, *rows), readers, strict=True)
    return tuple(evolve(found, read=of_request(read), of_request=read) for found, read in fields)


_LISTS = array(STRINGS)

_TABLE = (
    # -- Cloudflare's fields -------------------------------------------------------------------------------------------
    *_group(
        "", "",
        ("ip.src", IP, lambda e: address(e.client) if e.client else None,
         "The client's address, as trusted proxies report it.", 1),
        ("ssl", BOOL, lambda e: bool(e.connection.tls_version), "Whether the client's connection is encrypted.", 100),
        ("cf.tls_version", BYTES, lambda e: e.connection.tls_version.encode(),
         "The TLS version of the client's connection: ``TLSv1.3``; empty without TLS.", 50),
        ("cf.tls_cipher", BYTES, lambda e: e.connection.cipher.encode(),
         "The cipher suite of the client's connection, by OpenSSL's name.", 30),
        ("cf.edge.server_ip", IP, lambda e: address(e.connection.local.host),
         "The node's address to which the client has connected.", 50),
        ("cf.edge.server_port", INT, lambda e: e.connection.local.port,
         "The node's port to which the client has connected.", 50),
        ("cf.edge.client_tcp", BOOL, lambda e: True, "Whether the client uses TCP: always true.", 100),
        ("cf.bot_management.ja4", BYTES, _ja4, "JA4 of the ClientHello; empty without TLS."),
    ),
    *_group(
        "cf.", "clock",
        ("ray_id", BYTES, lambda e: e.identifier or None, "The request's identifier, as in events and X-Request-Id."),
        ("random_seed", BYTES, lambda e: _seed(e.identifier) if e.identifier else None,
         "32 bytes derived from ``cf.ray_id``, different for each request."),
    ),
    *_requests(
        "http.", "",
        ("host", BYTES, lambda r: r.host, "The host asked for, in lower case, without its port.", 30),
        ("cookie", BYTES, cookies.whole, "``Cookie`` as one text; empty without one."),
        ("referer", BYTES, headers.joined(b"referer"), "``Referer``; empty without one."),
        ("user_agent", BYTES, headers.joined(b"user-agent"), "``User-Agent``; empty without one."),
        ("x_forwarded_for", BYTES, headers.joined(b"x-forwarded-for"), "``X-Forwarded-For``; empty without one."),
    ),
    *_requests(
        "http.request.", "",
        ("method", BYTES, attrgetter("method"), "The method as it was sent.", 30),
        ("headers", STRING_LISTS, attrgetter("fields"), "All values of every header, by its name in lower case."),
        ("version", BYTES, headers.version, "The version of HTTP: ``HTTP/1.1``, ``HTTP/1.0`` or ``HTTP/2``.", 50),
        ("full_uri", BYTES, uris.absolute(uris.uri),
         "Scheme, authority, path and query; the path as in ``http.request.uri.path``."),
        ("uri", BYTES, uris.uri, "Path and query; the path as in ``http.request.uri.path``."),
        ("uri.path", BYTES, uris.path, "The path, percent-encoded, in RFC 3986's normal form."),
        ("uri.path.extension", BYTES, then(uris.path, uris.extension),
         "What is behind the last dot of the path, in lower case."),
        ("uri.query", BYTES, lambda r: r.query or b"", "The query as received, without its ``?``."),
        ("headers.names", STRINGS, lambda r: r.names or names_of(r.headers),
         "The name of each header as it was sent.", 30),
        ("headers.values", STRINGS, lambda r: values_of(r.headers), "The value of each header."),
        ("headers.truncated", BOOL, lambda r: False,
         "Whether some headers are left out: never, for a request with too many is refused."),
        ("cookies", STRING_LISTS, cookies.cookies, "All values of every cookie, not decoded, by its decoded name."),
        ("accepted_languages", STRINGS, headers.accepted_languages,
         "The languages of ``Accept-Language``, the most preferred first."),
    ),
    *_requests(
        "http.request.", "arguments",
        ("uri.args", STRING_LISTS, arguments.arguments, "All values of every argument of the query, not decoded."),
        ("uri.args.names", STRINGS, then(arguments.pairs, names_of), "The name of each argument, not decoded."),
        ("uri.args.values", STRINGS, then(arguments.pairs, values_of), "The value of each argument, not decoded."),
    ),
    *_group(
        "http.request.timestamp.", "clock",
        ("sec", INT, lambda e: int(e.time) if e.time else None, "When the exchange began: seconds since 1970.", 100),
        ("msec", INT, lambda e: int(e.time * 1000) % 1000 if e.time else None,
         "The milliseconds of the second in which the exchange began, 0 to 999.", 100),
    ),
    *_requests(
        "raw.http.request.", "",
        ("full_uri", BYTES, uris.absolute(uris.raw_uri), "Scheme, authority, path and query, as received."),
        ("uri", BYTES, uris.raw_uri, "Path and query as received."),
        ("uri.path", BYTES, uris.raw_path, "The path as received."),
        ("uri.path.extension", BYTES, then(uris.raw_path, uris.extension),
         "What is behind the last dot of the path, in lower case."),
        ("uri.query", BYTES, lambda r: r.query or b"", "The same as ``http.request.uri.query``."),
    ),
    *_requests(
        "raw.http.request.", "arguments",
        ("uri.args", STRING_LISTS, arguments.arguments, "The same as ``http.request.uri.args``."),
        ("uri.args.names", STRINGS, then(arguments.pairs, names_of), "The same as ``http.request.uri.args.names``."),
        ("uri.args.values", STRINGS, then(arguments.pairs, values_of), "The same as ``http.request.uri.args.values``."),
    ),
    *_requests(
        "http.request.body.", "body",
        ("raw", BYTES, bodies.raw,
         "The body, as far as rules see it; followed by the decompressed body, or the body in UTF-8, if that differs."),
        ("size", INT, then(bodies.received, attrgetter("size")),
         "The size of the body in bytes; ``max-body-size`` for a chunked body that is longer than rules see."),
        ("truncated", BOOL, bodies.truncated, "Whether the body has more bytes, parts or fields than rules see."),
        ("mime", BYTES, then(bodies.received, lambda found: media_type(found.data)),
         "The media type of the body by its first bytes; empty if it is not known."),
        ("form", STRING_LISTS, bodies.form, "All values of every field of a form, not decoded."),
        ("form.names", STRINGS, then(bodies.form_pairs, names_of), "The name of each field of a form, not decoded."),
        ("form.values", STRINGS, then(bodies.form_pairs, values_of), "The value of each field of a form, not decoded."),
        ("multipart", STRING_LISTS, bodies.multipart,
         "The contents of all parts of a ``multipart`` body, by their names."),
        ("multipart.names", _LISTS, _of_parts("names"), "The names of each part of a ``multipart`` body."),
        ("multipart.values", STRINGS, _of_parts("value"), "The content of each part of a ``multipart`` body."),
        ("multipart.filenames", _LISTS, _of_parts("filenames"), "The file names of each part of a ``multipart`` body."),
        ("multipart.content_types", _LISTS, _of_parts("content_types"),
         "The ``Content-Type`` of each part of a ``multipart`` body."),
        ("multipart.content_dispositions", _LISTS, _of_parts("content_dispositions"),
         "The ``Content-Disposition`` of each part of a ``multipart`` body."),
        ("multipart.content_transfer_encodings", _LISTS, _of_parts("content_transfer_encodings"),
         "The ``Content-Transfer-Encoding`` of each part of a ``multipart`` body."),
    ),
    *_group(
        "ip.src.", "geography",
        ("country", BYTES, geo.country, "The ISO 3166-1 code of the client's country; ``XX`` if it is unknown."),
        ("continent", BYTES, geo.text("continent"), "The code of the client's continent; empty if it is unknown.", 30),
        ("is_in_european_union", BOOL, lambda e: geo.place(e).in_european_union,
         "Whether the client's country is a member of the European Union.", 30),
        ("region", BYTES, geo.text("region"), "The name of the client's region in English; empty if it is unknown."),
        ("region_code", BYTES, geo.text("region_code"), "The code of the client's region within its country."),
        ("subdivision_1_iso_code", BYTES, geo.subdivision("region_code"),
         "The ISO 3166-2 code of the client's region: ``DE-BW``."),
        ("subdivision_2_iso_code", BYTES, geo.subdivision("subregion_code"),
         "The ISO 3166-2 code of the client's subregion."),
        ("city", BYTES, geo.text("city"), "The name of the client's city in English; empty if it is unknown.", 1),
        ("postal_code", BYTES, geo.text("postal_code"), "The postal code of the client's place.", 1),
        ("metro_code", BYTES, geo.text("metro_code"),
         "The code of the client's metropolitan area, in the United States.", 1),
        ("lat", BYTES, geo.text("latitude"), "The latitude of the client's place in degrees.", 1),
        ("lon", BYTES, geo.text("longitude"), "The longitude of the client's place in degrees.", 1),
        ("timezone.name", BYTES, geo.text("timezone"), "The time zone of the client's place: ``Europe/Berlin``."),
        ("asnum", INT, lambda e: geo.place(e).asn,
         "The number of the client's autonomous system; 0 if it is unknown.", 1),
    ),
    *_group(
        "cf.tls_client_auth.", "certificate",
        ("cert_presented", BOOL, verdict(lambda v: v.presented),
         "Whether the client has sent a certificate, valid or not.", 50),
        ("cert_verified", BOOL, verdict(lambda v: v.verified and not v.revoked),
         "Whether the client's certificate is verified, and not revoked.", 50),
        ("cert_revoked", BOOL, verdict(lambda v: v.revoked),
         "Whether a revocation list revokes the client's certificate or one of its issuers.", 1),
        ("cert_issuer_dn", BYTES, certificates.text("issuer"),
         "The issuer of the client's certificate: ``CN=x,O=Example,C=US``."),
        ("cert_subject_dn", BYTES, certificates.text("subject"),
         "The subject of the client's certificate: ``CN=x,O=Example,C=US``."),
        ("cert_issuer_dn_rfc2253", BYTES, certificates.text("issuer"),
         "The same as ``cf.tls_client_auth.cert_issuer_dn``."),
        ("cert_subject_dn_rfc2253", BYTES, certificates.text("subject"),
         "The same as ``cf.tls_client_auth.cert_subject_dn``."),
        ("cert_issuer_dn_legacy", BYTES, certificates.text("issuer_legacy"),
         "The issuer of the client's certificate, as OpenSSL wrote it: ``/C=US/O=Example/CN=x``."),
        ("cert_subject_dn_legacy", BYTES, certificates.text("subject_legacy"),
         "The subject of the client's certificate, as OpenSSL wrote it: ``/C=US/O=Example/CN=x``."),
        ("cert_serial", BYTES, certificates.text("serial"),
         "The serial number of the client's certificate, upper-case hexadecimal.", 1),
        ("cert_issuer_serial", BYTES, certificates.text("issuer_serial"),
         "The serial number of the direct issuer's certificate, if the client's is verified."),
        ("cert_fingerprint_sha256", BYTES, certificates.text("fingerprint_sha256"),
         "The SHA-256 of the client's certificate, lower-case hexadecimal.", 1),
        ("cert_fingerprint_sha1", BYTES, certificates.text("fingerprint_sha1"),
         "The SHA-1 of the client's certificate, lower-case hexadecimal.", 1),
        ("cert_not_before", BYTES, certificates.date("not_before"),
         "When the client's certificate becomes valid: ``Mar  1 13:35:00 2022 GMT``."),
        ("cert_not_after", BYTES, certificates.date("not_after"),
         "When the client's certificate expires: ``Mar  1 13:35:00 2022 GMT``."),
        ("cert_ski", BYTES, certificates.text("ski"),
         "The subject key identifier of the client's certificate, upper-case hexadecimal.", 1),
        ("cert_issuer_ski", BYTES, certificates.text("issuer_ski"),
         "The subject key identifier of the direct issuer's certificate, upper-case hexadecimal."),
        ("cert_rfc9440", BYTES, of_client(certificates.leaf, b""),
         "The client's certificate as in ``Client-Cert`` (RFC 9440); empty if it is over 10 KiB.", 1),
        ("cert_rfc9440_too_large", BOOL, of_client(lambda c: not certificates.leaf(c), False),
         "Whether ``cert_rfc9440`` is empty because the certificate is over 10 KiB.", 1),
        ("cert_chain_rfc9440", BYTES, of_client(certificates.chain, b""),
         "The chain that the client has sent, as in RFC 9440; empty if it is over 16 KiB.", 1),
        ("cert_chain_rfc9440_too_large", BOOL, of_client(certificates.chain_too_large, False),
         "Whether ``cert_chain_rfc9440`` is empty because the chain is over 16 KiB.", 1),
    ),
    # -- ours ----------------------------------------------------------------------------------------------------------
    *_group(
        "edge.", "",
        ("server_group", BYTES, _text("server_group"), "The name of the server group.", 30),
        ("security_policy", BYTES, _text("security_policy"), "The name of the security policy.", 30),
        ("path_map", BYTES, _text("path_map"), "The name of the path map.", 30),
        ("sni", BYTES, _text("connection.server_name"), "The server name in the TLS handshake (SNI).", 30),
        ("alpn", BYTES, _text("connection.alpn"), "The protocol chosen by ALPN: ``http/1.1``.", 50),
        ("ja4", BYTES, _ja4, "JA4 of the ClientHello; empty without TLS."),
        ("peer_ip", IP, lambda e: address(e.connection.peer.host),
         "The address that has connected to the node: the client's or a proxy's.", 1),
        ("peer_port", INT, lambda e: e.connection.peer.port,
         "The port from which the client or a proxy has connected.", 1),
    ),
    *_group("edge.proxy_protocol.", "", *proxy_protocol.ROWS),
    *_requests(
        "edge.", "",
        ("authority", BYTES, attrgetter("authority"),
         "The host and port asked for, in lower case; without the port if it is 443.", 30),
        ("path", BYTES, attrgetter("normalised_path"),
         "The path for matching: decoded once, slashes merged, dot segments resolved."),
        ("paths", STRINGS, uris.path_readings,
         "``edge.path``, also without parameters (``;x=1``), and with ``\\`` read as ``/``."),
        ("query", STRINGS, uris.query_readings, "The query as received, and decoded; missing if there is none."),
        ("uri", STRINGS, uris.uri_readings, "Path and query: as received, in normal form, and decoded."),
        ("cookies", STRING_LISTS, cookies.cookie_readings, "Cookies as sent, percent-decoded and without quotes."),
        ("grpc.service", BYTES, then(grpc.call, itemgetter(0)),
         "The service of a gRPC or gRPC-Web call with its package: ``shop.v1.Cart``; missing of other requests."),
        ("grpc.method", BYTES, then(grpc.call, itemgetter(1)),
         "The method of a gRPC or gRPC-Web call: ``AddItem``; missing of other requests."),
    ),
    *_requests(
        "edge.", "body arguments",
        ("arguments", STRING_LISTS, arguments.all_arguments,
         "The arguments of the query and the fields of a form or ``multipart`` body, decoded."),
    ),
    *_group("http.request.jwt.", "tokens clock", *tokens.CLAIMS),
    *_group("edge.jwt.", "tokens clock", *tokens.VERDICTS),
    *_group("edge.", "tags", ("tags", STRINGS, _tags, "The tags that the exchange has so far.", 20)),
    *_group(
        "edge.", "geography",
        ("region", STRINGS, geo.readings("region", "region_code"), "The client's region, by its name and by its code."),
        ("subregion", STRINGS, geo.readings("subregion", "subregion_code"),
         "The client's subregion, by its name and by its code."),
        ("organization", STRINGS, geo.readings("organization"),
         "The organization that the client's network belongs to; missing if it is unknown.", 1),
    ),
    *_group(
        "edge.tls_client_auth.", "certificate",
        ("verification", BYTES, verdict(lambda v: str(v).encode()),
         "The verdict on the client's certificate: ``SUCCESS``, ``NONE`` or ``FAILED:reason``.", 50),
        ("reason", BYTES, verdict(lambda v: v.reason.encode()),
         "The last error of the client's certificate in OpenSSL's words, if there is one.", 1),
        ("first_error", INT, verdict(lambda v: v.first_error),
         "OpenSSL's number of the first error of the client's certificate; 0 for none.", 1),
        ("last_error", INT, verdict(lambda v: v.last_error),
         "OpenSSL's number of the last error of the client's certificate; 0 for none.", 1),
        ("errors", array(INT), verdict(lambda v: v.errors),
         "OpenSSL's numbers of all errors of the client's certificate, in the order found.", 1),
        ("depth", INT, verdict(lambda v: v.depth),
         "The depth in the chain at which the last error is; 0 is the client's own certificate.", 1),
        ("chain_length", INT, of_client(lambda c: 1 + len(c.chain_verified or c.chain_sent), 0),
         "The number of certificates in the client's chain, root included if it is verified; else as sent.", 30),
        ("san_dns", STRINGS, certificates.names("dns"),
         "The DNS names among the subject alternative names of the client's certificate."),
        ("san_uri", STRINGS, certificates.names("uri"),
         "The URIs among the subject alternative names of the client's certificate, such as SPIFFE IDs."),
        ("san_email", STRINGS, certificates.names("email"),
         "The mailboxes among the subject alternative names of the client's certificate."),
        ("san_ip", array(IP), of_client(lambda c: tuple(map(address, c.sans.ip)), ()),
         "The addresses among the subject alternative names of the client's certificate."),
        ("eku", STRINGS, of_client(certificates.usages, ()),
         "The extended key usages of the client's certificate: dotted, and by name.", 30),
        ("key_type", BYTES, certificates.text("key_type"),
         "The key type of the client's certificate: ``RSA``, ``ECDSA``, ``Ed25519``, ``Ed448``, ``DSA``.", 50),
        ("key_bits", INT, of_client(lambda c: c.key_bits, 0),
         "The size of the key of the client's certificate in bits.", 30),
        ("signature_algorithm", BYTES, certificates.text("signature_algorithm"),
         "The signature algorithm of the client's certificate: ``ecdsa-sha256``.", 30),
        ("spki_sha256", BYTES, certificates.text("spki_sha256"),
         "The SHA-256 of the public key of the client's certificate, lower-case hexadecimal.", 1),
    ),
    *_group(
        "edge.tls_client_auth.", "certificate clock",
        ("days_to_expiry", INT, certificates.days_to_expiry,
         "Whole days until the client's certificate expires; negative if it has expired."),
        ("crl_age", INT, certificates.crl_age,
         "The age in seconds of the revocation list that covers the client's certificate."),
        ("crl_stale", BOOL, certificates.crl_stale,
         "Whether the revocation list that covers the client's certificate is past its date.", 1),
    ),
)  # fmt: skip

OF_KEY: Mapping[str, Callable[[bytes], Callable[[Exchange], Any]]] = {
    "http.request.headers": headers.of_name,
    "edge.cookies": cookies.of_name,
    "edge.arguments": arguments.of_name,
    **tokens.OF_KEY,
}
"""Of maps, by the name of the field, what makes a reader of the value of one key that does without the map."""

# -- fields of extensions ----------------------------------------------------------------------------------------------

NEEDS = frozenset(("arguments", "body", "certificate", "clock", "geography", "tags", "tokens"))
"""What fields may need."""

_NAME = re.compile(r"(?!(?:cf|edge|http|ip|raw|ssl)\.)[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+", re.ASCII)


def _of_extension(name: str, found: object) -> Field:
    """A field of an extension, if it can be used; what its reader gives is checked each time.

    Text in the place of bytes would equal nothing, and every rule on it would be passed.
    """
    if not isinstance(found, Field):
        raise InvalidValue(f"the extension {name} is no Field, but of type {type(found).__name__}", 0)
    if found.name != name:
        raise InvalidValue(f"the field of the extension {name} has another name: {found.name}", 0)
    if not _NAME.fullmatch(name):
        expected = "words of a-z, 0-9 and _ with dots between, the first not cf, edge, http, ip, raw or ssl"
        raise InvalidValue(f"the name of a field of an extension is {expected}: {name}", 0)
    if not callable(found.read):
        raise InvalidValue(f"the field {name} has no reader", 0)
    if not found.needs <= NEEDS:
        raise InvalidValue(f"the field {name} needs what there is not: {', '.join(sorted(found.needs - NEEDS))}", 0)
    if "body" not in found.needs and looks_at_body(found.read):
        raise InvalidValue(f"the field {name} looks at the body, and does not say that it needs it", 0)
    check, read = checked(name, found.type), found.read

    def checking(exchange: Exchange) -> Any:
        value = read(exchange)
        return None if value is None else check(value)

    return evolve(found, read=checking, of_request=None)


FIELDS: Table[Field] = Table("field", {each.name: each for each in _TABLE}, _of_extension)
"""Every field by its name."""
