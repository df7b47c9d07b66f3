"""Which path map a request is for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Exchange, Request
from edgenode.proxy.routing import ServedGroup, ServedPathMap
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.matching.compiling import compile_formula
from edgenode.rules.section_formulas import formula_of
from edgenode.rules.sections import Section
from tests.support.strategies import CONNECTION

NOTHING: Any = None
SECTIONS = st.builds(
    Section,
    entries=st.lists(
        st.sampled_from([entry("path", "^/a"), entry("path", "^/a/b$"), entry("method", "POST"), entry("path", "c$")]),
        max_size=2,
    ).map(tuple),
    relation=st.sampled_from(["and", "or"]),
)
REQUESTS = st.builds(
    lambda method, path: Request(method, b"https", b"open.test", path, path, None, path),
    st.sampled_from([b"GET", b"POST"]),
    st.sampled_from([b"/", b"/a", b"/a/b", b"/a/c", b"/c"]),
)


@given(st.lists(SECTIONS, max_size=5), REQUESTS)
def test_the_first_path_map_that_matches_is_taken(sections: list[Section], request: Request) -> None:
    """Though all are looked at together: as by one after the other. If none matches it is 404."""
    formulas = [formula_of(section, Definitions(), "a") for section in sections]
    path_maps = [ServedPathMap(str(at), each, NOTHING, NOTHING, 0) for at, each in enumerate(formulas)]
    group = ServedGroup("open", NOTHING, NOTHING, NOTHING, NOTHING, "all", tuple(path_maps))
    exchange = Exchange(CONNECTION, request)
    one_by_one = (path_map for path_map in path_maps if compile_formula(path_map.formula)(exchange) is not None)
    wanted = next(one_by_one, None)
    if wanted is None:
        with pytest.raises(ClientError, match="404"):
            group.path_map(exchange)
    else:
        assert group.path_map(exchange) is wanted
