"""The keys of tokens in a running node: fetched, kept, rotated; and what cannot be used changes nothing."""

from __future__ import annotations

import base64
import json
import pathlib
import time
from collections.abc import Iterator

import pytest
from attrs import Factory, define
from joserfc import jwt
from joserfc.jwk import ECKey
from twisted.internet.defer import Deferred

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.support.certificates import SERVER
from tests.support.node import PKI, Changes, Node, Origin, Served, get, in_thread, ini, started, until

OLD = ECKey.generate_key("P-256", {"kid": "old"})
NEW = ECKey.generate_key("P-256", {"kid": "new"})


def jwks(*keys: ECKey) -> bytes:
    """A JWK set."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def token(key: ECKey, audience: str = "shop") -> str:
    """A token that is valid for a minute."""
    claims = {"aud": audience, "sub": "alice", "exp": int(time.time()) + 60, "roles": ["user", "admin"]}
    return jwt.encode({"alg": "ES256", "kid": str(key.kid)}, claims, key)


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """Certificates and a folder ``state`` of each test's own."""
    pki = PKI.make(tmp_path)
    pki.servers.issue("keys", eku=[SERVER], sans=["IP:127.0.0.1"]).write(pki.folder, "keys")
    (pki.folder / "state").mkdir(mode=0o700)
    return pki


@define(eq=False)
class Published:
    """What the server of keys answers: a body, or a whole answer."""

    body: bytes = Factory(lambda: jwks(OLD))
    answer: bytes = b""

    def __call__(self, served: Served) -> None:
        """Answer."""
        while served.request() is not None:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.body)}\r\n\r\n".encode()
            served.send(self.answer or head + self.body)


@pytest.fixture
def published() -> Published:
    """What the server of keys answers."""
    return Published()


@pytest.fixture
def server(pki: PKI, published: Published) -> Iterator[Origin]:
    """The server of keys."""
    with Origin(pki, published, stem="keys", demand=False) as server:
        yield server


def rules(source: str, **keys: str) -> Changes:
    """A node that forwards requests with a valid token only, and those of others to ``/open``."""
    section = {"source": source, "audience": "shop", **{key.replace("_", "-"): value for key, value in keys.items()}}
    return {
        "edge": {"state": "state", "watch-interval": "20ms"},
        "jwt shop": section,
        "global-filter no-token": {"action": "block", "jwt.shop": "!yes"},
        "global-filter admins": {"tags": "admin", "claim.shop.roles": "^admin$"},
    }


def fetched(server: Origin, **keys: str) -> Changes:
    """The same with keys of the server's."""
    return rules(f"https://127.0.0.1:{server.port}/jwks.json", **{"trust_store": "servers", **keys})


def statuses(node: Node, *tokens: str) -> Deferred[list[int]]:
    """The statuses of requests with tokens, one after another on one connection; an empty one is none."""

    def ask() -> list[int]:
        with node.client() as client:
            lines = [[f"Authorization: Bearer {each}"] if each else [] for each in tokens]
            return [client.ask(get("/", "open.test", *each)).status for each in lines]

    return in_thread(ask)


async def test_keys_are_fetched_and_outlive_the_server(pki: PKI, origin: Origin, server: Origin) -> None:
    """Until they have come no token is valid; a restart needs no server; claims become tags."""
    async with started(pki, origin, fetched(server)) as node:
        await until(lambda: node.service.configuration.contents.keys)
        assert await statuses(node, token(OLD), "", token(NEW), token(OLD, "other")) == [200, 403, 403, 403]
        good, *others = await node.events.take(4)
        assert "admin" in good["tags"]
        assert all("admin" not in each["tags"] for each in others)
        assert token(OLD)[:40] not in str([good, *others])
    assert len(server.requests) == 1
    async with started(pki, origin, fetched(server)) as node:
        assert await statuses(node, token(OLD)) == [200]
    assert len(server.requests) == 1


