#!/usr/bin/env python3
"""Compares our eviction policies, and our optimum, with an independent implementation.

The same trace goes through `bo-bench policy` (every access visible) and through libCacheSim, the
simulator of https://libcachesim.com, as published on PyPI. Prints the miss ratios of both, and
fails when they differ: at all where the algorithm leaves no choice, and by more than a tolerance
for W-TinyLFU, whose sketch is a matter of hash functions.

Without --trace a trace is made: few hot pages, scans and a loop, from a seed.

It makes a virtual environment of its own (--venv) and installs one pinned version there. Where
python3 has no venv module or nothing can be downloaded it says so and ends with status 77.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

PACKAGE = "libcachesim==0.3.5"
SKIPPED = 77
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

MANIFEST = os.path.join(ROOT, "Cargo.toml")
CARGO = ["cargo", "run", "-q", "--release", "--manifest-path", MANIFEST, "-p", "bo-bench", "--"]

# Ours, theirs, and by how much the miss ratios may differ.
POLICIES = {
    "lru": ("LRU", {}, 0.0),
    "clock": ("Clock", {}, 0.0),
    "2q": ("TwoQ", {}, 0.0),
    "arc": ("ARC", {}, 0.0),
    "sieve": ("Sieve", {}, 0.0),
    "s3-fifo": ("S3FIFO", {}, 0.0),
    "w-tinylfu": ("WTinyLFU", {}, 0.03),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", help="an oracleGeneral trace [default: one is made]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the trace that is made")
    parser.add_argument("--pages", type=int, default=20000, help="pages of the trace that is made")
    parser.add_argument("--pool", action="append", type=float, help="percent [1 5 10 30]")
    parser.add_argument("--bench", help="the bo-bench binary [default: cargo builds it]")
    parser.add_argument("--venv", default=os.path.join(ROOT, "target", "check-policies"))
    return parser.parse_args()


def inside(venv):
    """Goes on with the venv's own interpreter, which it makes if need be."""
    python = os.path.join(venv, "bin", "python")
    stamp = os.path.join(venv, PACKAGE)
    if not os.path.exists(stamp):
        steps = [
            [sys.executable, "-m", "venv", venv],
            [python, "-m", "pip", "install", "--quiet", PACKAGE],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                print(f"not run: {PACKAGE} cannot be had here: {' '.join(last)}", file=sys.stderr)
                sys.exit(SKIPPED)
        with open(stamp, "w", encoding="utf-8"):
            pass
    if os.path.realpath(sys.prefix) != os.path.realpath(venv):
        os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:]])


def bench(args, *words):
    command = [args.bench] if args.bench else CARGO
    try:
        done = subprocess.run([*command, "policy", *words], stdout=subprocess.PIPE, check=False)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error}")
    if done.returncode != 0:
        sys.exit(f"bo-bench policy {' '.join(words)} failed")
    return done.stdout


def theirs(name, options, pages, trace):
    import libcachesim

    parameters = libcachesim.ReaderInitParam(ignore_obj_size=True)
    reader = libcachesim.TraceReader(trace, libcachesim.TraceType.ORACLE_GENERAL_TRACE, parameters)
    never = 2**31 - 1
    cache = getattr(libcachesim, name)(pages, default_ttl=never, hashpower=18, **options)
    ratio, _ = cache.process_trace(reader)
    return ratio


def compare(report, trace):
    """One line for each policy and pool; true if all are equal, as far as they must be."""
    head = report["traces"][0]["trace"]
    accesses, equal = head["accesses"], True
    print(f"{head['name']}: {accesses} accesses to {head['pages']} pages; {PACKAGE}")
    print("    pool policy            ours    theirs    misses    theirs  differ by")
    for pool in report["traces"][0]["pools"]:
        pages = pool["bytes"] // head["page_bytes"]
        rows = [("optimum", pool["optimum"], ("Belady", {}, 0.0))]
        for run in pool["runs"]:
            if run["policy"] in POLICIES:
                rows.append((run["policy"], run, POLICIES[run["policy"]]))
        for ours, figures, (name, options, tolerance) in rows:
            misses = round(theirs(name, options, pages, trace) * accesses)
            gap = abs(misses - figures["misses"]) / accesses
            right = misses == figures["misses"] or gap <= tolerance and tolerance > 0
            equal = equal and right
            verdict = f"{gap:.5f}" + ("" if right else "  WRONG")
            verdict += f" (at most {tolerance})" if tolerance else ""
            ratio = misses / accesses
            print(
                f"{pool['pool']:>8} {ours:12} {figures['miss_ratio']:9.5f} {ratio:9.5f} "
                f"{figures['misses']:9} {misses:9}  {verdict}"
            )
    return equal


def main():
    args = arguments()
    inside(args.venv)
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.abspath(args.trace) if args.trace else os.path.join(folder, "mix")
        if not args.trace:
            seed, pages = str(args.seed), str(args.pages)
            words = ["--scenario", "mix", "--seed", seed, "--pages", pages]
            bench(args, *words, "--write-trace", trace)
        pools = [word for pool in args.pool or [1, 5, 10, 30] for word in ("--pool", f"{pool:g}%")]
        report = bench(args, "--trace", trace, "--view", "all", "--json", "-", *pools)
        if not compare(json.loads(report), trace):
            sys.exit("NOT equal: see the lines marked WRONG")
        print("equal: every policy misses as often as in the other implementation")


main()
