"""What would become of a request? Asked without a network: ``python examples/judge.py FILE PATH-MAP PATH``."""

from __future__ import annotations

import sys

from edgenode import Address, Configuration, Connection, Decision, Exchange, Request

file, path_map, path = sys.argv[1:]
pipeline = Configuration.load(file).pipeline(path_map)

target = path.encode("ascii")
request = Request(
    method=b"POST",
    scheme=b"https",
    authority=b"localhost",
    target=target,
    path=target,
    query=None,
    normalised_path=target,
    headers=((b"user-agent", b"curl/8.5"),),
)
connection = Connection(peer=Address("198.51.100.7", 40000), local=Address("192.0.2.1", 443))

decision = pipeline.decide(Exchange(connection, request, client="198.51.100.7"))
assert isinstance(decision, Decision)  # a Deferred of one, if a stage had to wait
sys.stdout.writelines(f"{line}\n" for line in (sorted(decision.tags), *decision.reasons, decision.action))
