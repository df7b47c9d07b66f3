"""The default TLS settings as a scanner sees them, and the verdict of bench/scan.py on what the scanners write."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from bench import scan

ROOT = pathlib.Path(__file__).parent.parent.parent
SSLYZE = shutil.which("sslyze") or shutil.which(ROOT / ".venv" / "scan" / "bin" / "sslyze")

REPORT = """\
"id","fqdn/ip","port","severity","finding","cve","cwe"
"TLS1_2","localhost/127.0.0.1","443","OK","offered","",""
"OCSP_stapling","localhost/127.0.0.1","443","LOW","not offered","",""
"cipher_order","localhost/127.0.0.1","443","HIGH","NOT a cipher order, configured","",""
"HSTS","localhost/127.0.0.1","443","LOW","not offered","",""
"clientAuth","localhost/127.0.0.1","443","INFO","optional","",""
"scanProblem","localhost/127.0.0.1","443","FATAL","Can't connect","",""
"""


def test_everything_above_information_is_a_finding() -> None:
    """A low finding counts, a scan that did not happen counts, what is in order does not."""
    assert list(scan.grave(REPORT)) == [
        "LOW OCSP_stapling: not offered",
        "HIGH cipher_order: NOT a cipher order, configured",
        "LOW HSTS: not offered",
        "FATAL scanProblem: Can't connect",
    ]
    assert "LOW HSTS: not offered" not in list(scan.grave(REPORT, scan.OF_THE_PAGE))


@pytest.mark.deadline(240)
@pytest.mark.skipif(SSLYZE is None, reason="sslyze is not installed: make scan installs it")
async def test_default_settings_are_mozilla_s_intermediate(tmp_path: pathlib.Path) -> None:
    """sslyze finds every server group compliant, with RSA and ECDSA keys, with and without client certificates."""
    from twisted.internet import reactor

    assert SSLYZE is not None
    assert await scan.scan(reactor, {"sslyze": SSLYZE}, tmp_path) == []


@pytest.mark.deadline(240)
@pytest.mark.skipif(SSLYZE is None, reason="sslyze is not installed: make scan installs it")
async def test_another_setting_is_a_finding(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan can fail: a cipher suite without forward secrecy is found."""
    from twisted.internet import reactor

    assert SSLYZE is not None
    monkeypatch.setattr(scan, "GROUPS", {"weak": ("rsa", "ciphers = AES128-GCM-SHA256")})
    found = await scan.scan(reactor, {"sslyze": SSLYZE}, tmp_path)
    assert any("TLS_RSA_WITH_AES_128_GCM_SHA256" in finding.words for finding in found)
