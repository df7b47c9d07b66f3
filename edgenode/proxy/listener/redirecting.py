"""What a plain port answers that serves nothing: go to HTTPS.

Law: nobody is sent to a host that no server group of the listener has, nor to another resource.
"""

from __future__ import annotations

from typing import Any

from edgenode.model.decision import Decision
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Response, host_of
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.listener.listener import RedirectPort
from edgenode.proxy.routing import Router, ServedGroup
from edgenode.proxy.streams import RequestHead

_SAFE = (b"GET", b"HEAD")


class RedirectExchange(ProxyExchange):
    """A request, and the redirect that answers it: no rule judges it, and no origin hears of it.

    :param port: where HTTPS is.
    """

    _answer_now: Response | None = None

    def __init__(self, port: RedirectPort, *arguments: Any) -> None:
        self._port = port
        super().__init__(*arguments)

    def _judge(self) -> Decision:
        """Find out where it belongs.

        :raises ClientError: 421, if no server group has its host.
        """
        exchange = self.exchange
        group, self._answer_now = redirect_of(self._port, self.context.router, self.head)
        exchange.server_group, exchange.security_policy = group.name, group.security_policy
        self._tag()
        return self.decision

    def _judged(self) -> None:
        if self._answer_now is not None and not self.ended:
            self._respond(self._answer_now)
        else:
            super()._judged()


def redirect_of(port: RedirectPort, router: Router, head: RequestHead) -> tuple[ServedGroup, Response]:
    """The server group of a request, and the redirect that answers it.

    :raises ClientError: 421, if no server group has its host.
    """
    group, host = _secure_host(router, head.authority)
    target = b"/" if head.origin_target == b"*" else head.origin_target
    location = b"https://%b%b%b" % (host, b"" if port.number == 443 else b":%d" % port.number, target)
    return group, Response(301 if head.method in _SAFE else 308, ((b"location", location),))


def _secure_host(router: Router, authority: bytes) -> tuple[ServedGroup, bytes]:
    """The server group of a request, and the host to which it is sent: its own, or else the first that the default
    group has.

    :raises ClientError: 421, if there is none.
    """
    host = host_of(authority)
    group = router.named(host.decode("ascii"))
    if group is not None and router.default is group and not router.has(host.decode("ascii")):
        hosts = [each for each in group.group.hosts if not each.startswith("*.")]
        host = hosts[0].encode("ascii") if hosts else b""
    if group is None or not host:
        raise ClientError(421, "no server group has this authority")
    return group, host
