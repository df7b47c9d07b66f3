"""What servers read in a form, by their own parsers."""

from __future__ import annotations

import atexit
import base64
import json
import os
import pathlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import BytesIO
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel, Request

Found = Mapping[bytes, Sequence[Any]]
"""The values of each name."""

PROGRAMS = pathlib.Path(__file__).parent / "form_programs"


class _Request(Request):
    def process(self) -> None:
        pass


def twisted_arguments(content_type: bytes, data: bytes, query: bytes | None = None) -> Found:
    """``Request.args`` of a POST; nothing where Twisted fails or answers 400."""
    channel = HTTPChannel()
    channel.makeConnection(StringTransport())
    request = _Request(channel)
    request.gotLength(len(data))
    request.requestHeaders.setRawHeaders(b"content-type", [content_type])
    request.handleContentChunk(data)
    try:
        request.requestReceived(b"POST", b"/" if query is None else b"/?" + query, b"HTTP/1.1")
    except Exception:  # what it does not catch closes the connection
        return {}
    return dict(request.args or {})


# What any of these raises is an answer of 400 or 500, and no argument of an application.


def django(content_type: bytes, data: bytes) -> Found:
    """What ``django.http`` reads; nothing where it answers 400."""
    settings: Any = import_module("django.conf").settings
    parser: Any = import_module("django.http.multipartparser").MultiPartParser
    request: Any = import_module("django.http").HttpRequest
    if not settings.configured:
        settings.configure(DATA_UPLOAD_MAX_NUMBER_FIELDS=None)
    handler: Any = import_module("django.core.files.uploadhandler").MemoryFileUploadHandler(request())
    meta = {"CONTENT_TYPE": content_type.decode("latin-1"), "CONTENT_LENGTH": str(len(data))}
    try:
        fields, files = parser(meta, BytesIO(data), [handler], "utf-8").parse()
    except Exception:
        return {}
    found = {name: [_bytes(each) for each in values] for name, values in fields.lists()}
    for name, uploads in files.lists():
        found.setdefault(name, []).extend(each.read() for each in uploads)
    return {_bytes(name): values for name, values in found.items()}


def werkzeug(content_type: bytes, data: bytes) -> Found:
    """What Flask has in ``request.form`` and ``request.files``."""
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request as WerkzeugRequest

    environ = EnvironBuilder(method="POST", input_stream=BytesIO(data), content_length=len(data)).get_environ()
    environ["CONTENT_TYPE"] = content_type.decode("latin-1")
    request = WerkzeugRequest(environ)
    try:
        found = {name: [_bytes(each) for each in values] for name, values in request.form.lists()}
        for name, uploads in request.files.lists():
            found.setdefault(name, []).extend(each.read() for each in uploads)
    except Exception:
        return {}
    return {_bytes(name): values for name, values in found.items() if name is not None}


def starlette(content_type: bytes, data: bytes) -> Found:
    """What ``python-multipart`` reads, as Starlette and FastAPI use it."""
    parse: Any = import_module("python_multipart.multipart").parse_form
    found: dict[bytes, list[bytes]] = {}

    def field(each: Any) -> None:
        found.setdefault(each.field_name or b"", []).append(each.value or b"")

    def file(each: Any) -> None:
        each.file_object.seek(0)
        found.setdefault(each.field_name or b"", []).append(each.file_object.read())

    headers: Any = {"Content-Type": content_type, "Content-Length": str(len(data)).encode()}
    try:
        parse(headers, BytesIO(data), field, file)
    except Exception:
        return {}
    return found


def tornado(content_type: bytes, data: bytes) -> Found:
    """What Tornado has in ``request.arguments`` and ``request.files``."""
    parse: Any = import_module("tornado.httputil").parse_body_arguments
    arguments: dict[str, list[bytes]] = {}
    files: dict[str, list[Any]] = {}
    try:
        parse(content_type.decode("latin-1"), data, arguments, files)
    except Exception:
        return {}
    for name, uploads in files.items():
        arguments.setdefault(name, []).extend(each.body for each in uploads)
    return {_bytes(name): values for name, values in arguments.items() if name is not None}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


IN_PYTHON: Mapping[str, Callable[[bytes, bytes], Found]] = {
    "django": django,
    "werkzeug": werkzeug,
    "python_multipart": starlette,
    "tornado": tornado,
}
"""Readers by the package that each needs."""


class Program:
    """A reader in another language, which answers each line with a line.

    :param words: the command.
    """

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self._process.kill)

    def read(self, content_type: bytes, data: bytes) -> Found:
        """What it reads."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = [content_type.decode("latin-1"), base64.b64encode(data).decode("ascii")]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return _found(self._process.stdout.readline())


def php(content_type: bytes, data: bytes) -> Found:
    """What PHP has in ``$_POST`` and ``$_FILES``."""
    script = str(PROGRAMS / "form.php")
    asked = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type.decode("latin-1"), "CONTENT_LENGTH": str(len(data))}
    asked |= {"SCRIPT_FILENAME": script, "REDIRECT_STATUS": "200", "GATEWAY_INTERFACE": "CGI/1.1"}
    words = ["php-cgi", "-n", "-d", "display_errors=0", "-d", "log_errors=0"]
    answer = subprocess.run(words, input=data, env={**os.environ, **asked}, capture_output=True, check=True).stdout
    return _found(answer.decode("ascii").rpartition("\n")[2])


def _found(answer: str) -> Found:
    found: dict[bytes, list[bytes]] = {}
    for name, value in json.loads(answer):
        found.setdefault(bytes.fromhex(name), []).append(bytes.fromhex(value))
    return found
