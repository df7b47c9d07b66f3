"""The watch: what changes in the files of certificates and trust stores is taken over, if all goes together."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Collection, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from edgenode.config import credentials
from edgenode.config.credentials import Credentials
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.net.deadlines import SWEEP
from edgenode.node import watch
from tests.support.certificates import DAY, SERVER, Issued, make_authority, now, write_pem
from tests.support.node import GROUPS, PKI, Answer, Changes, Client, Node, Origin, get, in_thread, ini, started, until
from tests.support.threads import AtOnce

WATCHED: Changes = {"edge": {"watch-interval": "20ms"}}
LOOKS = 8 * 0.02
"""Seconds for some looks."""

SANS = [f"DNS:{name}.test" for name in GROUPS]


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """Certificates of each test's own: it changes them."""
    return PKI.make(tmp_path)


@implementer(ILogObserver)
class Said(list[str]):
    """What has been logged, a sentence each."""

    def __call__(self, event: LogEvent) -> None:
        """Log it."""
        self.append(formatEvent(event))


@pytest.fixture
def said() -> Iterator[Said]:
    """What is logged during a test."""
    said = Said()
    globalLogPublisher.addObserver(said)
    yield said
    globalLogPublisher.removeObserver(said)


async def shown(node: Node) -> x509.Certificate:
    """The certificate that a new client is shown."""

    def look() -> x509.Certificate:
        with node.client() as client:
            certificate = client.tls.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate

    found: x509.Certificate = await in_thread(look)
    return found


async def ask(client: Client, host: str = "open.test") -> Answer:
    """Send a request on a kept connection."""
    answer: Answer = await in_thread(client.ask, get(host=host))
    return answer


async def looks() -> None:
    """Let the watch look a few times."""
    from twisted.internet import reactor

    await deferLater(reactor, LOOKS)


def renewed(pki: PKI, **options: Any) -> Issued:
    """A new certificate of the edge, its files not written yet."""
    return pki.servers.issue("renewed", eku=[SERVER], sans=SANS, **options)


# -- good files ------------------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_is_used(pki: PKI, origin: Origin, said: Said) -> None:
    """For new handshakes; open connections go on, to the origin too."""
    new = renewed(pki)
    async with started(pki, origin, WATCHED) as node:
        with await in_thread(node.client) as client:
            assert (await ask(client)).status == 200
            configuration = node.service.configuration
            new.write(pki.folder, "edge")
            await until(lambda: node.service.configuration is not configuration)
            assert await shown(node) == new.certificate
            assert (await ask(client)).status == 200
            assert "read anew: [certificate edge]" in said
    assert len(origin.connections) == 1


async def test_files_are_found_behind_symbolic_links(pki: PKI, origin: Origin) -> None:
    """As Kubernetes mounts them: a folder behind a link is swapped for another, and the files' own links stay."""
    new = renewed(pki)
    for stem, issued in (("first", pki.servers.issue("first", eku=[SERVER], sans=SANS)), ("second", new)):
        (pki.folder / stem).mkdir()
        issued.write(pki.folder / stem, "edge")
    data = pki.folder / "..data"
    data.symlink_to("first")
    for name in ("edge.pem", "edge.key"):
        (pki.folder / name).unlink()
        (pki.folder / name).symlink_to(f"..data/{name}")
    async with started(pki, origin, WATCHED) as node:
        assert await shown(node) != new.certificate
        configuration = node.service.configuration
        (pki.folder / "..next").symlink_to("second")
        (pki.folder / "..next").rename(data)
        await until(lambda: node.service.configuration is not configuration)
        assert await shown(node) == new.certificate


async def test_a_revocation_list_that_arrives_counts_at_once(pki: PKI, origin: Origin) -> None:
    """On an open connection too: the next request is refused, and the connection ends."""
    write_pem(pki.folder / "clients.crl", [pki.clients.crl()])
    changes: Changes = {**WATCHED, "trust-store clients": {"crl": "clients.crl"}}
    async with started(pki, origin, changes) as node:
        with await in_thread(node.client, "strict.test", chain=[pki.client]) as client:
            assert (await ask(client, "strict.test")).status == 200
            configuration = node.service.configuration
            write_pem(pki.folder / "clients.crl", [pki.clients.crl([pki.client])])
            await until(lambda: node.service.configuration is not configuration)
            assert (await ask(client, "strict.test")).status == 400
            assert client.rest() == b""
        assert await in_thread(_served, node, pki) == 400


