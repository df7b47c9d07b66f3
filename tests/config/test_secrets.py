"""Private keys and their passphrases are in no text that the node writes: no log, event, problem, traceback, repr."""

from __future__ import annotations

import base64
import copy
import pathlib
import resource
import traceback
from collections.abc import Iterable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from twisted.python.failure import Failure

from edgenode.__main__ import main
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.node.service import EdgeService
from tests.support.certificates import SERVER
from tests.support.node import PKI, Client, Events, Origin, get, ini
from tests.support.twistd import failing, twistd

CANARY = "c4nary-Passphrase"
ENVIRONMENT = {"PASSPHRASE": CANARY}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates of a node; its own key is encrypted with the canary, which also lies in a file."""
    folder = tmp_path_factory.mktemp("pki")
    pki = PKI.make(folder)
    own = pki.servers.issue("edge", eku=[SERVER], sans=["DNS:open.test"])
    own.write(folder, "secret", passphrase=CANARY.encode())
    (folder / "passphrase").write_text(f"{CANARY}\n")
    (folder / "passphrase").chmod(0o600)
    (folder / "plain").write_bytes(own.key_pem())
    (folder / "plain").chmod(0o600)
    return pki


def changes(passphrase: str) -> dict[str, dict[str, str | None]]:
    """What makes the node of ``tests.support.node`` use the encrypted key, with a passphrase written in this way."""
    name, _, value = passphrase.partition(" = ")
    return {
        "certificate edge": {"chain": "secret.pem", "key": "secret.key", name: value},
        "edge": {"events": "events.jsonl"},
    }


PASSPHRASES = {
    "environment": "passphrase = ${PASSPHRASE}",
    "file": "passphrase-file = passphrase",
    "in the configuration": f"passphrase = {CANARY}",
}
"""The places of a passphrase."""

PLACES = pytest.mark.parametrize("passphrase", PASSPHRASES.values(), ids=PASSPHRASES)


def needles(folder: pathlib.Path) -> set[str]:
    """Parts of the secrets that are nowhere else: the passphrase, and the private number in every notation."""
    key = load_pem_private_key((folder / "plain").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value
    raw = number.to_bytes(32, "big")
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    files = [(folder / name).read_text().splitlines()[1:-1] for name in ("plain", "secret.key")]
    return {
        CANARY,
        base64.b64encode(CANARY.encode()).decode(),
        CANARY.encode().hex(),
        str(number),
        f"{number:x}",
        repr(raw)[2:-1],
        base64.b64encode(der).decode()[40:72],
        *(line for lines in files for line in lines if len(line) == 64),
    }


def assert_clean(texts: Iterable[str], folder: pathlib.Path) -> None:
    """None of the texts holds any of the secrets, in either case."""
    for text in texts:
        for needle in needles(folder):
            assert needle.lower() not in text.lower()


@PLACES
def test_what_is_loaded_shows_no_secret(pki: PKI, passphrase: str) -> None:
    """Neither the configuration nor the node, nor anything in them, has a secret in its repr."""
    from twisted.internet import reactor

    configuration = Configuration.from_text(ini(1, changes(passphrase)), pki.folder, ENVIRONMENT)
    loaded = configuration.credentials.certificates["edge"]
    assert isinstance(loaded.key, ec.EllipticCurvePrivateKey)
    service = EdgeService(configuration, reactor, Events())
    texts = [repr(configuration), str(configuration), repr(loaded), repr(vars(service)), repr(copy.copy(loaded))]
    texts += [repr(section) for _, section in configuration.written()]
    assert_clean(texts, pki.folder)


WRONG = {
    "another passphrase": ("passphrase = ${PASSPHRASE}x", {}),
    "another file": ("passphrase-file = passphrase", {"chain": "origin.pem", "key": "secret.key"}),
    "another certificate": ("passphrase = ${PASSPHRASE}", {"chain": "origin.pem"}),
    "not encrypted": ("passphrase = ${PASSPHRASE}", {"key": "plain"}),
    "the key as a chain": ("passphrase = ${PASSPHRASE}", {"chain": "plain"}),
    "the key as an authority": ("passphrase = ${PASSPHRASE}", {"authorities": "plain"}),
    "the passphrase as a key": ("passphrase = ${PASSPHRASE}", {"key": "passphrase"}),
    "the passphrase as a chain": ("passphrase = ${PASSPHRASE}", {"chain": "passphrase"}),
    "a variable without an end": (f"passphrase = {CANARY}${{", {}),
    "an unknown variable": (f"passphrase = {CANARY}${{NOWHERE}}", {}),
    "twice": (f"passphrase = {CANARY}", {"passphrase-file": "passphrase"}),
    "a key below another": (f"passphrase = {CANARY}\n   key = {CANARY}", {}),
}
"""Ways in which a load fails while it holds a secret."""


@pytest.mark.parametrize(("passphrase", "more"), WRONG.values(), ids=WRONG)
def test_a_load_that_fails_shows_no_secret(
    pki: PKI,
    passphrase: str,
    more: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No problem, no exception, no traceback and no output of ``check`` has any."""
    changed = changes(passphrase)
    changed["certificate edge"] |= more
    text = ini(1, changed)
    with pytest.raises(ConfigurationError) as raised:
        Configuration.from_text(text, pki.folder, ENVIRONMENT)
    file = pki.folder / "wrong.ini"
    file.write_text(text)
    monkeypatch.setenv("PASSPHRASE", CANARY)
    assert main(["check", str(file)]) == 1
    error = raised.value
    assert_clean(
        [
            str(error),
            repr(error),
            repr(error.problems),
            "".join(traceback.format_exception(error)),
            Failure(error).getTraceback(),
            *capsys.readouterr(),
        ],
        pki.folder,
    )


