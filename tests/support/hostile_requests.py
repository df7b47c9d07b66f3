"""The corpus of hostile requests, by family. What each has to become of is in ``tests.support.hostile``."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support import hostile_framing as framing
from tests.support import hostile_heads as heads
from tests.support import hostile_places as places
from tests.support.hostile import Hostile

FAMILIES: Mapping[str, tuple[Hostile, ...]] = {
    "lengths": tuple(framing.lengths()),
    "transfer codings": tuple(framing.codings()),
    "chunk sizes": tuple(framing.sizes()),
    "chunk extensions": tuple(framing.extensions()),
    "trailers": tuple(framing.trailers()),
    "pipelines": tuple(framing.pipelines()),
    "expectations": tuple(framing.expectations()),
    "ends of lines": tuple(heads.ends_of_lines()),
    "folds": tuple(heads.folds()),
    "characters": tuple(heads.characters()),
    "spaces": tuple(heads.spaces()),
    "methods": tuple(heads.methods()),
    "versions": tuple(heads.versions()),
    "targets": tuple(places.targets()),
    "hosts": tuple(places.hosts()),
    "hops": tuple(places.hops()),
    "sizes": tuple(places.sizes()),
}
