"""The files behind a configuration: certificates, private keys, authorities and revocation lists, read and judged; and
databases of addresses, keys of challenges and of masks, pages of errors and rules of content filters: files that change
likewise.

The module owns who uses which certificate for what; ``edgenode.tls`` owns the reading. Its law: what would only show in
a handshake is found when the configuration is loaded.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

import attrs
from attrs import evolve, field, frozen
from cryptography import x509
from OpenSSL import crypto

from edgenode.config import challenge_keys, content_rules, error_pages, mask_keys, schema
from edgenode.config.content_rules import LoadedRules
from edgenode.config.data import Sections
from edgenode.config.error_pages import LoadedPages
from edgenode.config.file_signatures import Signature, file_state
from edgenode.feeds import geo
from edgenode.feeds.geo import Databases, Geo
from edgenode.model.errors import Problem
from edgenode.policy.challenge import ChallengeSection
from edgenode.policy.challenge_tokens import Keys
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.masked import Masking
from edgenode.policy.contentfilter.masking import MaskKey
from edgenode.policy.responses import ResponseRules
from edgenode.proxy.origin.origin import Origin
from edgenode.state.settings import StateSection
from edgenode.tls import certificates, expiry, truststores
from edgenode.tls.certificates import Certificate, LoadedCertificate
from edgenode.tls.paths import path_warnings
from edgenode.tls.policies import check_group, client_context
from edgenode.tls.problems import Problems
from edgenode.tls.revocation import fill_store
from edgenode.tls.truststores import LoadedTrustStore, TrustStore

Loaded = LoadedCertificate | LoadedTrustStore | LoadedPages | LoadedRules | Databases | Keys | MaskKey
Filed = Certificate | TrustStore | Geo | ChallengeSection | Masking | ResponseRules | ContentFilter


@frozen
class Credentials:
    """What was read from the files of a configuration.

    :ivar certificates: the certificates by the name of their section.
    :ivar trust_stores: the trust stores likewise.
    :ivar databases: those of addresses; ``None`` if there are none.
    :ivar challenge_keys: what challenges are signed with.
    :ivar mask_key: what masked values are hashed with.
    :ivar pages: the pages of errors, by the name of their section.
    :ivar content_rules: the rules of content filters likewise.
    :ivar signatures: of their files right before they were read, by the header of their section.
    :ivar kept: the headers of the sections whose files could not be used when all were read: what they held before is
        in use.
    """

    certificates: Mapping[str, LoadedCertificate] = field(factory=dict)
    trust_stores: Mapping[str, LoadedTrustStore] = field(factory=dict)
    databases: Databases | None = None
    challenge_keys: Keys = challenge_keys.OWN
    mask_key: MaskKey = mask_keys.OWN
    pages: Mapping[str, LoadedPages] = field(factory=dict)
    content_rules: Mapping[str, LoadedRules] = field(factory=dict)
    signatures: Mapping[str, Signature] = field(factory=dict, eq=False, repr=False)
    kept: tuple[str, ...] = field(default=(), eq=False)

    def of(self, configuration: Sections, running: Sections) -> Credentials:
        """Those of the sections that another configuration has too, word for word.

        :param configuration: the other one.
        :param running: the one that these are of.
        """
        known = dict(_sections(running))
        same = {header for header, section in _sections(configuration) if known.get(header) == section}
        return Credentials(
            {name: each for name, each in self.certificates.items() if f"{Certificate.kind} {name}" in same},
            {name: each for name, each in self.trust_stores.items() if f"{TrustStore.kind} {name}" in same},
            self.databases if Geo.kind in same else None,
            self.challenge_keys if ChallengeSection.kind in same else challenge_keys.OWN,
            self.mask_key if Masking.kind in same else mask_keys.OWN,
            {name: each for name, each in self.pages.items() if f"{ResponseRules.kind} {name}" in same},
            {name: each for name, each in self.content_rules.items() if f"{ContentFilter.kind} {name}" in same},
            {header: signature for header, signature in self.signatures.items() if header in same},
        )

    def renewed(self, read: Mapping[str, tuple[Signature, Loaded]]) -> Credentials:
        """The same with some sections read anew, by their header."""
        loaded = [each for _, each in read.values()]
        return Credentials(
            {**self.certificates, **{each.name: each for each in loaded if isinstance(each, LoadedCertificate)}},
            {**self.trust_stores, **{each.name: each for each in loaded if isinstance(each, LoadedTrustStore)}},
            next((each for each in loaded if isinstance(each, Databases)), self.databases),
            next((each for each in loaded if isinstance(each, Keys)), self.challenge_keys),
            next((each for each in loaded if isinstance(each, MaskKey)), self.mask_key),
            {**self.pages, **{each.name: each for each in loaded if isinstance(each, LoadedPages)}},
            {**self.content_rules, **{each.name: each for each in loaded if isinstance(each, LoadedRules)}},
            {**self.signatures, **{header: signature for header, (signature, _) in read.items()}},
        )


def load(
    configuration: Sections, now: datetime.datetime, before: Credentials | None = None
) -> tuple[Credentials, list[Problem]]:
    """Read all files.

    :param now: the time to judge validity by, UTC.
    :param before: what is in use of sections that are written the same: it stays in use where a file cannot be used.
    :returns: what could be read, and every problem, warnings too.
    """
    before = Credentials() if before is None else before
    credentials, problems = refresh(configuration, before, None, now)
    if all(header in credentials.signatures for header, _ in _sections(configuration)):
        in_use = before.signatures.items()
        kept = [each for each, files in in_use if files and credentials.signatures[each] is files]
        credentials = evolve(credentials, kept=tuple(kept))
        standing = _checked(configuration, credentials)
        problems = [each if each.warning or each in standing else kept_in_use(each) for each in problems]
    problems += getting_old(credentials, now, past=False)
    return credentials, list(dict.fromkeys(problems))


def kept_in_use(problem: Problem) -> Problem:
    """What was an error at a start, of a file whose old content is in use still."""
    return evolve(problem, sentence=f"{problem.sentence}; what is in use stays in use", warning=True)


def getting_old(credentials: Credentials, now: datetime.datetime, *, past: bool = True) -> list[Problem]:
    """Warnings about what is past its date, or soon will be.

    :param now: UTC.
    :param past: whether also about what has expired: loading it reports that already.
    """
    dated: tuple[LoadedCertificate | LoadedTrustStore, ...] = (
        *credentials.certificates.values(),
        *credentials.trust_stores.values(),
    )
    found = list[Problem]()
    for loaded in dated:
        found += _attempted(f"{_kind(loaded)} {loaded.name}", partial(expiry.expiry_warnings, loaded, now, past=past))
    return found


def _kind(loaded: LoadedCertificate | LoadedTrustStore) -> str:
    return Certificate.kind if isinstance(loaded, LoadedCertificate) else TrustStore.kind


def signatures(configuration: Sections) -> dict[str, Signature]:
    """The signatures of the files that sections name, as they are now, by the header of the section."""
    return {header: _signature(section) for header, section in _sections(configuration)}


def files(configuration: Sections) -> Iterator[pathlib.Path]:
    """The files that sections name."""
    return (path for _, section in _sections(configuration) for path in _files(section))


def refresh(
    configuration: Sections, running: Credentials, headers: Collection[str] | None, now: datetime.datetime
) -> tuple[Credentials, list[Problem]]:
    """Read the files of some sections anew. What is broken, or does not go with the rest, stays as it was.

    :param running: what is in use.
    :param headers: of the sections; ``None`` for all of them.
    :param now: the time to judge validity by, UTC.
    :returns: what can be used, and every problem, warnings too.
    """
    read, problems = _read(configuration, running, headers, now)
    for key, in_use in ("chain", running.certificates), ("authorities", running.trust_stores):
        for name, each in in_use.items():
            header = f"{_kind(each)} {name}"
            loaded = read[header][1] if header in read else None
            if isinstance(loaded, type(each)) and each.is_valid(now) and not loaded.is_valid(now):
                problems.append(Problem(header, key, "its dates are wrong, and those of what is in use are right"))
                del read[header]
    credentials = running
    while read:
        credentials = running.renewed(read)
        unfit = _checked(configuration, credentials)
        problems += unfit
        blamed = {header for problem in unfit if not problem.warning for header in _blamed(configuration, problem)}
        if not blamed:
            break
        # Each round takes out one at least, or all, so that this ends, at the latest with what is running.
        read = {header: each for header, each in read.items() if header not in blamed} if blamed & set(read) else {}
        credentials = running
    return credentials, list(dict.fromkeys(problems))


def _sections(configuration: Sections) -> Iterator[tuple[str, Filed]]:
    if configuration.geo:
        yield configuration.geo.kind, configuration.geo
    if configuration.challenge.keys:
        yield configuration.challenge.kind, configuration.challenge
    if configuration.masking.key is not None:
        yield configuration.masking.kind, configuration.masking
    for name, certificate in configuration.certificates.items():
        yield f"{certificate.kind} {name}", certificate
    for name, trust_store in configuration.trust_stores.items():
        yield f"{trust_store.kind} {name}", trust_store
    for name, rules in configuration.response_rules.items():
        yield f"{rules.kind} {name}", rules
    for name, filter in configuration.content_filters.items():
        if filter.active:
            yield f"{filter.kind} {name}", filter


def _read(
    configuration: Sections, running: Credentials, headers: Collection[str] | None, now: datetime.datetime
) -> tuple[dict[str, tuple[Signature, Loaded]], list[Problem]]:
    """Read the files of sections, of all of them for ``None``: what could be read, by header, and every problem."""
    read: dict[str, tuple[Signature, Loaded]] = {}
    problems: list[Problem] = []
    for header, section in _sections(configuration):
        if headers is None or header in headers:
            signature = _signature(section)  # before they are read: what is written meanwhile shows at the next look
            loaded, found = _loaded(header.partition(" ")[2], section, now, running)
            problems += found
            if loaded is not None:
                read[header] = signature, loaded
    return read, problems


def _loaded(
    name: str, section: Filed, now: datetime.datetime, running: Credentials
) -> tuple[Loaded | None, tuple[Problem, ...]]:
    """The files of a section, read, and tried in OpenSSL's hands: what it would not take later it does not take now."""
    problems = Problems(f"{section.kind} {name}".rstrip())
    loaded: Loaded | None = None
    found: tuple[Problem, ...] = ()
    with problems.reading(""):
        if isinstance(section, Geo):
            return geo.load(section)
        if isinstance(section, ChallengeSection):
            return challenge_keys.load(section)
        if isinstance(section, Masking):
            return mask_keys.load(section)
        if isinstance(section, ResponseRules):
            return error_pages.load(name, section)
        if isinstance(section, ContentFilter):
            return content_rules.load(name, section, running.content_rules.get(name))
        if isinstance(section, Certificate):
            loaded, found = certificates.load(name, section, now)
            with problems.reading("chain", section.chain):
                if loaded is not None:
                    client_context(certificate=loaded, verify=False)
        else:
            loaded, found = truststores.load(name, section, now)
            with problems.reading("authorities", ", ".join(map(str, section.authorities))):
                if loaded is not None:
                    fill_store(crypto.X509Store(), (loaded,))
    return (None if problems.fatal else loaded), found + problems.found


