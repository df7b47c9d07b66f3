"""What the lists and datafeeds of a configuration hold, and how old that is: a line for each.

Law: what is shown is what is in use. What has come since and is not used yet is said beside it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

from edgenode.config.load import Configuration
from edgenode.feeds import store
from edgenode.feeds.contents import Content, Fed
from edgenode.node.feed_updates import pause, status_of
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.rules.feeds import without_query

_HEAD = ("section", "source", "values", "age", "next")


def listing(configuration: Configuration, everything: bool = False) -> str:
    """A table: section, source, values, age, and when the source is asked next.

    :param everything: whether filters that are switched off are shown, too.
    """
    now, changed = time.time(), configuration.changed()
    rows = [_HEAD]
    for header, section in configuration.fed():
        off = isinstance(section, GlobalFilter) and not section.active
        if not section.sources or (off and not everything):
            continue
        content = configuration.contents.read.get(header)
        size = "none" if content is None else f"{content.size}"
        notes = list(_notes(configuration, header, section, content, header in changed))
        after = "switched off" if off else _next(configuration, header, section, content, now)
        after += f" ({'; '.join(notes)})" if notes else ""
        rows.append((header, without_query(section.whence), size, _age(configuration, header, section, now), after))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _age(configuration: Configuration, header: str, section: Fed, now: float) -> str:
    """How long ago its sources last said that it is theirs; of a file, since when it is as it is."""
    if section.remote:
        confirmed = status_of(configuration, header, section).confirmed
        return _span(now - confirmed) if confirmed else "never"
    states = configuration.contents.signatures.get(header, ())
    times = [state[3] / 1e9 for state in states if isinstance(state, tuple) and len(state) > 3]
    return _span(now - min(times)) if times else "-"


def _next(configuration: Configuration, header: str, section: Fed, content: Content | None, now: float) -> str:
    if not section.remote:
        return "-"
    seconds = pause(section, status_of(configuration, header, section), content is not None, now)
    return "by hand" if seconds is None else f"in {_span(seconds)}"


def _notes(
    configuration: Configuration, header: str, section: Fed, content: Content | None, changed: bool
) -> Iterator[str]:
    folder = configuration.edge.state
    if section.remote and folder is not None:
        problem = status_of(configuration, header, section).problem
        if problem:
            yield problem.splitlines()[0]
        kept = tuple(
            store.digest(folder, header, index) if source.url else None for index, source in enumerate(section.sources)
        )
        used = () if content is None else content.identity[0]
        assert isinstance(used, tuple)
        if any(one is not None and one not in used for one in kept):
            yield "another content has come, and is not in use"
    elif changed:
        yield "its file has changed, and that is not in use"
    if content is not None and content.skipped:
        yield "lines are left out"


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(max(0.0, seconds))))
