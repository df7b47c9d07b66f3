"""What is masked of requests, and of texts about them."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.findings import Finding
from edgenode.policy.contentfilter.masked import PATTERNS, Masked
from edgenode.policy.contentfilter.masking import MaskKey, Masks
from edgenode.policy.contentfilter.secrets import Secrets
from edgenode.testing.exchanges import exchange_of

WORDS = ("argument.password", "cookie.session", "header.x-api-key", "cards", "credentials")
MASKS = Masks.of(map(Masked.from_text, WORDS), MaskKey.of(b"k" * 32))
SECRET = st.text("abcdefghijklmnopqrstuvwxyz0123456789!$'()*,;:@/?#%& +-._~", min_size=6)
WORD = st.text("QWZXJ", min_size=1, max_size=8)
CARD = "4111111111111111"
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln"


def luhn(digits: str) -> str:
    """The digits and their check digit."""
    total = sum(sum(divmod(2 * int(each), 10)) for each in digits[::-2])
    total += sum(int(each) for each in digits[-2::-2])
    return f"{digits}{-total % 10}"


def head(target: str, **fields: str) -> bytes:
    """All that is told of the head of a request, masked."""
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    received = exchange_of("GET", f"https://a.example{target}", headers).request
    assert received is not None
    request = MASKS.masked(received)
    return b"\n".join(
        (request.target, request.path, request.query or b"", request.normalised_path, repr(request).encode())
    )


@given(SECRET, WORD, WORD)
def test_a_named_argument_is_masked_in_every_place(secret: str, before: str, behind: str) -> None:
    """In the query, in a Referer, in an address within an argument, whatever stands around it and however encoded."""
    inner = quote_plus(f"/l?password={quote_plus(secret)}")
    told = head(
        f"/p?{before}=1&Password={quote(secret, safe='')}&{behind}&to={inner}",
        referer=f"https://a.example/l?x={before}&password={quote_plus(secret)}",
    )
    for spelled in (secret, quote(secret, safe=""), quote_plus(secret), quote_plus(quote_plus(secret))):
        assert spelled.encode() not in told
    assert f"?{before}=1&Password=masked-".encode() in told
    assert MASKS.hash(secret.encode()) in told or secret.strip() != secret or "%" in secret or "+" in secret


@given(st.text("abcdefXYZ019", min_size=6), WORD)
def test_a_named_cookie_and_header_are_masked(secret: str, other: str) -> None:
    """Also where the cookie stands between others, is quoted, or divided by a comma."""
    for cookie in (f"a={other}; session={secret}; b=1", f'session="{secret};{secret}"; b=1', f"a=1, session={secret}"):
        told = head("/", cookie=cookie, x_api_key=secret, authorization=f"Bearer {secret}")
        assert secret.encode() not in told.replace(f"a={other};".encode(), b"")
        assert MASKS.hash(secret.encode()) in told
    assert b"Bearer masked-" in told


@given(
    st.text("0123456789", min_size=11, max_size=17),
    st.sampled_from("23456"),
    st.sampled_from(("", "-", "+", "%20")),
)
def test_a_card_number_is_masked_and_another_number_is_not(rest: str, first: str, separator: str) -> None:
    """A number with the right check digit, in groups too; one with a wrong digit stays."""
    number = luhn(first + rest)
    grouped = separator.join(number[at : at + 4] for at in range(0, len(number), 4))
    assert grouped.encode() not in head(f"/pay?n={grouped}", user_agent=f"x {number}")
    assert number.encode() not in head("/pay", user_agent=f"x {number}")
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert wrong.encode() in head(f"/pay?n={wrong}")


def test_one_value_has_one_hash_and_another_key_another_hash() -> None:
    """In every spelling; and who does not know the key cannot compute it."""
    spelled = [b"a b", b"a+b", b"a%20b", b"a%2520b"]
    assert len({MASKS.hash(each) for each in spelled}) == 1
    assert MASKS.hash(b"4111 1111-1111+1111") == MASKS.hash(CARD.encode())
    other = Masks.of(map(Masked.from_text, WORDS), MaskKey.of(b"l" * 32))
    assert other.hash(b"a b") != MASKS.hash(b"a b")
    assert MASKS.hash(b"") == b""


@given(st.binary(max_size=200))
def test_masking_twice_is_masking_once(value: bytes) -> None:
    """And it fails for no value."""
    for mask, name in ((MASKS.text, b"&password="), (MASKS.cookie, b"; session=")):
        once = mask(b"x=" + value + name + b"abc")
        assert not once.endswith(b"abc")
        assert mask(once).count(b"masked-") >= once.count(b"masked-")
    assert MASKS.plain(MASKS.plain(value)) in (MASKS.plain(value), MASKS.hash(MASKS.plain(value)))


@given(st.text("abcdefghij/=&;?.", max_size=60))
def test_what_holds_no_secret_stays_as_it_is(value: str) -> None:
    """Byte by byte."""
    assert MASKS.text(value.encode()) == value.encode()
    assert MASKS.cookie(value.encode()) == value.encode()


BODIES = {
    "application/x-www-form-urlencoded": lambda value: f"a=1&password={quote_plus(value)}",
    "application/json": lambda value: json.dumps({"user": [{"password": value}]}),
    "multipart/form-data; boundary=x": lambda value: (
        f'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n{value}\r\n--x--\r\n'
    ),
}


@given(
    st.sampled_from(sorted(BODIES)),
    st.text("abcdefghijkl mnopqr0123456789", min_size=6).map(str.strip).filter(lambda text: len(text) > 5),
)
def test_a_text_about_a_request_has_no_value_of_its_body(media_type: str, secret: str) -> None:
    """In forms, JSON and multipart; in capitals too."""
    body = BODIES[media_type](secret).encode()
    exchange = exchange_of("POST", "https://a.example/", [("content-type", media_type)], body)
    told = Secrets.of(MASKS, exchange.request).text(f"argument.password: {secret} {secret.upper()}")
    assert secret not in told
    assert secret.upper() not in told
    assert told.count("masked-") == 2


def test_reasons_and_tags_have_no_secret() -> None:
    """What a stage has told of a value is masked, whoever wrote it; and a decision without one is itself."""
    request = exchange_of("GET", "https://a.example/?password=Hunter2!&q=1").request
    secrets = Secrets.of(MASKS, request)
    told = secrets.decision(Decision(frozenset(("x:hunter2-",)), (Reason("s", "f", "is Hunter2!", "by hunter2!"),)))
    assert "hunter2" not in repr(told).lower()
    plain = Decision(frozenset(("all",)), (Reason("s", "f", "argument.q: 1"),))
    assert secrets.decision(plain) is plain


@pytest.mark.parametrize(
    "name",
    [CARD, f"a[{CARD}]", f"password[{CARD}]", f"password.{CARD}", "%34" + CARD[1:], "password[%34" + CARD[1:] + "]"],
)
def test_a_number_of_a_card_is_no_name_either(name: str) -> None:
    """Of an argument or a cookie, below a name that is masked or not, and encoded."""
    told = head(f"/?{name}=1", cookie=f"{name}=1")
    assert CARD.encode() not in told
    assert CARD[1:].encode() not in told


def test_a_client_cannot_mask_what_the_node_says() -> None:
    """Scores, automatic tags and entries as they are written stay, though a masked value is a part of them."""
    request = exchange_of("GET", "https://a.example/?password=5&password=sql&password=attack&password=args").request
    secrets = Secrets.of(MASKS, request)
    reasons = (
        Reason("content-filter", "f", "942100 ARGS:q", "SQL attack (score 5)"),
        Reason("global-filters", "f", "path: ^/sql/5", "attack"),
        Reason("rate-limits", "f", "ip: 192.0.2.5", "5 in 60 s"),
    )
    decision = Decision(frozenset(("cf-risk:5", "cf-category:sql", "args:5")), reasons)
    assert secrets.decision(decision) is decision
    plain = Secrets.of(evolve(MASKS, tags_copied=False), request)
    assert plain.decision(Decision(frozenset(("attack",)))).tags == {"attack"}
    for finding in (
        Finding(942100, "SQL attack", "", "ARGS:q", b"union", tags=("attack-sql",), constant=True),
        Finding(942100, "", "", "ARGS", b"union", constant=True),
    ):
        assert evolve(secrets.finding(finding), matched=b"union", data="") == finding


def test_a_value_that_a_reason_has_copied_is_masked() -> None:
    """As a whole behind its name, wherever an edge function tells it, and where a message has it by a macro."""
    secrets = Secrets.of(MASKS, exchange_of("GET", "https://a.example/?password=Hunter2").request)
    told = secrets.decision(
        Decision(
            reasons=(
                Reason("rate-limits", "f", "argument.password: hunter2, ip: 192.0.2.5", "5 in 60 s"),
                Reason("global-filters", "f", "argument.password: Hunter2 and path: /x"),
                Reason("edge-function", "f", "", "saw hunter2"),
            )
        )
    )
    finding = secrets.finding(Finding(1, "saw hunter2", "", "ARGS:q", b"x", tags=("attack-hunter2",)))
    assert "hunter2" not in f"{told} {finding}".lower()


def test_a_short_value_is_masked_where_it_stands_alone() -> None:
    """Or every letter of a text would be."""
    secrets = Secrets.of(MASKS, exchange_of("GET", "https://a.example/?password=a").request)
    told = secrets.text("argument.password: a")
    assert told.startswith("argument.password: masked-")


@pytest.mark.parametrize(
    ("variable", "matched", "hidden"),
    [
        ("ARGS:password", b"union select", True),
        ("ARGS:user.password", b"union", True),
        ("ARGS:q", b"union select", False),
        ("ARGS:q", CARD.encode(), True),
        ("ARGS:card", b"4111", True),
        ("REQUEST_URI", b"union", True),
        ("TX:1", b"union", True),
        ("REQUEST_HEADERS:Referer", b"union", True),
        ("REQUEST_HEADERS:User-Agent", b"sqlmap", False),
        ("REQUEST_COOKIES:session", b"x", True),
    ],
)
def test_a_finding_in_a_value_that_is_masked_is_masked_as_a_whole(variable: str, matched: bytes, hidden: bool) -> None:
    """It may be a part of it, or transformed; and so is one in a text that may have the value in it."""
    request = exchange_of("GET", f"https://a.example/?password=1'union+select&q=union&card={CARD}").request
    finding = Finding(942100, "SQL", f"Matched Data: {matched.decode()} found", variable, matched)
    found = Secrets.of(MASKS, request).finding(finding)
    assert (found.matched != matched) == hidden
    assert (found.data == "") == hidden
    assert (found.rule, found.message, found.variable) == (942100, "SQL", variable)


def test_without_a_secret_in_the_request_a_finding_is_told_wherever_it_was() -> None:
    """Masks cost no word of what is told of others."""
    request = exchange_of("GET", "https://a.example/?q=union+select").request
    finding = Finding(942100, "SQL", "Matched Data: union", "REQUEST_URI", b"union select")
    assert Secrets.of(MASKS, request).finding(finding) == finding


def test_so_many_values_that_they_cannot_be_looked_for_hide_the_text() -> None:
    """A client cannot have its own values told, or make that take long, by sending many."""
    target = "&".join(f"password=secret{number}" for number in range(300))
    assert "secret7" not in Secrets.of(MASKS, exchange_of("GET", f"https://a.example/?{target}").request).text(
        "secret7"
    )


def test_a_request_without_secrets_is_not_copied() -> None:
    """What is not masked costs a look."""
    request = exchange_of("GET", "https://a.example/a?b=c", [("user-agent", "Mozilla/5.0 (X11)")]).request
    assert request is not None
    assert MASKS.masked(request) is request


@pytest.mark.parametrize(
    ("text", "column"),
    [("password", 0), ("arguments.password", 0), ("argument.", 9), ("argument.*", 9), ("card", 0)],
)
def test_a_word_that_is_none_is_refused_with_its_place(text: str, column: int) -> None:
    """The sentence says what is right."""
    with pytest.raises(InvalidValue, match=r"expected argument\.NAME|a name is missing|has a name") as caught:
        Masked.from_text(text)
    assert caught.value.column == column


@given(st.sampled_from([*PATTERNS, "argument.a", "cookie.b", "header.c"]))
def test_a_word_is_written_as_it_is_read(text: str) -> None:
    """Reading and writing are inverse."""
    assert str(Masked.from_text(text)) == text


def test_of_a_long_text_that_matched_only_the_beginning_is_looked_at() -> None:
    """What is told of it has no card number all the same."""
    request = exchange_of("GET", "https://a.example/?q=1").request
    found = Secrets.of(MASKS, request).finding(
        Finding(1, variable="ARGS:q", matched=b"x " * 45 + f"{CARD},".encode() * 9999)
    )
    assert len(found.matched) < 2000
    assert CARD[:8].encode() not in found.matched[:200]


@pytest.mark.parametrize(
    "written",
    [
        "pass_word", "PASS_WORD", "pass.word", "pass+word", "pass%20word", "pass%2Eword", "%70ass_word",
        "%u0070ass_word",
        "%2570ass_word", "user[pass_word]", "user[pass.word][]", "pass_word[0]", "pass_word%00x",
        "pass_word[value]", "user.pass_word.array_1.value",
    ],
)  # fmt: skip
def test_no_spelling_of_a_name_gets_past_its_mask(written: str) -> None:
    """As applications in PHP, Rack, ASP or qs read it."""
    masks = Masks.of([Masked.from_text("argument.pass_word")], MaskKey.of(b"k" * 32))
    assert b"hunter2" not in masks.text(f"/?a=1&{written}=hunter2&b=2".encode())
    assert b"hunter2" not in masks.header(b"referer", f"https://a.example/?{written}=hunter2".encode())
    assert b"=hunter2" in masks.text(b"/?password=hunter2")