async def test_keys_are_rotated_while_requests_run(
    pki: PKI, origin: Origin, server: Origin, published: Published
) -> None:
    """A token that names an unknown key has the source asked; no request with a good token fails meanwhile."""
    async with started(pki, origin, fetched(server, refresh_unknown="1s")) as node:
        await until(lambda: node.service.configuration.contents.keys)
        old, new, ended = token(OLD), token(NEW), list[bool]()

        def load() -> set[int]:
            found = set()
            with node.client() as client:
                while not ended:
                    found.add(client.ask(get("/", "open.test", f"Authorization: Bearer {old}")).status)
            return found

        loads = [in_thread(load) for _ in range(2)]
        published.body = jwks(NEW, OLD)
        while await statuses(node, new) != [200]:
            pass
        ended.append(True)
        for each in loads:
            assert await each == {200}
        published.body = jwks(NEW)
        assert await statuses(node, old, new) == [200, 200]  # nobody has asked for an unknown key since


async def test_made_up_keys_do_not_flood_the_source(pki: PKI, origin: Origin, server: Origin) -> None:
    """Whoever names keys that there are not, however often, has the source asked once in refresh-unknown."""
    async with started(pki, origin, fetched(server, refresh_unknown="1h")) as node:
        await until(lambda: node.service.configuration.contents.keys)
        made_up = [jwt.encode({"alg": "ES256", "kid": f"{number}"}, {}, NEW) for number in range(50)]
        assert set(await statuses(node, *made_up)) == {403}
        assert await statuses(node, token(OLD)) == [200]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/other\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>???",
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n{"keys":[{"kty":"oct","k":"%s"}]}' % (b"A" * 12),
    ],
)  # fmt: skip
async def test_the_last_good_keys_stay(
    pki: PKI, origin: Origin, server: Origin, published: Published, answer: bytes
) -> None:
    """Failures, redirects, pages, and sets without a public key change nothing."""
    async with started(pki, origin, fetched(server, refresh="1s")) as node:
        await until(lambda: node.service.configuration.contents.keys)
        published.answer = answer
        asked = len(server.requests)
        await until(lambda: len(server.requests) > asked)
        assert await statuses(node, token(OLD), token(NEW)) == [200, 403]


async def test_a_server_that_is_not_trusted_gives_no_keys(pki: PKI, origin: Origin, server: Origin) -> None:
    """Without its authority among the trusted ones its keys are not taken, and no token is valid."""
    changes = fetched(server, trust_store="clients")
    async with started(pki, origin, changes) as node:
        warned = [str(each) for each in node.service.configuration.warnings]
        assert any("nothing has come from there yet; until it has come no token is valid" in each for each in warned)
        await until(lambda: (pki.folder / "state" / "jwt.shop.status").exists())
        assert await statuses(node, token(OLD)) == [403]
    assert server.requests == []


async def test_a_file_of_keys_is_read_anew_when_it_changes(pki: PKI, origin: Origin) -> None:
    """Its new keys are used without a reload; a broken one changes nothing."""
    path = pki.folder / "keys.json"
    path.write_bytes(jwks(OLD))
    async with started(pki, origin, rules("file:keys.json")) as node:
        assert await statuses(node, token(OLD), token(NEW)) == [200, 403]
        path.write_bytes(jwks(NEW))
        await until(lambda: [each.identifier for each in node.service.configuration.contents.keys["shop"]] == ["new"])
        assert await statuses(node, token(OLD), token(NEW)) == [403, 200]
        path.write_bytes(b"{")
        await until(lambda: node.service._watch.unused == {"jwt shop"})
        assert await statuses(node, token(OLD), token(NEW)) == [403, 200]


# -- what is written ---------------------------------------------------------------------------------------------------

