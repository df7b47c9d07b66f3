"""nginx: as the origin of all peers, and as the peer that the node is compared with."""

from __future__ import annotations

import pathlib
import string

from attrs import frozen


class _Text(string.Template):
    """``$`` is nginx's own."""

    delimiter = "@"


_COMMON = _Text("""\
@module
daemon off; master_process off; worker_processes 1; pid @folder/pid; error_log @folder/error.log warn;
events { worker_connections 4096; }
http {
  access_log off; default_type text/plain; sendfile off; tcp_nodelay on; etag off; client_max_body_size 0;
  keepalive_timeout 300s; keepalive_requests 100000000; open_file_cache max=10; ssl_session_cache shared:sessions:4m;
  client_body_temp_path @folder/b; proxy_temp_path @folder/p; fastcgi_temp_path @folder/f; uwsgi_temp_path @folder/u;
  scgi_temp_path @folder/s;
  # Half of what is random makes the entity tag; the Date changes every second.
  map $request_id $tag { "~^(?<half>.{16})" $half; }
  upstream origin { server 127.0.0.1:@origin; keepalive 128; keepalive_requests 100000000; keepalive_timeout 300s; }
  # Connections that are kept know no protocol, so those of HTTP/2 are kept apart.
  upstream origin2 { server 127.0.0.1:@origin; keepalive 128; keepalive_requests 100000000; keepalive_timeout 300s; }
  @zones
  @rules
  upstream echo { server 127.0.0.1:@echo; }
  upstream echo2 { server 127.0.0.1:@echo; keepalive 128; keepalive_requests 100000000; keepalive_timeout 300s; }
  server {
    listen 127.0.0.1:@port ssl http2 backlog=4096; ssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client on;
    ssl_certificate @pki/@certificate.crt; ssl_certificate_key @pki/@certificate.key;
    ssl_client_certificate @pki/@authority.crt;
    @locations
  }
}
""")

_ORIGIN = _Text("""\
root @folder/www;
    location = /1m { default_type application/octet-stream; }
    location = /large { default_type application/octet-stream; }
    location = /varied { alias @folder/www/1k; add_header X-Request-Id $request_id; add_header ETag '"$tag"'; }
    location = /upload { return 204; }
    location = /h2/varied { alias @folder/www/1k; add_header X-Request-Id $request_id; add_header ETag '"$tag"'; }
""")

_PROXY = _Text("""\
location / {
      @limits
      proxy_pass https://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host localhost; proxy_set_header X-Forwarded-For $remote_addr; proxy_max_temp_file_size 0;
      proxy_request_buffering off; # as the node: a body goes through as it comes
      proxy_ssl_certificate @pki/edge-cli.crt; proxy_ssl_certificate_key @pki/edge-cli.key;
      proxy_ssl_trusted_certificate @pki/origin-ca.crt; proxy_ssl_verify on; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }
    location /h2/ { grpc_pass grpcs://origin2; grpc_set_header Host localhost; @grpc }
    location /bench.Echo/ { grpc_pass grpcs://echo2; @grpc }
    location = /ws {
      proxy_pass https://echo; proxy_http_version 1.1; proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Host localhost;
      proxy_ssl_certificate @pki/edge-cli.crt; proxy_ssl_certificate_key @pki/edge-cli.key;
      proxy_ssl_trusted_certificate @pki/origin-ca.crt; proxy_ssl_verify on; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }
    location ~ ^/admin/area0/.*\\.(php|cgi)$ { return 403; } # what filter-0 of start.sh refuses
""")

_GRPC = _Text("""\
grpc_ssl_certificate @pki/edge-cli.crt; grpc_ssl_certificate_key @pki/edge-cli.key;
      grpc_ssl_trusted_certificate @pki/origin-ca.crt; grpc_ssl_verify on; grpc_ssl_name localhost;
      grpc_ssl_server_name on; grpc_ssl_protocols TLSv1.2 TLSv1.3;""")

_ZONES = """\
limit_req_zone $binary_remote_addr zone=address:10m rate=1000000r/s;
  limit_req_zone $ssl_client_fingerprint zone=certificate:10m rate=1000000r/s;"""
_LIMITS = "limit_req zone=address burst=1000 nodelay; limit_req zone=certificate burst=1000 nodelay;"

_MODULE = "load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;"


@frozen
class Nginx:
    """An nginx with one worker, which requires a client certificate; HTTP/2 and HTTP/1.1 by ALPN.

    To an origin that speaks HTTP/2 only ``grpc_pass`` forwards, so that does for all of them.

    :ivar folder: its own, for all that it writes.
    :ivar pki: where the certificates lie.
    :ivar port: where it listens.
    :ivar origin: the port of the origin; the origin itself has none, and serves files of the folder ``www``.
    :ivar echo: the port of the origin of gRPC and WebSocket.
    :ivar limited: whether requests are counted by address and by certificate, and none is over.
    :ivar rules: a file of rules in SecLang that ModSecurity judges requests by; ``None`` for none.
    """

    folder: pathlib.Path
    pki: pathlib.Path
    port: int
    origin: int = 0
    echo: int = 0
    limited: bool = False
    rules: pathlib.Path | None = None

    def command(self) -> list[str]:
        """Write the configuration, and return the command that runs it in the foreground."""
        certificate, authority = ("edge-srv", "edge-ca") if self.origin else ("origin-srv", "origin-ca")
        values = {"folder": self.folder, "pki": self.pki, "port": self.port, "origin": self.origin or 1}
        values |= {"module": _MODULE if self.rules else ""}
        values |= {"rules": f"modsecurity on; modsecurity_rules_file {self.rules};" if self.rules else ""}
        values |= {"echo": self.echo or 1, "grpc": _GRPC.substitute(values)}
        values |= {"zones": _ZONES if self.limited else "", "limits": _LIMITS if self.limited else ""}
        locations = (_PROXY if self.origin else _ORIGIN).substitute(values)
        text = _COMMON.substitute(values, certificate=certificate, authority=authority, locations=locations)
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "nginx.conf"
        file.write_text(text)
        return ["nginx", "-e", str(self.folder / "error.log"), "-c", str(file)]