def _signature(section: Filed) -> Signature:
    return tuple(map(file_state, _files(section)))


def _files(section: Filed) -> Iterator[pathlib.Path]:
    if isinstance(section, ResponseRules):
        return (page.file for page in section.error_page if page.file is not None)
    if isinstance(section, ContentFilter):
        return content_rules.files(section)
    values = (getattr(section, attribute.name) for attribute in attrs.fields(type(section)))
    paths = (path for value in values for path in (value if isinstance(value, tuple) else (value,)))
    return (path for path in paths if isinstance(path, pathlib.Path))


def _checked(configuration: Sections, credentials: Credentials) -> list[Problem]:
    found = list[Problem]()
    for kind, sections, check in (
        ("origin", configuration.origins, _origin),
        ("server-group", configuration.server_groups, _server_group),
        ("server-group", configuration.server_groups, _host_names),
    ):
        for name in sections:
            found += _attempted(f"{kind} {name}", partial(check, configuration, credentials, name))
    state = configuration.state_settings
    return found + _attempted(state.kind, partial(_client, configuration, credentials, state.kind, state))


def _attempted(header: str, check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """The problems that a check finds: what it stumbles over is one more of the section, and the end of no other."""
    problems, found = Problems(header), list[Problem]()
    with problems.reading(""):
        found += check()
    return [*found, *problems.found]


def _blamed(configuration: Sections, problem: Problem) -> Iterator[str]:
    """The sections with files that a problem between sections may come from: by its key, if that names them."""
    yield problem.section
    section = dict(configuration.written()).get(problem.section)
    settings = {} if section is None else schema.settings(type(section))
    naming = {key: each for key, each in settings.items() if each.notation.refers_to in ("certificate", "trust-store")}
    for setting in [naming[problem.key]] if problem.key in naming else naming.values():
        names = getattr(section, setting.attribute) or ()
        for name in names if isinstance(names, tuple) else (names,):
            yield f"{setting.notation.refers_to} {name}"


def _origin(configuration: Sections, credentials: Credentials, name: str) -> Iterator[Problem]:
    return _client(configuration, credentials, f"origin {name}", configuration.origins[name])


def _client(
    configuration: Sections, credentials: Credentials, header: str, section: Origin | StateSection
) -> Iterator[Problem]:
    """What is wrong with the node as a client of the servers of a section."""
    store = configuration.trust_stores.get(section.trust_store or "")
    if store is not None and store.verification == "strict":
        sentence = f'"{section.trust_store}" says verification = strict, which is asked of clients and not of servers'
        yield Problem(header, "trust-store", sentence)
    if section.certificate is not None and section.certificate in credentials.certificates:
        yield from certificates.check_for_origin(credentials.certificates[section.certificate])
    trusted = credentials.trust_stores.get(section.trust_store or "")
    if trusted is not None:
        yield from path_warnings([trusted], servers=True)


def _server_group(configuration: Sections, credentials: Credentials, name: str) -> Iterator[Problem]:
    group = configuration.server_groups[name]
    own = [credentials.certificates[each] for each in group.certificate if each in credentials.certificates]
    stores = [credentials.trust_stores[each] for each in group.trust_store if each in credentials.trust_stores]
    read = {"certificate": len(own) == len(group.certificate), "trust-store": len(stores) == len(group.trust_store)}
    yield from (problem for problem in check_group(name, group, own, stores) if read.get(problem.key, True))
    if read["trust-store"] and group.mtls != "off":
        yield from path_warnings(stores, group.verify_depth)


def _host_names(configuration: Sections, credentials: Credentials, name: str) -> Iterator[Problem]:
    group = configuration.server_groups[name]
    for certificate in group.certificate:
        if certificate not in credentials.certificates:
            continue
        named = _names(credentials.certificates[certificate].leaf)
        for host in group.hosts:
            if host not in named and f"*.{host.partition('.')[2]}" not in named:
                sentence = f'the certificate "{certificate}" does not name the host {host}; clients will refuse it'
                yield Problem(f"server-group {name}", "certificate", sentence, warning=True)


def _names(leaf: x509.Certificate) -> frozenset[str]:
    """The hosts that a certificate is for, as ``hosts`` writes them: RFC 6125, subject alternative names only."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # there is none, or none that can be read
        return frozenset()
    addresses = names.get_values_for_type(x509.IPAddress)
    written = (f"[{address}]" if address.version == 6 else str(address) for address in addresses)
    return frozenset([*(name.lower() for name in names.get_values_for_type(x509.DNSName)), *written])