_SMALL = "an RSA key has at least 2048 bits, and it has 1024"
_RSA_1024 = base64.urlsafe_b64encode(b"\xff" * 128).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "line 1: neither PEM nor JSON: Expecting value"),
        (b'{\n  "keys": [\n  }', "line 3: neither PEM nor JSON"),
        (b'{"keys": {}}', 'a JWK set is an object with a list of objects, "keys"'),
        (b'{"keys": [], "keys": []}', "a name stands twice in one object"),
        (b'{"keys": []}', "there is no key in it that can verify a token"),
        (json.dumps({"keys": [OLD.as_dict(private=True)]}).encode(), "key 1: it is a private key"),
        (json.dumps({"keys": [{"kty": "RSA", "n": _RSA_1024, "e": "AQAB"}]}).encode(), f"key 1: {_SMALL}"),
        (b'{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}', "key 1: a secret has at least 32 bytes"),
        (b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}', "key 1: it cannot be read"),
        (b'{"keys": [{"kty": "AKP"}]}', "key 1: its type is not known here"),
        (b'{"keys": [{"kty": "RSA", "use": "enc"}]}', "key 1: it is for encryption"),
        (b"\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "line 2: it is no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "its PEM has no end"),
        (OLD.as_pem(private=True), "line 1: it is a private key: only its public key belongs here"),
    ],
)
def test_a_file_that_has_no_keys_is_an_error(pki: PKI, content: bytes, sentence: str) -> None:
    """It is told with the file and, where there is one, the line or the key; what is in the key is not."""
    (pki.folder / "keys.json").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(ini(1, rules("file:keys.json")), pki.folder, {})
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"[jwt shop] source: {pki.folder / 'keys.json'}: ")
    assert sentence in str(problem)


@pytest.mark.parametrize("form", ["pem", "certificate", "jwk"])
async def test_keys_stand_in_several_forms(pki: PKI, origin: Origin, form: str) -> None:
    """A public key in PEM, a certificate, and a single JWK; the first two have no kid, and are tried for any."""
    forms = {"pem": OLD.as_pem(private=False), "jwk": json.dumps(OLD.as_dict(private=False)).encode()}
    (pki.folder / "keys.json").write_bytes(forms.get(form) or (pki.folder / "edge.pem").read_bytes())
    async with started(pki, origin, rules("file:keys.json")) as node:
        expected = [403, 403] if form == "certificate" else [200, 403]
        assert await statuses(node, token(OLD), token(NEW)) == expected


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"source": None}, "a token configuration has either a source of keys or a secret"),
        ({"secret": "s" * 32}, "a token configuration has either a source of keys or a secret"),
        ({"source": None, "secret": "s" * 31}, "a secret has at least 32 bytes"),
        ({"source": None, "secret": "s" * 32, "algorithms": "HS512"}, "HS512 is not for a secret of this length"),
        ({"source": None, "secret": "s" * 64, "algorithms": "RS256"}, "RS256 is not for a secret of this length"),
        ({"source": "https://a.example/", "algorithms": "HS256"}, "HS256 needs a secret, and no key that is fetched"),
        ({"algorithms": "none"}, "expected one of RS256, "),
        ({"algorithms": "nOnE"}, "expected one of RS256, "),
        ({"token": "header.authorization"}, "for Authorization: Bearer write bearer"),
        ({"token": "query.token"}, "expected bearer, header.NAME or cookie.NAME"),
        ({"token": "header.a b"}, "expected bearer, header.NAME or cookie.NAME"),
        ({"token": "cookie.a;b"}, "this is no name of a cookie"),
        ({"leeway": "1h"}, "clocks differ by ten minutes at most"),
        ({"max-token-size": "1m"}, "a token has between 64 bytes and 64k"),
    ],
)
def test_what_cannot_be_meant_is_an_error(pki: PKI, section: dict[str, str | None], sentence: str) -> None:
    """Each with the section; no sentence has anything of a secret."""
    (pki.folder / "keys.json").write_bytes(jwks(OLD))
    good = rules("file:keys.json")
    changes = {**good, "jwt shop": {**good["jwt shop"], **section}}
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(ini(1, changes), pki.folder, {})
    assert any(str(problem).startswith("[jwt shop]") and sentence in str(problem) for problem in caught.value.problems)
    assert "sss" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "column"),
    [
        ("expression", 'ssl and is_jwt_valid("shopp")', 8),
        ("expression", 'any(http.request.jwt.claims.sub["shopp"][*] eq "a")', 4),
        ("expression", 'any(edge.jwt.claims["shopp.sub"][*] eq "a")', 4),
        ("jwt.shopp", "yes", None),
        ("claim.shopp.sub", "^a$", None),
    ],
)
def test_a_rule_names_a_token_configuration_that_is_there(pki: PKI, key: str, value: str, column: int | None) -> None:
    """Else it is an error, with its place in an expression, and a guess at what was meant."""
    (pki.folder / "keys.json").write_bytes(jwks(OLD))
    changes = {**rules("file:keys.json"), "global-filter wrong": {"action": "block", key: value}}
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(ini(1, changes), pki.folder, {})
    (problem,) = [each for each in caught.value.problems if not each.warning]
    assert (problem.key, problem.column) == (key, column)
    assert problem.sentence == 'there is no [jwt shopp]; did you mean "shop"?'


