"""What check says of alerts: those that can never be raised, tell nobody, or would tell a secret."""

from __future__ import annotations

import pathlib

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, Problem

COUNTED = "expression = http.response.code ge 500\nthreshold = more than 5 per 5m"
MAIL = "mail-from = edge@example.com\nmail-to = ops@example.com"


def problems(folder: pathlib.Path, alert: str, more: str = "", journal: bool = True) -> list[Problem]:
    """What is said of an alert."""
    kept = "[journal]\nfolder = .\nparquet = no\ncompression = gzip\nkeep-time = 1d\n" if journal else ""
    text = f"[edge]\nevents = off\nevent-headers = Referer\n{kept}{more}\n[alert a]\n{alert}\n"
    with pytest.raises(ConfigurationError) as caught:  # for it has no listener
        Configuration.from_text(text, folder, {})
    return [each for each in caught.value.problems if each.section == "alert a"]


@pytest.mark.parametrize(
    ("alert", "more", "key", "sentence", "column", "warning"),
    [
        (COUNTED, "", "", "it tells nobody but the node's log", None, True),
        (
            'expression = any(edge.tags[*] eq "a") and http.user_agent contains "x"\nthreshold = 5 per 5m',
            "",
            "expression",
            "events do not hold this header: [edge] event-headers does not name user-agent",
            29,
            True,
        ),
        (
            'expression = edge.server_group in {"shopp"}\nthreshold = 5 per 5m',
            "",
            "expression",
            "there is no [server-group shopp]",
            0,
            True,
        ),
        (
            'expression = not edge.listener eq "x"\nthreshold = 5 per 5m',
            "",
            "expression",
            "there is no [listener x]",
            4,
            True,
        ),
        (
            'expression = http.request.body eq ""\nthreshold = 5 per 5m',
            "",
            "expression",
            "events hold no bodies",
            0,
            False,
        ),
        ("threshold = 5 per 5m", "", "expression", "this key is required", None, False),
        (
            "expression = ssl\nthreshold = 5 per 2d",
            "",
            "threshold",
            "the window is longer than [journal] keep-time",
            None,
            True,
        ),
        (f"{COUNTED}\norigin = there", "", "origin", "there is no [origin there]", 0, False),
        (
            f"{COUNTED}\nmail-origin = mail",
            "[origin mail]\nservers = tls://a:465",
            "mail-origin",
            "mail needs mail-to",
            0,
            False,
        ),
        (
            f"{COUNTED}\n{MAIL}\nmail-origin = mail\nmail-user = a\nmail-password = b",
            "[origin mail]\nservers = tcp://a:25",
            "mail-user",
            "a password goes over TLS alone",
            None,
            False,
        ),
        (
            f"{COUNTED}\n{MAIL}\nmail-origin = mail",
            "[origin mail]\nservers = https://a",
            "mail-origin",
            "[origin mail] has https://a:443",
            0,
            False,
        ),
        (
            f"{COUNTED}\norigin = mail",
            "[origin mail]\nservers = starttls://a:587",
            "origin",
            "[origin mail] has starttls://a:587",
            0,
            False,
        ),
    ],
)
def test_what_is_wrong_with_an_alert_is_said_with_its_key_and_its_column(
    tmp_path: pathlib.Path, alert: str, more: str, key: str, sentence: str, column: int | None, warning: bool
) -> None:
    """What cannot be is an error, what is doubtful a warning."""
    found = problems(tmp_path, alert, more)
    assert (key, column, warning) in [
        (each.key, each.column, each.warning) for each in found if sentence in each.sentence
    ]


def test_an_alert_needs_a_journal(tmp_path: pathlib.Path) -> None:
    """Without one it is an error."""
    assert [each.sentence for each in problems(tmp_path, COUNTED, journal=False) if not each.warning] == [
        "it reads events from the journal: [journal] folder is missing"
    ]


def test_an_alert_with_which_nothing_is_wrong_has_no_problem(tmp_path: pathlib.Path) -> None:
    """By mail over STARTTLS with a login, and by a webhook that is not told of secrets."""
    origins = "[origin mail]\nservers = starttls://a:587\n[origin hooks]\nservers = https://b\n"
    keys = "mail-origin = mail\nmail-user = a\nmail-password = b\norigin = hooks\nsecret = c\nby = ip.src"
    assert problems(tmp_path, f"{COUNTED}\n{MAIL}\n{keys}", origins) == []


def test_starttls_is_for_mail_alone(tmp_path: pathlib.Path) -> None:
    """A receiver of syslog does not speak it."""
    text = (
        "[journal]\nfolder = .\nparquet = no\ncompression = gzip\n[origin log]\nservers = starttls://a:6514\n"
        "[exporter x]\ntype = syslog\norigin = log\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(text, tmp_path, {})
    assert "[origin log] has starttls://, which is for mail alone" in [each.sentence for each in caught.value.problems]
