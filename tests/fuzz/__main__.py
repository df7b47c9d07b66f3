"""Run fuzz targets with atheris: ``python -m tests.fuzz [--seconds 60] [TARGET ...]``."""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys
import tempfile

TARGETS = (
    "client_hello",
    "proxy_header",
    "request_head",
    "request_body",
    "rule_fields",
    "response_head",
    "llhttp",
    "ini",
    "feed",
    "credentials",
    "expression",
)


def main() -> None:
    """Run the targets one after another; the first one that fails ends it, with the bytes that it failed for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", choices=(*TARGETS, []), metavar="TARGET")
    arguments = parser.parse_args()
    for name in arguments.targets or TARGETS:
        sys.stderr.write(f"== {name}\n")
        child = os.fork()  # libFuzzer never returns
        if not child:
            fuzz(name, arguments.seconds)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(os.waitstatus_to_exitcode(status))


def fuzz(name: str, seconds: int) -> None:
    """Run one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["edgenode", "configparser", "tests.support.rfc9112"]):
        target = importlib.import_module(f"tests.fuzz.{name}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={folder}/", "-max_len=8192", "-timeout=10"]
    atheris.Setup([name, *options, str(corpus)], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