def _served(node: Node, pki: PKI) -> int:
    with node.client("strict.test", chain=[pki.client]) as client:
        return client.ask(get(host="strict.test")).status


async def test_a_touched_file_changes_nothing_but_its_signature(pki: PKI, origin: Origin) -> None:
    """Contexts, trust and connections to the origin are the same objects as before."""
    async with started(pki, origin, WATCHED) as node:
        with await in_thread(node.client, "strict.test", chain=[pki.client]) as client:
            assert (await ask(client, "strict.test")).status == 200
            before, pools = _group(node), node.service.pools
            configuration = node.service.configuration
            for file in pki.folder.iterdir():
                file.touch()
            await until(lambda: node.service.configuration is not configuration)
            after = _group(node)
            assert (after.context, after.trust) == (before.context, before.trust)
            assert node.service.pools == pools
            assert (await ask(client, "strict.test")).status == 200
    assert len(origin.connections) == 1


def _group(node: Node) -> Any:
    return node.service.ports["public"].context.router.named("strict.test")


# -- broken files ----------------------------------------------------------------------------------------------------


async def test_a_half_written_certificate_leaves_the_old_one_in_use(pki: PKI, origin: Origin, said: Said) -> None:
    """And is said so once, however often it is looked at; the whole of it is then taken."""
    new = renewed(pki)
    async with started(pki, origin, WATCHED) as node:
        old = await shown(node)
        chain = pki.folder / "edge.pem"
        chain.write_bytes(new.pem[:400])
        await until(lambda: any("the old files stay in use" in line for line in said))
        assert await shown(node) == old
        await looks()
        (problem,) = (line for line in said if "changed files" in line)
        assert problem.startswith("changed files: [certificate edge] chain: ")
        assert str(chain) in problem
        said.clear()
        chain.write_bytes(new.pem)
        await until(lambda: said)
        assert await shown(node) == old
        assert any("is not the key of the first certificate" in line for line in said)
        (pki.folder / "edge.key").write_bytes(new.key_pem())
        await until(lambda: "read anew: [certificate edge]" in said)
        assert await shown(node) == new.certificate


async def test_a_file_that_vanishes_is_no_change(pki: PKI, origin: Origin, said: Said) -> None:
    """Writers that delete and create, however slowly, leave no gap."""
    new = renewed(pki)
    async with started(pki, origin, WATCHED) as node:
        old = await shown(node)
        (pki.folder / "edge.pem").unlink()
        await until(lambda: any("No such file or directory" in line for line in said))
        assert await shown(node) == old
        new.write(pki.folder, "edge")
        await until(lambda: "read anew: [certificate edge]" in said)
        assert await shown(node) == new.certificate


async def test_a_file_that_is_being_written_is_not_read(pki: PKI, origin: Origin, said: Said) -> None:
    """As long as it changes from one look to the next, nothing is said of it either."""
    from twisted.internet import reactor

    new = renewed(pki)
    async with started(pki, origin, {"edge": {"watch-interval": "100ms"}}) as node:
        with (pki.folder / "edge.pem").open("wb") as chain:
            for start in range(0, len(new.pem), 25):
                chain.write(new.pem[start : start + 25])
                chain.flush()
                await deferLater(reactor, 0.02)
        assert not [line for line in said if "files" in line]
        (pki.folder / "edge.key").write_bytes(new.key_pem())
        await until(lambda: "read anew: [certificate edge]" in said)
        assert await shown(node) == new.certificate


async def test_one_broken_section_holds_back_no_other(pki: PKI, origin: Origin, said: Said) -> None:
    """A revocation that arrives beside a broken certificate counts."""
    write_pem(pki.folder / "clients.crl", [pki.clients.crl()])
    changes: Changes = {**WATCHED, "trust-store clients": {"crl": "clients.crl"}}
    async with started(pki, origin, changes) as node:
        old = await shown(node)
        (pki.folder / "edge.pem").write_bytes(b"nothing")
        write_pem(pki.folder / "clients.crl", [pki.clients.crl([pki.client])])
        await until(lambda: "read anew: [trust-store clients]" in said)
        assert await in_thread(_served, node, pki) == 400
        assert await shown(node) == old


