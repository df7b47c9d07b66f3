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

_SAFE = (b"GET", b"HEAD")


class RedirectExchange(ProxyExchange):
    """A request, and the redirect that answers it: no rule judges it, and no origin hears of it.

    :param port: where HTTPS is.
    """

    _location = b""

    def __init__(self, port: RedirectPort, *arguments: Any) -> None:
        self._port = port
        super().__init__(*arguments)

    def _judge(self) -> Decision:
        """Find out where it belongs.

        :raises ClientError: 421, if no server group has its host.
        """
        head, exchange = self.head, self.exchange
        group, host = secure_host(self.context.router, head.authority)
        exchange.server_group, exchange.security_policy = group.name, group.security_policy
        number = self._port.number
        target = b"/" if head.origin_target == b"*" else head.origin_target
        self._location = b"https://%b%b%b" % (host, b"" if number == 443 else b":%d" % number, target)
        self._tag()
        return self.decision

    def _judged(self) -> None:
        if self._location and not self.ended:
            status = 301 if self.head.method in _SAFE else 308
            self._respond(Response(status, ((b"location", self._location),)))
        else:
            super()._judged()


def secure_host(router: Router, authority: bytes) -> tuple[ServedGroup, bytes]:
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
