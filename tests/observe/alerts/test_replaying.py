"""What alerts would have said of recorded events; and that those of the example are raised by what they are for."""

from __future__ import annotations

import datetime
import pathlib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from edgenode.__main__ import main
from edgenode.config import ini, schema
from edgenode.config.data import KINDS
from edgenode.config.value_readers import Scope
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.counted_by import EventValue
from edgenode.observe.alerts.replaying import replayed
from edgenode.observe.alerts.watching import moment
from tests.observe.alerts.journals import EPOCH, alert, event

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "observe" / "alerts.ini"


def said(alerts: Mapping[str, Alert], events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, float]]:
    """What alerts say: the name, ``raised`` or ``resolved``, the value, and when, from the first event on."""
    found = []
    for name, change in replayed(alerts, ((each, moment(each)) for each in events)):
        at = change.since if change.until is None else change.until
        found.append((name, "raised" if change.until is None else "resolved", change.value, round(at - EPOCH, 2)))
    return found


def test_alerts_are_replayed_by_the_times_of_the_events_and_of_what_is_between_them() -> None:
    """What is resolved, or is a silence, between two events is told at its time, in order."""
    alerts = {"errors": alert(resolve_after=0.0), "silence": alert("less than 1 per 2m", "http.response.code ge 100")}
    events = [*(event(EPOCH + each) for each in (0, 1, 2)), event(EPOCH + 1000, 200), event(EPOCH + 1010, 200)]
    assert said(alerts, events) == [
        ("errors", "raised", "", 2.0),
        ("errors", "resolved", "", 60.0),
        ("silence", "raised", "", 122.0),
        ("silence", "resolved", "", 1006.0),
    ]


def test_without_events_nothing_is_said() -> None:
    """A silence is not known of what was never seen."""
    assert said({"silence": alert("less than 1 per 1m")}, []) == []
    assert said({"errors": alert(by=EventValue.from_text("http.host"))}, [event(EPOCH)] * 10) == []


def examples() -> dict[str, Alert]:
    """The alerts of the example."""
    text = EXAMPLE.read_text(encoding="utf-8")
    found = {}
    for section in ini.read(text, KINDS)[0]:
        if section.kind == Alert.kind:
            scope = Scope(EXAMPLE.parent, {}, {"origin": ["hooks", "mail"]})
            value, problems = schema.read(section, Alert, scope)
            assert problems == []
            assert value is not None
            found[section.name] = value
    return found


def _certificate(days: float) -> dict[str, Any]:
    expiry = datetime.datetime.fromtimestamp(EPOCH, datetime.UTC) + datetime.timedelta(days=days)
    return {
        "verify": "SUCCESS",
        "subject": "CN=acme,O=Partners",
        "issuer": "CN=Partners",
        "serial": "0A",
        "fingerprint": "00",
        "revoked": False,
        "first_error": 0,
        "last_error": 0,
        "depth": 0,
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _held(who: str) -> dict[str, Any]:
    return {
        "time": event(EPOCH)["time"],
        "event": {"kind": "event", "category": "intrusion_detection", "type": "creation", "action": "quarantine-held"},
        "reason": "too many",
        "entry": {"key": "ip", "value": "192.0.2.7", "who": who},
    }


def _refused(status: int) -> dict[str, Any]:
    return event(EPOCH, 403, error={"fault": "client", "status": status, "reason": "x"})


def _acted_on(mode: str) -> dict[str, Any]:
    return event(EPOCH, 403, action="teapot", mode=mode, origin=None, error=None)


CASES: dict[str, tuple[Callable[[], list[dict[str, Any]]], Callable[[], list[dict[str, Any]]], str]] = {
    "failures": (
        lambda: [event(EPOCH)] * 6 + [event(EPOCH, 200)] * 60,
        lambda: [event(EPOCH)] * 49,
        "",
    ),
    "refused-certificates": (lambda: [_refused(495)] * 21, lambda: [_refused(494)] * 100, "192.0.2.1"),
    "blocked": (lambda: [_acted_on("block")] * 501, lambda: [_acted_on("monitoring")] * 501, ""),
    "scanners": (lambda: [_held("dynamic-rule scanners")], lambda: [_held("admin")], "192.0.2.7"),
    "expiring-certificates": (
        lambda: [event(EPOCH, 200, certificate=_certificate(13))],
        lambda: [event(EPOCH, 200, certificate=_certificate(15))],
        "CN=acme,O=Partners",
    ),
    "silence": (
        lambda: [event(EPOCH, 200), event(EPOCH + 1000, 500)],
        lambda: [event(EPOCH + each, 200) for each in range(0, 1000, 300)],
        "",
    ),
}
"""For each alert of the example what raises it, and what does not, and the value that it is raised for."""


@pytest.mark.parametrize("name", CASES)
def test_an_alert_of_the_example_is_raised_by_what_it_is_for(name: str) -> None:
    """And by nothing that is only like it."""
    raising, harmless, value = CASES[name]
    assert (name, "raised", value) in [each[:3] for each in said(examples(), raising())]
    assert name not in [each[0] for each in said(examples(), harmless())]


def test_every_alert_of_the_example_is_looked_at() -> None:
    """None is left out here."""
    assert examples().keys() == CASES.keys()


def test_the_example_is_right_once_its_commands_have_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has neither errors nor warnings."""
    text = EXAMPLE.read_text(encoding="utf-8")
    path = tmp_path / "examples" / "observe" / EXAMPLE.name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^#   \$ python -m edgenode (pki .*)$", text, re.MULTILINE):
        assert main(shlex.split(line)) == 0
    for folder in re.findall(r"^#   \$ mkdir -p (.*)$", text, re.MULTILINE):
        pathlib.Path(folder).mkdir()
    capsys.readouterr()
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.endswith(", 0 warnings\n")
