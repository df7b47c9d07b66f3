"""A server of moto for tests: AWS's S3 and IAM, which checks signatures if it is told to."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import shutil
import ssl
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from tests.support.certificates import SERVER, Issued, write_pem
from tests.support.server_process import ServerProcess
from tests.support.waiting import wait_for

needs_moto = pytest.mark.skipif(
    any(find_spec(each) is None for each in ("moto", "boto3", "flask")), reason="moto and boto3 are not installed"
)
"""Marks a test that needs the server."""


class Moto(ServerProcess):
    """A server, which remembers nothing.

    :param authority: of its certificate.
    """

    def __init__(self, folder: pathlib.Path, authority: Issued) -> None:
        super().__init__(folder, "moto.log")
        sans = ["DNS:origin.test", "IP:127.0.0.1"]
        authority.issue("moto", eku=[SERVER], sans=sans).write(folder, "moto")
        write_pem(folder / "servers.pem", [authority])

    def _started(self, port: int) -> bool:
        command = [shutil.which("moto_server") or f"{pathlib.Path(sys.executable).parent}/moto_server"]
        command += ["-H", "127.0.0.1", "-p", str(port), "-c", "moto.pem", "-k", "moto.key"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        wait_for(lambda: self._ended or self._answers(port), "moto answers", 60)
        return not self._ended

    def _answers(self, port: int) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._asked("GET", "/moto-api/data.json", "", port) == 200
        return False

    def _asked(self, method: str, path: str, body: str, port: int = 0) -> int:
        context = ssl.create_default_context(cafile=self.folder / "servers.pem")
        connection = http.client.HTTPSConnection("127.0.0.1", port or self.port, context=context, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            return connection.getresponse().status

    def client(self, service: str = "s3") -> Any:
        """A client of boto3, which nobody asks who it is."""
        boto3, config = pytest.importorskip("boto3"), pytest.importorskip("botocore.config")
        return boto3.client(
            service,
            endpoint_url=f"https://127.0.0.1:{self.port}",
            verify=str(self.folder / "servers.pem"),
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def demand(self, *allowed: str) -> tuple[str, str]:
        """Check every signature from now on; the identifier of a key that is allowed some actions, and the key."""
        iam = self.client("iam")
        iam.create_user(UserName="edge")
        statement = f'{{"Effect": "Allow", "Action": ["{chr(34).join(allowed)}"], "Resource": "*"}}'
        document = f'{{"Version": "2012-10-17", "Statement": [{statement}]}}'
        iam.put_user_policy(UserName="edge", PolicyName="put", PolicyDocument=document)
        key = iam.create_access_key(UserName="edge")["AccessKey"]
        self.check(True)
        return key["AccessKeyId"], key["SecretAccessKey"]

    def check(self, all: bool) -> None:
        """Whether signatures are checked."""
        assert self._asked("POST", "/moto-api/reset-auth", "0" if all else "inf") == 200
