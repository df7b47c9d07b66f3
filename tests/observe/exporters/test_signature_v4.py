"""AWS Signature Version 4: the examples of its documentation, and the same as botocore's signer."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.observe.exporters.signature_v4 import Credentials, Scope, encoded, signed, signing_key

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MOMENT = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
HOST = "examplebucket.s3.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        (
            "GET", "/test.txt", {}, {"range": "bytes=0-9"}, b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test$file.text", {},
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET", "/", {"lifecycle": ""}, {}, b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET", "/", {"max-keys": "2", "prefix": "J"}, {}, b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get an object", "put an object", "a parameter without a value", "parameters"],
)  # fmt: skip
def test_the_examples_of_the_documentation(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes, signature: str
) -> None:
    """Those of "Authenticating Requests: Using the Authorization Header", with their signatures."""
    digest = hashlib.sha256(body).hexdigest()
    found = signed(method, encoded(path), {"host": HOST, **headers}, digest, MOMENT, EXAMPLE, Scope("us-east-1"), query)
    assert found["authorization"].endswith(f",Signature={signature}")
    assert found["x-amz-date"] == "20130524T000000Z"


@pytest.mark.parametrize(
    ("day", "service", "key"),
    [
        ("20120215", "iam", "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"),
        ("20150830", "iam", "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"),
    ],
)
def test_the_key_of_a_day(day: str, service: str, key: str) -> None:
    """As in "Examples of how to derive a signing key"."""
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    assert signing_key(secret, day, Scope("us-east-1", service)).hex() == key


def test_a_secret_is_not_shown() -> None:
    """Neither in a log nor in a traceback."""
    shown = repr(Credentials("AKID", "the secret", "the token"))
    assert "AKID" in shown
    assert "secret" not in shown.replace("secret_key", "")
    assert "the token" not in shown


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip).filter(bool)
names = st.from_regex(r"x-[a-z0-9-]{1,20}", fullmatch=True).filter(
    lambda name: name not in ("x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amzn-trace-id")
)
parts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda part: part not in (".", "..")
)


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
    path=st.lists(parts, max_size=4).map(lambda several: "/" + "/".join(several)),
    headers=st.dictionaries(names, values, max_size=4),
    body=st.binary(max_size=50),
    moment=st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 1, 1)),
    secret=printable,
    token=st.just("") | printable,
    region=st.sampled_from(["us-east-1", "eu-central-1", "garage"]),
)
def test_it_signs_as_botocore_does(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    moment: datetime.datetime,
    secret: str,
    token: str,
    region: str,
) -> None:
    """Whatever the path, the header fields, the body, the time and the keys."""
    auth = pytest.importorskip("botocore.auth")
    sending, credentials = pytest.importorskip("botocore.awsrequest"), pytest.importorskip("botocore.credentials")
    ours = signed(
        method, encoded(path), {"host": "s3.test:9000", **headers}, hashlib.sha256(body).hexdigest(),
        moment.replace(tzinfo=datetime.UTC), Credentials("AKID", secret, token), Scope(region),
    )  # fmt: skip
    request = sending.AWSRequest(method, f"http://s3.test:9000{encoded(path)}", headers=dict(headers), data=body)
    request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
    request.context["payload_signing_enabled"] = True
    signer = auth.S3SigV4Auth(credentials.Credentials("AKID", secret, token or None), "s3", region)
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    assert ours["authorization"].endswith(f",Signature={signature}")
