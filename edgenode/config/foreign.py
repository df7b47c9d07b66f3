"""Files of other programs, given by mistake: they are recognized as a whole, and not refused line by line.

Law: what has a section header of ours is ours, whatever else stands in it.
"""

from __future__ import annotations

import re

_OURS = re.compile(r"^\[[a-z-]+(?:[ \t][^\[\]]*)?\][ \t\r]*$", re.MULTILINE)

_SIGNS = (
    ("a binary file, or text in another encoding than UTF-8", "", r"[\0-\x08]"),
    ("the configuration of nginx", "see the page on migrating from nginx",
     r"^\s*(?:(?:http|server|events|stream|upstream\s+\S+|location\s[^{}\n]*)\s*\{"
     r"|(?:listen|server_name|proxy_pass|ssl_certificate|worker_processes)\s[^\n]*;)"),
    ("the configuration of HAProxy", "see the page on migrating from HAProxy",
     r"^(?:global|defaults|frontend\s+\S+|backend\s+\S+|listen\s+\S+)\s*(?:#.*)?$"),
    ("the configuration of Apache httpd", "", r"^\s*<(?:VirtualHost|IfModule|Directory|Location|Proxy)\b"),
    ("a certificate or a key", "[certificate NAME] names it with chain or key", r"^-----BEGIN [A-Z0-9 ]+-----"),
    ("JSON", "edgenode import reads the rules of other products", r'\A\s*(?:\{\s*"|\{\s*\}|\[\s*[{"])'),
    ("a Caddyfile", "", r"^(?:[\w.*:/-]+\s*)?\{\s*$(?=[\s\S]*^\s+(?:reverse_proxy|tls|respond|encode)\b)"),
    ("YAML", "", r"\A(?:\s*#[^\n]*\n|\s*\n)*(?:---\s*$|[A-Za-z_][\w.-]*:(?:[ \t][^\n]*)?$)"),
)  # fmt: skip
"""What a file may be instead, what helps then, and how it is recognized; the first that fits counts."""


def recognized(text: str) -> str:
    """A sentence about what a file is instead of a configuration of ours, or nothing."""
    if _OURS.search(text):
        return ""
    for what, hint, sign in _SIGNS:
        if re.search(sign, text, re.MULTILINE):
            return f"this looks like {what}, and not like one of edgenode{f'; {hint}' if hint else ''}"
    return ""