async def test_changed_rules_of_a_content_filter_judge_the_next_request(pki: PKI, origin: Origin, said: Said) -> None:
    """On an open connection too; broken ones leave the old in use, and say where they are wrong."""
    rules = pki.folder / "own.conf"
    rules.write_text('SecRule REQUEST_URI "@contains first" "id:1,phase:1,deny"\n')
    named: Changes = {"content-filter own": {"rules": "own.conf"}, "path-map all": {"content-filter": "own"}}
    async with started(pki, origin, {**WATCHED, **named}) as node:
        with await in_thread(node.client) as client:
            for word, status in (("first", 403), ("second", 200)):
                assert (await in_thread(client.ask, get(f"/{word}", host="open.test"))).status == status
            rules.write_text('SecRule REQUEST_URI "@contains second" "id:1,phase:1,deny"\n')
            await until(lambda: "read anew: [content-filter own]" in said)
            for word, status in (("first", 200), ("second", 403)):
                assert (await in_thread(client.ask, get(f"/{word}", host="open.test"))).status == status
            rules.write_text('SecRule REQUEST_URI "@contains third" "id:1,phase:1,den"\n')
            await until(lambda: "the old files stay in use: [content-filter own]" in said)
            assert any("own.conf:1: [content-filter own] rules: there is no action den" in each for each in said)
            assert (await in_thread(client.ask, get("/second", host="open.test"))).status == 403


async def test_what_does_not_go_together_stays_as_it_was(pki: PKI, origin: Origin, said: Said) -> None:
    """A certificate for an origin without the EKU clientAuth is good in itself, and not taken."""
    async with started(pki, origin, WATCHED) as node:
        pools = node.service.pools
        pki.servers.issue("edge as a client", eku=[SERVER]).write(pki.folder, "edge-client")
        await until(lambda: any("the old files stay in use: [certificate edge-client]" in line for line in said))
        assert any("lacks the extended key usage clientAuth" in line for line in said)
        assert node.service.pools == pools
        pki.servers.issue("edge, again").write(pki.folder, "edge-client")
        await until(lambda: any("is accepted, and in use" in line for line in said))
        with await in_thread(node.client) as client:
            assert (await ask(client)).status == 200
    assert origin.peers == ["edge, again"] * 3


async def test_an_expired_certificate_replaces_none_that_is_valid(pki: PKI, origin: Origin, said: Said) -> None:
    """A node starts with an expired one rather than not at all; but while it runs it has something better."""
    expired = renewed(pki, not_before=now() - 9 * DAY, not_after=now() - DAY)
    new, newer = renewed(pki), renewed(pki)
    expired.write(pki.folder, "edge")
    async with started(pki, origin, WATCHED) as node:
        assert await shown(node) == expired.certificate
        new.write(pki.folder, "edge")
        await until(lambda: "read anew: [certificate edge]" in said)
        assert await shown(node) == new.certificate
        said.clear()
        expired.write(pki.folder, "edge")
        await until(lambda: "the old files stay in use: [certificate edge]" in said)
        assert any("its dates are wrong, and those of what is in use are right" in line for line in said)
        assert await shown(node) == new.certificate
        newer.write(pki.folder, "edge")
        await until(lambda: "read anew: [certificate edge]" in said)
        assert await shown(node) == newer.certificate


def test_expired_authorities_replace_none_that_are_valid(pki: PKI) -> None:
    """At a start they are taken, and refuse their clients."""
    old = make_authority("Clients", not_before=now() - 9 * DAY, not_after=now() - DAY)
    configuration = Configuration.from_text(ini(1), pki.folder, {})
    write_pem(pki.folder / "clients.pem", [old])
    following, problems = configuration.refreshed(configuration.changed())
    assert following.credentials is configuration.credentials
    assert [(each.section, each.key) for each in problems if not each.warning] == [
        ("trust-store clients", "authorities")
    ]
    started = Configuration.from_text(ini(1), pki.folder, {})
    assert started.credentials.trust_stores["clients"].authorities == (old.certificate,)


