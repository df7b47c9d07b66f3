"""What is wrong with ``[traces]`` is said where it stands, and without the extra it cannot be used."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.observe.traces.traces import Share, Traces
from tests.support.node import PKI, ini


def read(pki: PKI, servers: str = "https://collector.test:4318", **keys: str) -> Configuration:
    """A configuration with the section."""
    named = {"origin": "collector", **{name.replace("_", "-"): value for name, value in keys.items()}}
    origin = {"servers": servers}
    return Configuration.from_text(ini(1, {"traces": named, "origin collector": origin}), pki.folder, {"TOKEN": "abc"})


@pytest.fixture(autouse=True)
def _tokens(pki: PKI) -> None:
    (pki.folder / "token").write_text("abc\n")
    (pki.folder / "empty").write_text("")
    (pki.folder / "binary").write_bytes(b"\xff\xfe\n")


@pytest.mark.parametrize(
    ("keys", "key", "sentence"),
    [
        ({"origin": "nobody"}, "origin", "there is no [origin nobody]"),
        ({"sample": "2"}, "sample", "expected a number from 0 to 1, such as 0.01 for one of a hundred"),
        ({"sample": "-0.1"}, "sample", "expected a number from 0 to 1, such as 0.01 for one of a hundred"),
        ({"sample": "1e-3"}, "sample", "expected a number from 0 to 1, such as 0.01 for one of a hundred"),
        ({"sample": "1%"}, "sample", "expected a number from 0 to 1, such as 0.01 for one of a hundred"),
        ({"parent": "yes"}, "parent", "expected one of trusted-proxies, respect, ignore"),
        ({"path": "v1/traces"}, "path", "expected a path that begins with /, without spaces or a fragment"),
        ({"path": "/v1 traces"}, "path", "expected a path that begins with /, without spaces or a fragment"),
        ({"path": "/a#b"}, "path", "expected a path that begins with /, without spaces or a fragment"),
        ({"token": "a\u00e4"}, "token", "expected at most 4096 printable ASCII characters"),
        (
            {"token": "a", "token_file": "token"},
            "token-file",
            "there is one token: token and token-file exclude each other",
        ),
        ({"token_file": "empty"}, "token-file", "its first line is no token of 1 to 4096 printable characters"),
        ({"token_file": "binary"}, "token-file", "its first line is no token of 1 to 4096 printable characters"),
        ({"token_file": "nowhere"}, "token-file", "cannot read"),
        (
            {"token": "a", "token_header": "Host"},
            "token-header",
            "expected the name of a header field, and none of one hop or of the framing",
        ),
        (
            {"token": "a", "token_header": "x:y"},
            "token-header",
            "expected the name of a header field, and none of one hop or of the framing",
        ),
        ({"interval": "0"}, "interval", "a time from 100ms to 1h"),
        ({"timeout": "1h"}, "timeout", "a time from 100ms to 10m"),
        ({"batch": "0"}, "batch", "expected a number from 1 to 10000"),
        ({"queue": "1000000"}, "queue", "expected a number from 1 to 100000"),
        ({"servers": "tls://collector.test:514"}, "origin", "and what is sent here goes to servers with"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(pki: PKI, keys: dict[str, str], key: str, sentence: str) -> None:
    """In one problem, with the key."""
    with pytest.raises(ConfigurationError) as raised:
        read(pki, **keys)
    (problem,) = raised.value.problems
    assert (problem.section, problem.key) == ("traces", key)
    assert sentence in problem.sentence


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.common", "opentelemetry"])
def test_without_the_packages_the_extra_is_named(pki: PKI, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file is read, and not when the first request comes."""

    def find_spec(name: str) -> object:
        if missing == "opentelemetry":
            raise ModuleNotFoundError(name)
        return None if name == missing else importlib.util.find_spec(name)

    monkeypatch.setattr("edgenode.observe.traces.traces.find_spec", find_spec)
    with pytest.raises(ConfigurationError, match="the extra edgenode\\[traces\\]: pip install opentelemetry-sdk"):
        read(pki)
    assert Configuration.from_text(ini(1, {"traces": {}}), pki.folder, {}).traces == Traces()


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        ({"token": "a", "servers": "http://collector.test"}, "without TLS whoever is on the way can read it"),
        ({"token": "a", "servers": "http://127.0.0.1:4318"}, ""),
        ({"token": "a"}, ""),
        ({"servers": "http://collector.test"}, ""),
    ],
)
def test_a_token_without_tls_is_doubtful(pki: PKI, keys: dict[str, str], warning: str) -> None:
    """Unless nobody is on the way."""
    told = [each.sentence for each in read(pki, **keys).warnings if each.section == "traces"]
    assert len(told) == bool(warning)
    assert all(warning in each for each in told)


def test_without_an_origin_the_section_has_no_effect(pki: PKI) -> None:
    """Its keys are a warning, and no request is traced."""
    configuration = Configuration.from_text(ini(1, {"traces": {"sample": "1"}}), pki.folder, {})
    assert [each.sentence for each in configuration.warnings] == ["has no effect without origin"]
    assert configuration.traces.tracing is None


def test_the_token_is_not_shown(pki: PKI) -> None:
    """Neither by its section nor by what is wrong with it."""
    assert read(pki, token="${TOKEN}").traces.read_token() == "abc"
    assert "abc" not in repr(read(pki, token="${TOKEN}").traces)
    with pytest.raises(ConfigurationError) as raised:
        read(pki, token="a\u00e4")
    assert "\u00e4" not in str(raised.value)


@pytest.mark.parametrize("text", ["0", "1", "0.01", "0.5", "0.000000001", "1.0"])
def test_a_share_is_written_as_it_is_read(text: str) -> None:
    """With no more digits than it has."""
    assert Share.from_text(str(Share.from_text(text))) == Share.from_text(text)


def test_a_folder_is_no_token(pki: PKI) -> None:
    """Nor is anything else that is not a file."""
    pathlib.Path(pki.folder / "folder").mkdir(exist_ok=True)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read(pki, token_file="folder")
