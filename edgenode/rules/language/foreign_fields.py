"""Cloudflare's fields that are no field here: other names of those that are, and why the rest are not.

Law: a rule that looks at what nobody here knows is an error that says so, and what to look at instead; no other field
is offered in its place because it is spelt alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgenode.rules.fields import FIELDS

ALIASES: Mapping[str, str] = {
    "cf.edge.client_port": "edge.peer_port",
    **{name.replace("ip.src.", "ip.geoip."): name for name in FIELDS.built_in if name.startswith("ip.src.")},
}
"""Other names of fields that Cloudflare's documentation has: older ones, and of what is a field of ours."""

_BOTS = "bots are not told from people here: look at http.user_agent, cf.bot_management.ja4 or ip.src in $name"
_SCORES = "nothing is scored here: write what is looked for as entries or with matches"
_RESPONSE = "a request is judged before there is a response"
_TIMINGS = "nobody measures it here"
_ZONES = "there are no zones here: look at edge.server_group, edge.security_policy or edge.path_map"

_REASONS: Mapping[str, str] = {
    "cf.api_gateway": "schemas of an interface are not checked here: write what a request must have as entries",
    "cf.bot_detection": _BOTS,
    "cf.bot_management": _BOTS,
    "cf.bot_management.ja3_hash": "JA3 is not made here: look at cf.bot_management.ja4",
    "cf.client.bot": _BOTS,
    "cf.colo": "there are no data centres of Cloudflare here: look at cf.edge.server_ip",
    "cf.edge.l4": _TIMINGS,
    "cf.hostname.metadata": _ZONES,
    "cf.llm": "prompts are not looked at here",
    "cf.metal": "there are no data centres of Cloudflare here: look at cf.edge.server_ip",
    "cf.response": _RESPONSE,
    "cf.threat_score": "addresses are not scored here: look at ip.src in $name, with a list or a datafeed of addresses",
    "cf.timings": _TIMINGS,
    "cf.tls_ciphers_sha1": "look at cf.bot_management.ja4, which is made of the ciphers and extensions",
    "cf.tls_client_ciphers_sha1": "look at cf.bot_management.ja4, which is made of the ciphers and extensions",
    "cf.tls_client_extensions_sha1": "look at cf.bot_management.ja4, which is made of the ciphers and extensions",
    "cf.tls_client_extensions_sha1_le": "look at cf.bot_management.ja4, which is made of the ciphers and extensions",
    "cf.tls_client_hello_length": "look at cf.bot_management.ja4, which is made of the ClientHello",
    "cf.tls_client_random": "look at cf.random_seed",
    "cf.verified_bot_category": _BOTS,
    "cf.waf.auth_detected": 'look at http.request.headers["authorization"] and http.cookie',
    "cf.waf.content_scan": "files are not scanned here: look at http.request.body.mime and "
    "http.request.body.multipart.filenames",
    "cf.waf.credential_check": "passwords are not compared with leaked ones here",
    "cf.waf.score": _SCORES,
    "cf.waf": _SCORES,
    "cf.worker": "there are no workers here",
    "cf.zone": _ZONES,
    "http.request.jwt": 'other claims are in edge.jwt.claims["NAME.CLAIM"]',
    "http.response": _RESPONSE,
    "raw.http.response": _RESPONSE,
}


def why_not(name: str, reasons: Mapping[str, str] = _REASONS) -> str:
    """Why there is no field of a name; empty if that is not known.

    :param reasons: by the name, or the beginning of it; those of Cloudflare's fields if absent.
    """
    prefix = name
    while prefix:
        if prefix in reasons:
            return reasons[prefix]
        prefix = prefix.rpartition(".")[0]
    return ""
