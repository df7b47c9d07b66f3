"""Keeps a node busy for a while with all that clients do, good and bad, and asserts that nothing builds up.

A node runs in a process of its own, with mTLS on both sides and events written, in front of an origin in another
process. Good clients ask on kept connections and on new ones, and send and fetch large bodies; bad ones leave in the
middle, trickle, and send nonsense; every 20 seconds the configuration changes and is reloaded. At the end: every good
request was answered, and rightly; memory and descriptors are flat; and the event loop was never blocked for more than
50 ms, see :mod:`bench.watchdog`. The exit status is 1 if any of it is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import pathlib
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, cast

from twisted.application.service import MultiService

from bench.crowd import BAD, BODY, GOOD, Load, request
from bench.watchdog import Watchdog
from tests.support.node import PKI, Alone, ini

LIMIT = 0.05
"""Seconds for which the loop may be blocked."""

GROWTH = 8 * 1024 * 1024
"""Bytes by which the memory may be larger in the last fifth than in the first, warmed up."""

DESCRIPTORS = 32
"""Descriptors by which their number may rise likewise."""

RELOADS = 20.0
"""Seconds between two reloads."""

ROOT = pathlib.Path(__file__).resolve().parent.parent

# -- the node and its origin, each in a process of its own -------------------------------------------------------------


def run_node(path: str, report: str) -> None:
    """A node as twistd would run it, with a watchdog in its loop."""
    from twisted.internet import reactor

    from edgenode.commands import run

    options = run.Options()
    options.parseOptions(["--config", path])
    node = run.makeService(options)
    node.privilegedStartService()
    node.startService()
    watchdog = Watchdog(reactor, LIMIT)
    reactor.callWhenRunning(watchdog.start)
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    (edge,) = cast(MultiService, node)
    # Only in the reactor's first turn does the process have all the descriptors that it has when nobody is there.
    reactor.callLater(0, print, edge.ports["public"].getHost().port, flush=True)
    reactor.run()
    pathlib.Path(report).write_text(json.dumps(watchdog.report()))


def run_origin(folder: str) -> None:
    """An origin: it digests what it gets, and ``/large`` is large."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = BODY if b" /large" in head else hashlib.sha256(await _body(reader, head)).hexdigest().encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                writer.write(body)
                await writer.drain()
        writer.close()

    async def listen() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/origin.pem", f"{folder}/origin.key")
        context.load_verify_locations(f"{folder}/servers.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listen())


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
    if b"transfer-encoding" not in lines:
        return await reader.readexactly(int(lines.get(b"content-length", 0)))
    body = []
    while size := int(await reader.readline(), 16):
        body.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(body)


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[Alone]:
    """Another process of this module, which says its port first; it ends on SIGTERM."""
    command = [sys.executable, "-m", "bench.soak", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield Alone(process.pid, int(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


# -- the soak ----------------------------------------------------------------------------------------------------------


def write_configuration(pki: PKI, file: pathlib.Path, origin: int, generation: int) -> None:
    """The configuration, which differs from one generation to the next by a filter, and by the age of a list."""
    filters = {
        f"global-filter filter-{number}": {"path": f"^/never/{number}/", "action": "block"} for number in range(100)
    }
    answer = {"type": "block", "status": "404", "body": f"{generation}"}
    changes: dict[str, dict[str, str | None]] = {
        "edge": {"events": "events.jsonl"},
        "listener public": {
            "handshake-timeout": "60s",
            "header-timeout": "3s",
            "body-timeout": "30s",
            "send-timeout": "3s",
        },
        "origin origin": {"idle-timeout": "3s"},
        "path-map all": {"max-body-size": "16m"},
        "action generation": dict(answer),
        "global-filter generation": {"path": "^/generation$", "action": "generation"},
        **{name: dict(keys) for name, keys in filters.items()},
    }
    file.write_text(ini(origin, changes))


def reload(load: Load, node: Alone, generation: int) -> None:
    """Reload, and see that the new configuration is there."""
    command = [sys.executable, "-m", "edgenode", "reload", "--pid", str(node.pid)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        load.failures.append(f"reload: {done.stdout}{done.stderr}")
    with load.client() as client:
        load.ask(client, request("/generation", close=True), b"%d" % generation, 404)


def soak(folder: pathlib.Path, seconds: float) -> list[str]:
    """Do it, print how it goes, and return what is wrong."""
    pki, report, file = PKI.make(folder), folder / "watchdog.json", folder / "soak.ini"
    with child("--origin", str(folder)) as origin:
        write_configuration(pki, file, origin.port, 0)
        with child("--node", str(file), "--report", str(report)) as node:
            load = Load(pki, node.port)
            before = node.descriptors()
            samples = _under_load(
                load, node, seconds, lambda number: write_configuration(pki, file, origin.port, number)
            )
            left = _settled(node, before)
    return [*load.failures[:20], *judge(samples, json.loads(report.read_text())), *left]


def _under_load(load: Load, node: Alone, seconds: float, change: Callable[[int], None]) -> list[tuple[int, int]]:
    """Memory and descriptors, twice a second while the clients are at it."""
    threads = [threading.Thread(target=load.run, args=(kind, kind in GOOD)) for kind in (*GOOD, *BAD)]
    for thread in threads:
        thread.start()
    began, samples, generation = time.monotonic(), [], 0
    every = min(RELOADS, seconds / 4)
    try:
        while (now := time.monotonic() - began) < seconds:
            samples.append((node.memory("VmRSS"), node.descriptors()))
            if now >= (generation + 1) * every:
                generation += 1
                change(generation)
                reload(load, node, generation)
                print(
                    f"{now:5.0f} s  {samples[-1][0] >> 20} MiB  {samples[-1][1]} descriptors  {load.counts}", flush=True
                )
            time.sleep(0.5)
    finally:
        load.over.set()
        for thread in threads:
            thread.join()
    print(f"{node.seconds():.0f} s of CPU time")
    print(f"the slowest small answer took {load.slowest * 1000:.0f} ms")
    return samples


def _settled(node: Alone, before: int) -> list[str]:
    """What is left when the clients have gone, and idle connections to the origin have had their time."""
    deadline = time.monotonic() + 15
    while node.descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    left = node.descriptors() - before
    return [f"{left} descriptors are left over"] if left > 0 else []


def judge(samples: Sequence[tuple[int, int]], watchdog: dict[str, Any]) -> list[str]:
    """What is wrong with the memory, the descriptors and the loop; the first fifth of the samples is warming up.

    Memory creeps, and is compared at the median; descriptors come and go in crowds, and are compared between these.
    """
    fifth = len(samples) // 5
    warm = samples[fifth:]
    memory = [median(size for size, _ in part) for part in (warm[:fifth], warm[-fifth:])]
    descriptors = [min(count for _, count in part) for part in (warm[: 2 * fifth], warm[2 * fifth :])]
    wrong = []
    for (first, last), what, limit in ((memory, "bytes of memory", GROWTH), (descriptors, "descriptors", DESCRIPTORS)):
        print(f"{what}: {first:.0f}, and at the end {last:.0f}")
        if last - first > limit:
            wrong.append(f"{last - first:.0f} more {what}")
    print(f"the loop was blocked for {watchdog['worst'] * 1000:.0f} ms at the worst, in {watchdog['beats']} beats")
    for each in watchdog["violations"][:10]:
        where = "\n    ".join(each["where"])
        wrong.append(
            f"blocked for {each['blocked'] * 1000:.0f} ms ({each['late'] * 1000:.0f} with what others ran, "
            f"{each['worked'] * 1000:.0f} at work, "
            f"{each['collected'] * 1000:.0f} collecting garbage) at {each['at']:.1f} s\n    {where}"
        )
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Soak, and return the exit status."""
    parser = argparse.ArgumentParser(description="Keep a node busy, and see that nothing builds up.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long (default: 600)")
    for inner in ("--node", "--origin", "--report"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.node:
        run_node(options.node, options.report)
        return 0
    if options.origin:
        run_origin(options.origin)
        return 0
    with tempfile.TemporaryDirectory(prefix="edgenode-soak-") as folder:
        wrong = soak(pathlib.Path(folder), options.seconds)
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
