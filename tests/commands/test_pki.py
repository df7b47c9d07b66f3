"""``edgenode pki`` makes certificates that our own listeners and origins accept."""

from __future__ import annotations

import pathlib
import stat
from collections.abc import Sequence

import pytest
from attrs import evolve
from cryptography import x509
from hypothesis import given, strategies

from edgenode import __main__ as edgenode
from edgenode.model.settings import File
from edgenode.tls import certificates, truststores
from edgenode.tls.authority import Authority, PkiError
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import client_context, server_context
from edgenode.tls.servergroups import ServerGroup
from tests.support.handshakes import Pair


def main(arguments: Sequence[str]) -> int:
    """Run ``edgenode pki`` with these arguments."""
    return edgenode.main(["pki", *arguments])


GROUP = ServerGroup(
    certificate=("server",), mtls="on", mtls_refusal="handshake", trust_store=("ca",), security_policy="all",
    required_eku=("clientAuth",),
)  # fmt: skip


def certificate(folder: pathlib.Path, name: str) -> certificates.LoadedCertificate:
    """A certificate of a folder, loaded without a problem."""
    section = certificates.Certificate(chain=File(folder / f"{name}.pem"), key=File(folder / f"{name}.key"))
    loaded, problems = certificates.load(name, section)
    assert problems == ()
    assert loaded is not None
    return loaded


def store(*folders: pathlib.Path) -> truststores.LoadedTrustStore:
    """A trust store of the authorities in folders, with their revocation lists, loaded without a problem."""
    section = truststores.TrustStore(
        authorities=tuple(File(folder / "ca.pem") for folder in folders),
        crl=tuple(File(folder / "ca.crl.pem") for folder in folders),
    )
    loaded, problems = truststores.load("ca", section)
    assert problems == ()
    assert loaded is not None
    return loaded


def handshake(server: pathlib.Path, client: pathlib.Path, *stores: pathlib.Path) -> Pair:
    """A mutual handshake of the certificates ``server`` and ``client`` in two folders."""
    trust = store(*stores)
    context = server_context(GROUP, [certificate(server, "server")], [trust])
    return Pair.of(context, client_context(certificate=certificate(client, "client"), trust_store=trust))