@pytest.mark.parametrize("key", ["claim.shopp.sub", "jwt.shopp"])
def test_what_is_counted_names_a_token_configuration_that_is_there(pki: PKI, key: str) -> None:
    """A limit on the claims of nobody would limit nobody."""
    (pki.folder / "keys.json").write_bytes(jwks(OLD))
    limits = {"limit": "10 per 1m", "key": key}
    with pytest.raises(ConfigurationError, match=r'there is no \[jwt shopp\]; did you mean "shop"\?'):
        Configuration.from_text(ini(1, {**rules("file:keys.json"), "rate-limit each": limits}), pki.folder, {})


async def test_whose_a_token_is_is_counted_and_told_to_the_origin(pki: PKI, origin: Origin) -> None:
    """A rate limit counts by a claim, and a header of an action has one."""
    (pki.folder / "keys.json").write_bytes(jwks(OLD))
    changes = rules("file:keys.json")
    changes = {
        **changes,
        "rate-limit each": {"limit": "2 per 1h", "key": "claim.shop.sub"},
        "path-map all": {"origin": "origin", "rate-limits": "each"},
        "action tell": {"type": "monitor", "headers": 'x-user: ${http.request.jwt.claims.sub["shop"][0]}'},
        "global-filter tell": {"action": "tell", "jwt.shop": "yes"},
    }
    async with started(pki, origin, changes) as node:
        assert await statuses(node, token(OLD), token(OLD), token(OLD)) == [200, 200, 429]
    assert b"x-user: alice" in origin.requests[0].lower()


@pytest.mark.parametrize(
    ("place", "name"), [("bearer", "Authorization"), ("header.X-Token", "x-token"), ("cookie.a", "Cookie")]
)
def test_that_events_hold_tokens_is_told(pki: PKI, place: str, name: str) -> None:
    """A header that has tokens is one of those that events have only with a warning."""
    (pki.folder / "keys.json").write_bytes(jwks(OLD))
    changes = {**rules("file:keys.json", token=place)}
    for headers, count in (f"host {name}", 1), ("host", 0):
        changes["edge"] = {**changes["edge"], "event-headers": headers}
        told = map(str, Configuration.from_text(ini(1, changes), pki.folder, {}).warnings)
        assert len([each for each in told if f"{name.lower()} has the tokens of [jwt shop]" in each]) == count


def test_a_path_map_cannot_look_at_a_token(pki: PKI) -> None:
    """It is chosen before a token is verified."""
    (pki.folder / "keys.json").write_bytes(jwks(OLD))
    changes = {**rules("file:keys.json"), "path-map all": {"origin": "origin", "jwt.shop": "yes"}}
    with pytest.raises(ConfigurationError, match="looks at a token, which is verified only after a path map is chosen"):
        Configuration.from_text(ini(1, changes), pki.folder, {})
