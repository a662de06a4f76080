#!/usr/bin/env python3
"""The command line of candor-chaos."""

import argparse
import json
import pathlib
import secrets
import signal
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster_tool"), str(HERE.parent / "story")]
import checker  # noqa: E402
from local_cluster import ClusterError  # noqa: E402

UNHEALTHY = 10  # as candorctl: what was looked at is not as it should be


def check(given):
    verdict = checker.check_file(given.history)
    print(json.dumps(verdict) if given.output == "json" else checker.show(verdict))
    return 0 if verdict["ok"] else UNHEALTHY


def run(given):
    import run as one
    if given.seed is None:
        given.seed = secrets.randbelow(1_000_000)
    result = one.Run(given, lambda text: print(text, file=sys.stderr, flush=True)).work()
    print(json.dumps(result) if given.output == "json" else one.show(result))
    return 0 if result["ok"] else UNHEALTHY


def matrix(given):
    import matrix as rows
    results = rows.measure(given, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(results) if given.output == "json" else rows.show(results))
    return 0 if all(rows.fine(r) for r in results) else UNHEALTHY


def show_list(given):
    import faults
    rows = {name: made.__doc__.strip() for name, made in faults.BY_NAME.items()}
    if given.output == "json":
        print(json.dumps(rows))
    else:
        print("\n".join(f"{name:<30} {text}" for name, text in rows.items()))
    return 0


def parse(arguments):
    app = argparse.ArgumentParser(prog="candor-chaos", description=(
        "Hurts a cluster of real nodes under load, writes down what its clients saw, and checks that against what is "
        "promised."))
    app.add_argument("--bin-dir", default=str(HERE.parents[1] / "build" / "release" / "bin"), help=argparse.SUPPRESS)
    verbs = app.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, run, text):
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument("-o", "--output", choices=("text", "json"), default="text")
        made.set_defaults(run=run)
        return made

    made = verb("check", check, "check a history; exits 10 where something in it must not be")
    made.add_argument("history", metavar="HISTORY", help="as docs/reference/history.md has it")
    made = verb("run", run, "run a cluster under load and hurt it; exits 10 where something was not as promised")
    made.add_argument("--seed", type=int, help="of the schedule and the choice of victims [any]")
    made.add_argument("--minutes", type=float, default=2, metavar="M", help="for how long faults go on [2]")
    made.add_argument("--faults", metavar="LIST", help="which, with commas; `candor-chaos list` names them [all]")
    made.add_argument("--per-hour", type=float, metavar="N", help="faults an hour [one a few seconds after another]")
    made.add_argument("--nodes", type=int, default=3, metavar="N", help="[3]")
    made.add_argument("--etcd", type=int, choices=(1, 3), default=3, help="members of etcd [3]")
    made.add_argument("--shards", type=int, default=16, metavar="S", help="a power of two [16]")
    made.add_argument("--rate", type=int, default=240, metavar="N", help="events and reads a second [240]")
    made.add_argument("--history", metavar="FILE", help="where the history goes [a temporary file]")
    made.add_argument("--report", metavar="FILE", help="write an HTML page of the run here")
    made.add_argument("--keep", action="store_true", help="keep logs, data and history, whatever is found")
    made = verb("matrix", matrix, "measure the fault matrix row by row; prints a table in markdown")
    made.add_argument("--rows", metavar="LIST", help="names of faults, with commas [all rows]")
    made.add_argument("--rounds", type=int, metavar="N", help="of each row [20, or 3 where a round is long]")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--nodes", type=int, default=3)
    made.add_argument("--shards", type=int, default=16)
    made.add_argument("--probes", type=int, default=6, help="shards that are watched a round [6]")
    made.add_argument("--rate", type=int, default=120, help="events and reads a second beside them [120]")
    made.add_argument("--out", metavar="FILE", help="write the figures as JSON here after each row")
    verb("list", show_list, "the faults that there are")
    return app.parse_args(arguments)


def end_in_order(number, _):
    """What was started is ended as well; a second signal, as `timeout` sends it, does not break that off."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    given = parse(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_in_order)
    return given.run(given)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (checker.HistoryError, ClusterError, OSError) as e:
        print(f"candor-chaos: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
