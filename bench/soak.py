"""Keeps a node busy for a while with all that clients do, good and bad, and asserts that nothing builds up.

A node runs in a process of its own, with mTLS on both sides and events written, in front of an origin in another
process. Good clients ask on kept connections and on new ones, and send and fetch large bodies; bad ones leave in the
middle, trickle, and send nonsense. Once all are warm they go on in rounds of 20 seconds, and after each the
configuration changes and is reloaded. At the end: every good request was answered, and rightly; memory and descriptors
do not rise from round to round; and the event loop was never blocked for more than 50 ms, see :mod:`bench.watchdog`.
The exit status is 1 if any of it is not so.

How long it takes to be warm depends on the machine and on who else uses it. So if the last rounds rise, more follow:
what builds up rises in those too. ``--any-loop`` does not judge the event loop, for a machine that others use as well.
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
"""Bytes by which the memory may be larger in every round of the last third than in any of the first."""

DESCRIPTORS = 32
"""Descriptors by which their number may rise likewise."""

ROUND = 20.0
"""Seconds of a round, of which there are at least :data:`ROUNDS`."""

ROUNDS = 6
MORE = 4
"""How many times as many rounds there may be until nothing rises."""

Round = tuple[float, int]
"""The memory of the node in a round, and its descriptors."""

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


def soak(folder: pathlib.Path, seconds: float, any_loop: bool) -> list[str]:
    """Do it, print how it goes, and return what is wrong."""
    pki, report, file = PKI.make(folder), folder / "watchdog.json", folder / "soak.ini"
    with child("--origin", str(folder)) as origin:
        write_configuration(pki, file, origin.port, 0)
        with child("--node", str(file), "--report", str(report)) as node:
            load = Load(pki, node.port)
            before = node.descriptors()
            rounds = _under_load(
                load, node, seconds, lambda number: write_configuration(pki, file, origin.port, number)
            )
            left = _settled(node, before)
    blocked = judge_loop(json.loads(report.read_text()))
    return [*load.failures[:20], *judge(rounds), *([] if any_loop else blocked), *left]


def _under_load(load: Load, node: Alone, seconds: float, change: Callable[[int], None]) -> list[Round]:
    """What the last rounds took while the clients are at it; the time of two more is for warming up."""
    threads = [threading.Thread(target=load.run, args=(kind, kind in GOOD)) for kind in (*GOOD, *BAD)]
    for thread in threads:
        thread.start()
    length = min(ROUND, seconds / (ROUNDS + 2))
    several = max(ROUNDS, int(seconds / length) - 2)
    rounds: list[Round] = []
    try:
        while len(rounds) < several + 2 or (judge(rounds[-several:]) and len(rounds) < MORE * several):
            rounds.append(_round(node, length))
            change(len(rounds))
            reload(load, node, len(rounds))
            memory, descriptors = rounds[-1]
            print(f"{memory / 2**20:.1f} MiB  {descriptors} descriptors  {load.counts}", flush=True)
    finally:
        load.over.set()
        for thread in threads:
            thread.join()
    print(f"{node.seconds():.0f} s of CPU time")
    print(f"the slowest small answer took {load.slowest * 1000:.0f} ms")
    return rounds[-several:]


def _round(node: Alone, seconds: float) -> Round:
    """The memory of a round, and its descriptors. Memory creeps, and the median counts; descriptors come and go in
    crowds, and what there is between these counts."""
    end, samples = time.monotonic() + seconds, list[tuple[int, int]]()
    while not samples or time.monotonic() < end:
        samples.append((node.memory("VmRSS"), node.descriptors()))
        time.sleep(0.2)
    return median(memory for memory, _ in samples), min(descriptors for _, descriptors in samples)


def _settled(node: Alone, before: int) -> list[str]:
    """What is left when the clients have gone, and idle connections to the origin have had their time."""
    deadline = time.monotonic() + 15
    while node.descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    left = node.descriptors() - before
    return [f"{left} descriptors are left over"] if left > 0 else []


def judge(rounds: Sequence[Round]) -> list[str]:
    """What rises from round to round."""
    third = len(rounds) // 3
    wrong = []
    for which, what, limit in ((0, "bytes of memory", GROWTH), (1, "descriptors", DESCRIPTORS)):
        values = [each[which] for each in rounds]
        more = min(values[-third:]) - max(values[:third])
        if more > limit:
            wrong.append(f"{more:.0f} more {what}")
    return wrong


def judge_loop(watchdog: dict[str, Any]) -> list[str]:
    """Where the loop was blocked for too long."""
    wrong = []
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
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long at the least (default: 600)")
    parser.add_argument("--any-loop", action="store_true", help="do not judge how long the loop was blocked")
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
        wrong = soak(pathlib.Path(folder), options.seconds, options.any_loop)
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