@PLACES
def test_a_node_writes_no_secret(pki: PKI, tmp_path: pathlib.Path, passphrase: str) -> None:
    """A node that served a request, was refused another and stopped has written none to its log or its events."""
    with Origin(pki) as origin:
        file = pki.folder / f"{tmp_path.name}.ini"
        changed = changes(passphrase)
        changed["edge"]["events"] = str(tmp_path / "events")
        file.write_text(ini(origin.port, changed))
        with twistd(file, ENVIRONMENT) as node:
            for name, status in (("open.test", 200), ("strict.test", 400)):
                with Client(node.port, name) as client:
                    assert client.ask(get(host=name)).status == status
    events = (tmp_path / "events").read_text()
    assert len(events.splitlines()) == 2
    assert_clean([node.log, events], pki.folder)


def test_a_node_leaves_no_core(pki: PKI, tmp_path: pathlib.Path) -> None:
    """A node that crashes writes none of its memory to a file, also where others may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("nobody may leave a core here")
    file = pki.folder / f"{tmp_path.name}.ini"
    file.write_text(ini(1))
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with twistd(file) as node:
            assert resource.prlimit(node.process.pid, resource.RLIMIT_CORE) == (0, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_a_node_that_cannot_start_writes_no_secret(pki: PKI, tmp_path: pathlib.Path) -> None:
    """The same for one whose key cannot be opened."""
    file = pki.folder / f"{tmp_path.name}.ini"
    file.write_text(ini(1, changes("passphrase = ${PASSPHRASE}x")))
    written = failing(file, ENVIRONMENT)
    assert "wrong passphrase" in written
    assert_clean([written], pki.folder)


def test_the_sweep_finds_what_is_there(pki: PKI) -> None:
    """A text with any form of a secret in it is not clean."""
    for text in (f"x{CANARY}x", (pki.folder / "plain").read_text(), (pki.folder / "secret.key").read_text()):
        with pytest.raises(AssertionError):
            assert_clean([text], pki.folder)
