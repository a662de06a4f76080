#!/usr/bin/env python3
"""The command line of candor-chaos."""

import argparse
import json
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster_tool"), str(HERE.parent / "story")]
import checker  # noqa: E402

UNHEALTHY = 10  # as candorctl: what was looked at is not as it should be


def check(given):
    verdict = checker.check_file(given.history)
    print(json.dumps(verdict) if given.output == "json" else checker.show(verdict))
    return 0 if verdict["ok"] else UNHEALTHY


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
    return app.parse_args(arguments)


def main():
    given = parse(sys.argv[1:])
    return given.run(given)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (checker.HistoryError, OSError) as e:
        print(f"candor-chaos: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
