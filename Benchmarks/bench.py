# Measures everything that the README states, in one run, and prints it for a person and as Markdown.

import argparse
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Tests", "e2e"))

import attribution  # noqa: E402
import decode  # noqa: E402
import dismissed  # noqa: E402
import hooks  # noqa: E402
import live  # noqa: E402
import offline  # noqa: E402
from report import idleness, machine  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the toolkit beside its competitors.")
    parser.add_argument("--quick", action="store_true", help="once and short: shows that it works, not how fast")
    parser.add_argument("parts", nargs="*", help="live, hooks, attribution, dismissed, decode, offline; all if none is named")
    options = parser.parse_args()
    rounds, requests = (1, 10_000) if options.quick else (5, 200_000)
    # Throughput of three processes on two cores varies most: more rounds, and shorter ones.
    live_rounds, live_requests = (1, 10_000) if options.quick else (11, 100_000)
    where = f"{machine()}; {idleness()}"
    with tempfile.TemporaryDirectory(prefix="tap-bench.") as work:
        parts = {
            "live": lambda: live.measure(work, live_rounds, live_requests),
            "hooks": lambda: hooks.measure(work, min(rounds, 3), requests),
            "attribution": lambda: attribution.measure(work, rounds, 5_120 if options.quick else 256_000),
            "dismissed": lambda: dismissed.measure(work, min(rounds, 3), 10**8 if options.quick else 10**10),
            "decode": lambda: decode.measure(work, rounds, 20_000 if options.quick else 500_000),
            "offline": lambda: offline.measure(work, rounds, 2_000 if options.quick else 120_000),
        }
        unknown = set(options.parts) - set(parts)
        if unknown:
            parser.error(f"no such part: {', '.join(sorted(unknown))}; expected {', '.join(parts)}")
        tables = []
        print(f"{where}\n", flush=True)
        for name in options.parts or parts:
            for table in parts[name]():
                print(table.text(), flush=True)
                tables.append(table)
    if not options.quick:
        print(f"As Markdown, for docs/performance.md:\n\nMeasured on: {where}.\n")
        print("\n".join(table.markdown() for table in tables))


main()