async def test_only_credentials_are_read_and_only_if_wanted(pki: PKI, origin: Origin, said: Said) -> None:
    """Without an interval nothing is looked at; a reload that gives one looks at once at all that changed before."""
    new = renewed(pki)
    async with started(pki, origin, {"edge": {"watch-interval": "0"}}) as node:
        old = await shown(node)
        text = ini(origin.port, WATCHED)
        configuration = Configuration.from_text(text, pki.folder, {})
        new.write(pki.folder, "edge")
        await looks()
        assert await shown(node) == old
        await node.service.reload(configuration)
        assert await shown(node) == old
        await until(lambda: "read anew: [certificate edge]" in said)
        assert await shown(node) == new.certificate
        assert node.service.configuration.edge is configuration.edge


# -- who is to blame -------------------------------------------------------------------------------------------------


def test_of_files_that_do_not_go_together_only_those_are_left_out(pki: PKI) -> None:
    """Two keys of one kind in a group: both certificates stay, the trust store beside them and all others are taken."""
    pki.servers.issue("rsa", eku=[SERVER], sans=SANS, key=_rsa()).write(pki.folder, "rsa")
    changes: Changes = {
        "certificate rsa": {"chain": "rsa.pem", "key": "rsa.key"},
        "server-group strict": {"certificate": "edge rsa"},
    }
    configuration = Configuration.from_text(ini(1, changes), pki.folder, {})
    assert configuration.changed() == {}
    renewed(pki).write(pki.folder, "rsa")
    write_pem(pki.folder / "clients.pem", [pki.clients, pki.servers])
    pki.servers.issue("edge, again").write(pki.folder, "edge-client")
    changed = configuration.changed()
    assert set(changed) == {"certificate rsa", "trust-store clients", "certificate edge-client"}
    following, problems = configuration.refreshed(changed)
    assert set(following.changed()) == {"certificate rsa"}
    assert len(following.credentials.trust_stores["clients"].authorities) == 2
    assert [(each.section, each.key) for each in problems if not each.warning] == [
        ("server-group strict", "certificate")
    ]
    renewed(pki, key=_rsa()).write(pki.folder, "edge")
    last, problems = following.refreshed(following.changed())
    assert last.changed() == {}
    assert not [each for each in problems if not each.warning]


def _rsa() -> Any:
    from tests.support.certificates import new_key

    return new_key("rsa")


def test_a_refresh_compiles_nothing_anew(pki: PKI) -> None:
    """What only depends on the text of the configuration is the same in both."""
    text = ini(1, {"global-filter all": {"action": "block", "path": "^/"}})
    configuration = Configuration.from_text(text, pki.folder, {})
    pipeline = configuration.pipeline("all")
    renewed(pki).write(pki.folder, "edge")
    following, _ = configuration.refreshed(configuration.changed())
    assert following is not configuration
    assert following.credentials != configuration.credentials
    assert evolve(following, credentials=configuration.credentials) == configuration
    assert following.pipeline("all").stages == pipeline.stages


