"""A real mail server, aiosmtpd, in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Sequence
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.node import PKI

USER, PASSWORD = "edge", "open sesame"


class MailServer:
    """Takes mail on this host.

    :param pki: where its certificate is; without one it speaks no TLS.
    :param demand: whether it demands a client certificate.
    :param login: whether it demands a login.
    :param refuses: the receivers that it refuses.
    :param starttls: whether TLS begins by STARTTLS, without which it takes nothing.
    :ivar port: its port.
    :ivar taken: the mails: sender, receivers, content.
    :ivar peers: the subjects of the certificates that clients have presented.
    """

    def __init__(
        self,
        pki: PKI | None = None,
        demand: bool = True,
        login: bool = False,
        refuses: Sequence[str] = (),
        starttls: bool = False,
    ) -> None:
        self._context = None if pki is None else _context(pki, demand)
        self._starttls = starttls
        self._login = login
        self._refuses = refuses
        self.port = 0
        self.taken: list[tuple[str, list[str], bytes]] = []
        self.peers: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # -- what aiosmtpd asks ------------------------------------------------------------------------------------------

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Whether it takes mail for somebody."""
        if address in self._refuses:
            return "550 nobody here"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """A mail."""
        assert isinstance(envelope.original_content, bytes)
        assert server.transport is not None
        peer = server.transport.get_extra_info("peercert")
        self.peers.append(peer and dict(pair for rdn in peer["subject"] for pair in rdn))
        self.taken.append((str(envelope.mail_from), list(envelope.rcpt_tos), envelope.original_content))
        return "250 taken"

    # -- inside ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        context = None if self._starttls else self._context
        server = self._loop.run_until_complete(self._loop.create_server(self._made, "127.0.0.1", 0, ssl=context))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _made(self) -> SMTP:
        made = SMTP(
            self,
            hostname="mx.test",
            ident="mail",
            loop=self._loop,
            tls_context=self._context if self._starttls else None,
            require_starttls=self._starttls,
            auth_required=self._login,
            authenticator=_authenticate if self._login else None,
        )
        made._auth_require_tls = False  # it is there already: what aiosmtpd sees of TLS is STARTTLS alone
        return made


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=right)


def _context(pki: PKI, demand: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.folder / "servers.pem")
    context.load_cert_chain(pki.folder / "origin.pem", pki.folder / "origin.key")
    context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_NONE
    return context
