"""Transformations: what ModSecurity itself makes of a value, in time that grows with the value and no faster."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.policy.contentfilter.bestfit import BEST_FIT
from edgenode.policy.contentfilter.transformations import TRANSFORMATIONS, of_name
from tests.support.growth import grows_with_its_size

PIECES = (
    rb"% %u %U00 %41 + \ \x \u \u0041 & &# &#x &#65; &lt &quot; &AMP ; f F 0 7 41 ff a Z ab . .. / // ./ ../ .../ ab../"
    rb" /* */ <!-- --> -- # 0x = == QUJD 9 , ' ( ^ %u0141 %uff1c %u2039 %u20AC"
).split(b" ")
SPACES = [b" ", b"\t", b"\n", b"\r", b"\v", b"\0", b"\xa0", b"\xc2", b"\xff", b'"']
SEQUENCES = b"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x80 \xed\xa0\x80 \xf5\x80\x80\x80 \xe0\x80".split(b" ")

values = st.one_of(
    st.lists(st.sampled_from(PIECES + SPACES + SEQUENCES), max_size=14).map(b"".join),
    st.lists(st.sampled_from(PIECES + SPACES), max_size=4, unique=True).flatmap(
        lambda few: st.lists(st.sampled_from(few or [b""]), max_size=12).map(b"".join)
    ),
    st.binary(max_size=24),
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], dict[str, bytes]]]:
    """What ModSecurity makes of a value by each transformation."""
    modsecurity = pytest.importorskip("libmodsecurity")
    engine, rules = modsecurity.ModSecurity(), modsecurity.RulesSet()
    names = [name for name in TRANSFORMATIONS if name != "hexDecode"]  # it may read until it has read all memory
    rule = 'SecRule ARGS "@unconditionalMatch" "id:{},phase:1,pass,log,t:{},t:hexEncode,logdata:\'%{{MATCHED_VAR}}\'"'
    lines = [rule.format(number, name) for number, name in enumerate(names, 1)]
    mapping = tmp_path_factory.mktemp("mapping") / "unicode.mapping"
    pairs = " ".join(f"{number.decode()}:{ord(byte):02x}" for number, byte in BEST_FIT.items())
    mapping.write_text(f"20127 (US-ASCII)\n{pairs}\n")
    lines = ["SecRuleEngine On", f"SecUnicodeMapFile {mapping} 20127", *lines]
    assert rules.load("\n".join(lines)) > 0, rules.get_parser_error()
    found: dict[str, bytes] = {}

    def take(message: object) -> None:
        found[names[message.rule_id - 1]] = binascii.unhexlify(message.data)  # type: ignore[attr-defined]

    engine.set_rule_message_callback(take)

    def read(value: bytes) -> dict[str, bytes]:
        found.clear()
        with engine.transaction(rules) as transaction:
            transaction.process_connection("192.0.2.1", 1, "192.0.2.2", 80)
            transaction.process_uri("/?a=" + "".join(f"%{byte:02x}" for byte in value), "GET", "1.1")
            transaction.process_request_headers()
        return dict(found)

    yield read
    engine.set_rule_message_callback(None)


@given(value=values)
@example(value=b"a/../b/../c")
@example(value=b"&#" + b"9" * 30)
@example(value=b"QUJD\n")
@example(value=b"a*/b/*c*/")
@example(value=b"\0\0\0\0\0\xc3\xa9\\xe9\0\0")
@example(value=b"\xc3\0\xa9\xc3\xc3\xa9\xe2\x82\xc3\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf")
def test_is_what_modsecurity_makes(reference: Callable[[bytes], dict[str, bytes]], value: bytes) -> None:
    """Every transformation makes what ModSecurity does, but for backslashes that hide from it behind others."""
    theirs = reference(value)
    skipped = {"hexDecode", *(name for name in TRANSFORMATIONS if b"\\" in value and name.endswith("PathWin"))}
    ours = {name: each.apply(value) for name, each in TRANSFORMATIONS.items() if name not in skipped}
    assert ours == {name: made for name, made in theirs.items() if name not in skipped}


@given(values=st.lists(values, min_size=1, max_size=4))
def test_a_look_is_never_wrong(values: list[bytes]) -> None:
    """What a look says cannot be changed is not changed, in any of several values."""
    text = b"\n".join(values)
    odd = text.count(b"\n") >= len(values)
    for each in TRANSFORMATIONS.values():
        if each.changes is not None and not (each.folds_lines and odd) and not each.changes(text):
            assert [each.apply(value) for value in values] == values, each.name


@given(values=st.lists(values, min_size=1, max_size=4))
def test_some_can_be_applied_to_all_values_at_once(values: list[bytes]) -> None:
    """Those that say so make of joined values what they make of each."""
    for each in TRANSFORMATIONS.values():
        if each.whole:
            assert each.apply(b"\n".join(values)) == b"\n".join(map(each.apply, values)), each.name


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"4142", b"AB"), (b"414", b"A"), (b"4", b""), (b"", b""), (b"zz41", b"SA"), (b"4 2", b"0"), (b"gG", b"\x10")],
)
def test_hexadecimal_digits_are_taken_for_such_whatever_they_are(value: bytes, expected: bytes) -> None:
    """``hexDecode`` makes a byte of every two, as ModSecurity's arithmetic has it."""
    assert TRANSFORMATIONS["hexDecode"].apply(value) == expected


def test_names_are_known_in_any_case() -> None:
    """SecLang does not mind the case of a name, and what is no transformation has none."""
    assert of_name("URLDECODEUNI") is TRANSFORMATIONS["urlDecodeUni"]
    assert of_name("t:lowercase") is None
    assert of_name("normalisepathwin") is TRANSFORMATIONS["normalizePathWin"]


@given(value=values)
@example(value=b"a\\b\\\\\\..\\c")
def test_windows_paths_do_not_hide_behind_backslashes(value: bytes) -> None:
    """Each backslash is a separator, also the last of three, which ModSecurity does not see."""
    plain = TRANSFORMATIONS["normalizePath"].apply(value.replace(b"\\", b"/"))
    assert TRANSFORMATIONS["normalizePathWin"].apply(value) == plain


HOSTILE = (
    *rb"% %u %41 %uff41 + \ \x41 \u0041 \101 & &# &#x41; &lt; &a &#9 a A ../ ./ a/ a/../ / /* */ /**/".split(),
    *b"<!-- --> -- #".split(),
    *(b" ", b"\n", b" a", b" \n", b"\r\n", b"\0", b"\xc3", b"\xc3\xa9", b"0x", b"0x41", b"=", b"a=", b"QUJD", b" /"),
)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_time_grows_with_the_value_and_no_faster(name: str) -> None:
    """Whatever is repeated in a value, and whatever stands behind it."""
    each = TRANSFORMATIONS[name]

    def work(size: int) -> Callable[[], object]:
        values = [piece * (size // len(piece)) + end for piece in HOSTILE for end in (b"", b"A", b"\n")]

        def all_of_them() -> None:
            for value in values:
                each.apply(value)
                if each.changes is not None:
                    each.changes(value)

        return all_of_them

    assert grows_with_its_size(work, 2000)