async def test_a_list_that_runs_out_is_spoken_of_once(
    pki: PKI, origin: Origin, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody changes a file when a revocation list passes its date and every client is refused; the log says why."""
    ahead = [0 * DAY]
    clock = SimpleNamespace(now=lambda zone: datetime.datetime.now(zone) + ahead[0])
    monkeypatch.setattr(watch, "datetime", SimpleNamespace(datetime=clock, UTC=datetime.UTC))
    list_ = pki.clients.crl(next_update=now() + DAY / 24)
    (pki.folder / "clients.crl").write_bytes(list_.public_bytes(Encoding.PEM))
    changes: Changes = {**WATCHED, "trust-store clients": {"crl": "clients.crl"}}
    async with started(pki, origin, changes):
        await until(lambda: any("is out of date from" in sentence for sentence in said))
        ahead[0] = DAY / 12
        await until(lambda: any("is out of date since" in sentence for sentence in said))
        await looks()
        told = [sentence for sentence in said if "revocation list of CN=Clients" in sentence]
    assert [sentence.partition("CN=Clients ")[2][:16] for sentence in told] == ["is out of date f", "is out of date s"]


def test_what_runs_out_soon_is_a_warning_of_the_check(pki: PKI) -> None:
    """The node's own certificate with a day left, after a life of a year, is worth a word; a fresh short one is not."""
    write_pem(pki.folder / "clients.pem", [pki.clients])
    for options, warned in ({"not_before": now() - 300 * DAY}, True), ({"not_before": now() - DAY / 10}, False):
        pki.servers.issue("edge", eku=[SERVER], sans=SANS, not_after=now() + DAY, **options).write(pki.folder, "edge")
        warnings = Configuration.from_text(ini(1), pki.folder, {}).warnings
        assert any("CN=edge expires on" in str(warning) for warning in warnings) is warned


def test_what_was_wrong_before_is_not_blamed_on_what_is_read(pki: PKI) -> None:
    """If what runs does not go together already, for another section's sake, it stays as it is; and that is found."""
    pki.servers.issue("no client", eku=[SERVER]).write(pki.folder, "edge-client")
    good = Configuration.from_text(ini(1, {"origin origin": {"certificate": None}}), pki.folder, {})
    text = ini(1)
    with pytest.raises(ConfigurationError):
        Configuration.from_text(text, pki.folder, {})
    wrong = evolve(good, origins={"origin": evolve(good.origins["origin"], certificate="edge-client")})
    renewed(pki).write(pki.folder, "edge")
    found, problems = credentials.refresh(wrong, good.credentials, ["certificate edge"], now())
    assert found is good.credentials
    assert ["lacks the extended key usage" in str(problem) for problem in problems] == [True]


# -- when it looks -----------------------------------------------------------------------------------------------------


@define(eq=False)
class Watched:
    """What a watch sees of a configuration: one file, which cannot be used unless ``usable``.

    :ivar looked: how often the files were looked at.
    :ivar read: how often they were read.
    """

    interval: float = 1.0
    signature: tuple[object, ...] = ("old",)
    usable: bool = False
    looked: int = 0
    read: int = 0
    signatures: dict[str, tuple[object, ...]] = Factory(lambda: {"certificate edge": ("old",)})
    credentials: Credentials = Factory(Credentials)

    @property
    def edge(self) -> SimpleNamespace:
        """``[edge]``."""
        return SimpleNamespace(watch_interval=self.interval)

    def changed(self) -> dict[str, tuple[object, ...]]:
        """The file, if it is another."""
        self.looked += 1
        header = "certificate edge"
        return {} if self.signatures[header] == self.signature else {header: self.signature}

    def refreshed(self, headers: Collection[str]) -> tuple[Watched, list[Problem]]:
        """The file read anew."""
        assert list(headers) == ["certificate edge"]
        self.read += 1
        if not self.usable:
            return self, [Problem("certificate edge", "chain", "not yet valid")]
        return evolve(self, signatures={"certificate edge": self.signature}), []


def watching(watched: Watched) -> tuple[AtOnce, Callable[[], Watched]]:
    """A watch that has started: its clock, and what is running."""
    reactor, running = AtOnce(), [watched]

    def change(function: Callable[[Any], Any]) -> Deferred[Any]:
        running.append(function(running[-1]))
        return succeed(running[-1])

    watch.Watch(reactor, lambda: cast(Any, running[-1]), change).start()
    return reactor, lambda: running[-1]


def test_what_could_not_be_used_is_tried_again_after_a_minute(said: Said) -> None:
    """Not at every look, and without saying the same again; a certificate may have become valid meanwhile."""
    watched = Watched(signature=("new",))
    reactor, running = watching(watched)
    reactor.pump([1.0] * 61)
    assert (watched.looked, watched.read) == (61, 1)
    assert said == [
        "changed files: [certificate edge] chain: not yet valid",
        "the old files stay in use: [certificate edge]",
    ]
    reactor.pump([1.0] * 2)
    assert watched.read == 2
    assert len(said) == 2
    watched.usable = True
    reactor.pump([1.0] * 60)
    assert watched.read == 3
    assert said[2:] == ["read anew: [certificate edge]"]
    assert running().signatures == {"certificate edge": ("new",)}


def test_a_file_that_has_changed_again_is_tried_at_once() -> None:
    """As soon as it has been the same twice."""
    watched = Watched(signature=("new",))
    reactor, _ = watching(watched)
    reactor.pump([1.0] * 3)
    assert watched.read == 1
    watched.signature = ("newer",)
    reactor.pump([1.0] * 2)
    assert watched.read == 2


def test_a_new_list_ends_what_is_open_within_a_second(pki: PKI) -> None:
    """Unless ``watch-interval`` says otherwise: two looks, and then the deadlines' sweeps."""
    interval = Configuration.from_text(ini(1), pki.folder, {}).edge.watch_interval
    assert 2 * interval + 2 * SWEEP <= 0.9
    watched = Watched(interval=interval, usable=True)
    reactor, running = watching(watched)
    reactor.pump([interval] * 3)
    watched.signature = ("new",)  # a moment after a look
    reactor.pump([interval])
    assert running().signatures == {"certificate edge": ("old",)}, "it may be being written"
    reactor.pump([interval])
    assert running().signatures == {"certificate edge": ("new",)}


def test_dates_are_looked_at_once_a_second_and_where_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as to look at the files, and what is getting old has days."""
    looked: list[Credentials] = []

    def getting_old(found: Credentials, now: datetime.datetime) -> list[Problem]:
        looked.append(found)
        return []

    monkeypatch.setattr(credentials, "getting_old", getting_old)
    watched = Watched(interval=0.125, usable=True)
    reactor, _ = watching(watched)
    reactor.pump([0.125] * 8)
    assert (watched.looked, len(looked)) == (8, 1)
    reactor.pump([0.125] * 2)
    assert len(looked) == 2
    watched.credentials = Credentials()
    reactor.pump([0.125])
    assert len(looked) == 3
    assert looked[2] is watched.credentials


def test_without_an_interval_no_file_is_looked_at() -> None:
    """Until a reload gives one: that is noticed within five seconds."""
    watched = Watched(interval=0.0, signature=("new",), usable=True)
    reactor, running = watching(watched)
    reactor.pump([1.0] * 60)
    assert watched.looked == 0
    watched.interval = 1.0
    reactor.pump([1.0] * 7)
    assert watched.looked == 2
    assert running().signatures == {"certificate edge": ("new",)}


# -- what nobody has foreseen ------------------------------------------------------------------------------------------


@define(eq=False)
class Two:
    """What a watch sees of a configuration of two files, one of which makes something raise, nobody knows why.

    :ivar error: what is raised.
    """

    error: BaseException
    signatures: dict[str, tuple[object, ...]] = Factory(lambda: {"certificate a": ("old",), "certificate b": ("old",)})
    credentials: Credentials = Factory(Credentials)
    edge: SimpleNamespace = Factory(lambda: SimpleNamespace(watch_interval=1.0))

    def changed(self) -> dict[str, tuple[object, ...]]:
        """Whatever has not been read."""
        return {header: ("new",) for header, signature in self.signatures.items() if signature != ("new",)}

    def refreshed(self, headers: Collection[str]) -> tuple[Two, list[Problem]]:
        """Raise, if the one file is among them."""
        if "certificate b" in headers:
            raise self.error
        return evolve(self, signatures={**self.signatures, **dict.fromkeys(headers, ("new",))}), []


@pytest.mark.parametrize(
    "error", [ConfigurationError([Problem("certificate b", "", "it is odd")]), ZeroDivisionError()]
)
def test_what_raises_for_one_file_s_sake_holds_back_no_other(
    said: Said, flush_logged_errors: Callable[..., list[Any]], error: BaseException
) -> None:
    """What cannot be taken over together is taken over one by one; what fails then is named once, and left."""
    reactor, running = AtOnce(), [Two(error)]

    def change(function: Callable[[Any], Any]) -> Deferred[Any]:
        def changed(_: object) -> Any:
            running.append(function(running[-1]))
            return running[-1]

        return succeed(None).addCallback(changed)

    watch.Watch(reactor, lambda: cast(Any, running[-1]), change).start()
    reactor.pump([1.0] * 200)
    assert running[-1].signatures == {"certificate a": ("new",), "certificate b": ("old",)}
    assert "read anew: [certificate a]" in said
    assert said.count("the old files stay in use: [certificate b]") == 1
    assert len(flush_logged_errors(ZeroDivisionError)) == isinstance(error, ZeroDivisionError)
    assert ("changed files: [certificate b]: it is odd" in said) == isinstance(error, ConfigurationError)