@pytest.fixture
def ca(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of an authority with a server and a client certificate."""
    folder = tmp_path / "ca"
    for command in (["ca"], ["server", "--san", "DNS:localhost,IP:127.0.0.1"], ["client"]):
        name = [command[0]] if command[0] != "ca" else []
        assert main([command[0], str(folder), *name, *command[1:]]) == 0
    return folder


def test_a_mutual_handshake(ca: pathlib.Path) -> None:
    """What it issues is accepted by both sides, and the server's name is in its certificate."""
    pair = handshake(ca, ca, ca)
    assert pair.verification.verified
    verify_origin(pair.client, "localhost")
    verify_origin(pair.client, "127.0.0.1")


def test_a_client_certificate_is_no_server_s_and_the_other_way_round(ca: pathlib.Path) -> None:
    """The extended key usage is the one asked for and no other."""
    for name in ("server", "client"):
        loaded = certificate(ca, name)
        usages = loaded.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [usage._name for usage in usages] == [f"{name}Auth"]
        fit = certificates.check_for_origin(loaded)
        assert any(not problem.warning for problem in fit) is (name == "server")


def test_revocation(ca: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A revoked client is refused in the handshake with the right alert; revoking again is an error."""
    assert main(["revoke", str(ca), "client"]) == 0
    pair = handshake(ca, ca, ca)
    assert pair.alerts == ["certificate_revoked"]
    assert main(["revoke", str(ca), "client"]) == 1
    assert capsys.readouterr().err == "edgenode pki: client is revoked already\n"


def test_a_name_is_free_again_once_revoked(ca: pathlib.Path) -> None:
    """After a revocation the name can be issued anew: the new certificate is good, the old one stays revoked."""
    main(["revoke", str(ca), "client"])
    assert main(["client", str(ca), "client"]) == 0
    assert handshake(ca, ca, ca).verification.verified
    assert [bool(entry.revoked) for entry in Authority.open(ca).issued()] == [False, True, False]
    assert [len(crl.revoked) for crl in store(ca).crls] == [1]


def test_what_it_issues_keeps_to_rfc_5280(ca: pathlib.Path) -> None:
    """A strict trust store accepts its clients, those of an intermediate too."""
    inner = ca / "inner"
    assert main(["ca", str(inner), "--issuer", str(ca), "--name", "inner"]) == 0
    assert main(["client", str(inner), "client", "--san", "DNS:client.test"]) == 0
    for folder, folders in ((ca, (ca,)), (inner, (ca, inner))):
        trust = store(*folders)
        trust = evolve(trust, section=evolve(trust.section, verification="strict"))
        context = server_context(GROUP, [certificate(ca, "server")], [trust])
        own = client_context(certificate=certificate(folder, "client"), trust_store=trust)
        pair = Pair.of(context, own)
        assert pair.verification.verified, pair.record.reason


def test_an_intermediate(ca: pathlib.Path) -> None:
    """An intermediate's leaves bring it along, and are accepted by who trusts the root."""
    inner = ca / "inner"
    assert main(["ca", str(inner), "--issuer", str(ca), "--name", "inner"]) == 0
    assert main(["client", str(inner), "client"]) == 0
    assert handshake(ca, inner, ca, inner).verification.verified
    assert len(certificate(inner, "client").chain) == 1


def test_a_server_without_names_gets_its_own(ca: pathlib.Path) -> None:
    """The name of a server is its SAN if none is given, as an address if it is one."""
    for name, expected in (("shop.test", x509.DNSName("shop.test")), ("127.0.0.2", None)):
        assert main(["server", str(ca), name]) == 0
        leaf = certificate(ca, name).leaf
        (found,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found == expected if expected else isinstance(found, x509.IPAddress)


def test_private_keys_are_the_owner_s_alone(ca: pathlib.Path) -> None:
    """Every key has the mode 0600, whatever the umask."""
    keys = list(ca.glob("*.key"))
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


@pytest.mark.parametrize(("arguments", "words"), [
    (["client", "{empty}", "bob"], "holds no authority; make one with: pki ca"),
    (["ca", "{ca}"], "already holds an authority"),
    (["client", "{ca}", "client"], "has issued client already; revoke it first, or choose another name"),
    (["client", "{ca}", "../bob"], "cannot name a certificate"),
    (["client", "{ca}", "ca"], "cannot name a certificate"),
    (["client", "{ca}", "bob", "--days", "0"], "a validity has 1 to 36500 days, not 0"),
    (["client", "{ca}", "b" * 65], "a name has 1 to 64 characters, not 65"),
    (["crl", "{ca}", "--days", "-1"], "a validity has 1 to 36500 days, not -1"),
    (["server", "{ca}", "bob", "--san", "localhost"], "write DNS:name or IP:address"),
    (["server", "{ca}", "bob", "--san", "IP:localhost"], "is no subject alternative name"),
    (["revoke", "{ca}", "nobody"], "has issued nothing named nobody"),
])  # fmt: skip
def test_errors_are_one_sentence(
    ca: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """What cannot be done is one line on standard error and exit status 1; nothing is issued or overwritten."""
    before = sorted((path, path.read_bytes()) for path in ca.iterdir())
    capsys.readouterr()
    assert main([argument.format(ca=ca, empty=tmp_path / "empty") for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("edgenode pki: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert sorted((path, path.read_bytes()) for path in ca.iterdir()) == before


def test_the_paths_written_are_printed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output names the files that were written."""
    main(["ca", str(tmp_path)])
    main(["client", str(tmp_path), "bob"])
    main(["crl", str(tmp_path)])
    names = ("ca.pem", "ca.key", "ca.crl.pem", "bob.pem", "bob.key", "ca.crl.pem")
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in names]


def test_a_broken_folder_is_one_sentence(ca: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A database or key that cannot be read is an error, not a traceback and not an empty revocation list."""
    (ca / "issued.json").write_text("[{}]")
    assert main(["crl", str(ca)]) == 1
    (ca / "ca.key").write_text("nonsense")
    assert main(["crl", str(ca)]) == 1
    assert capsys.readouterr().err.count("\n") == 2


@given(strategies.text(max_size=20))
def test_no_name_leaves_the_folder(name: str) -> None:
    """A name is refused, or its files lie in the folder of the authority and replace nothing of its own."""
    folder = pathlib.Path("somewhere")
    authority = Authority(folder, None, None)  # type: ignore[arg-type]
    try:
        authority._check_name(name)
    except PkiError:
        return
    for suffix in (".pem", ".key"):
        path = folder / f"{name}{suffix}"
        assert path.resolve().parent == folder.resolve()
        assert path.name not in ("ca.pem", "ca.key", "ca.crl.pem", "issuers.pem", "issued.json")
