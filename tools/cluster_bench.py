#!/usr/bin/env python3
"""What replication costs: a cluster of three nodes beside one node, in turn on the same machine.

Each round makes a cluster of one node (one copy of each shard) and one of three (three copies, two in sync at least), and
loads it with candor-load in a closed loop through all its nodes: once in requests of many events, once of one. Prints the
medians over the rounds: acknowledged events a second, time of a request, CPU seconds of all nodes for an event.

  tools/cluster_bench.py --rounds 3 --out cluster-bench.json
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "cluster_tool"))
from local_cluster import ClusterError, LocalCluster  # noqa: E402

SHAPES = {"100 events a request": 100, "one event a request": 1}
CONNECTIONS = 6  # over all nodes
USERS = 1000


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_load(cluster, seconds, batch, prefix, *more):
    """candor-load through every node at once; the sums and the worst quantiles."""
    nodes = [n for n in cluster.nodes]
    command = [str(pathlib.Path(cluster.bin_dir) / "candor-load"), "--users", str(USERS), "--duration", f"{seconds}s",
               "--batch", str(batch), "--concurrency", str(CONNECTIONS // len(nodes)), "-o", "json", *more]
    loads = [subprocess.Popen([*command, "--node", n.url, "--prefix", f"{prefix}-{n.name}", "--seed", str(i + 1)],
                              stdout=subprocess.PIPE, env={**os.environ, **n.client_environment()})
             for i, n in enumerate(nodes)]
    answers = [json.loads(load.communicate()[0]) for load in loads]
    acknowledged = sum(a["verdicts"].get(v, 0) for a in answers for v in ("accepted", "withheld", "duplicate"))
    return acknowledged, sum(a["failed_requests"] for a in answers), \
        {q: max(a["latency_ms"][q] for a in answers) for q in ("p50", "p99")}


def one_cluster(given, nodes):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-bench-"))
    cluster = LocalCluster.up(folder / "cluster", given.bin_dir, nodes=nodes, shards=given.shards)
    try:
        cluster.wait_until_healthy()
        run_load(cluster, 2, 100, "prepare", "--prepare")
        figures = {}
        for shape, batch in SHAPES.items():
            before = sum(cpu_seconds(n.member.pid) for n in cluster.nodes)
            acknowledged, failed, latency = run_load(cluster, given.seconds, batch, f"b{batch}")
            used = sum(cpu_seconds(n.member.pid) for n in cluster.nodes) - before
            figures[shape] = {"events_per_s": acknowledged / given.seconds, "failed_requests": failed,
                              "p50_ms": latency["p50"], "p99_ms": latency["p99"],
                              "cpu_us_per_event": 1e6 * used / max(1, acknowledged)}
        return figures
    finally:
        cluster.down()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=8)
    options.add_argument("--shards", type=int, default=64)
    options.add_argument("--bin-dir", default=str(HERE.parent / "build" / "release" / "bin"))
    options.add_argument("--out", help="all figures, as JSON")
    given = options.parse_args()
    rounds = {1: [], 3: []}
    for i in range(given.rounds):
        for nodes, figures in rounds.items():
            figures.append(one_cluster(given, nodes))
            print(f"round {i + 1}/{given.rounds}, {nodes} nodes: {json.dumps(figures[-1])}", file=sys.stderr)
    medians = {f"{nodes} nodes, {shape}": {k: round(statistics.median(f[shape][k] for f in figures), 3)
                                           for k in figures[0][shape]}
               for nodes, figures in rounds.items() for shape in SHAPES}
    whole = {"rounds": given.rounds, "seconds": given.seconds, "shards": given.shards, "connections": CONNECTIONS,
             "users": USERS, "cpus": os.cpu_count(), "machine": platform.machine(), "medians": medians,
             "all": {str(n): f for n, f in rounds.items()}}
    if given.out:
        pathlib.Path(given.out).write_text(json.dumps(whole, indent=1) + "\n")
    for what, m in medians.items():
        print(f"{what}: {m['events_per_s']:.0f} events/s, p50 {m['p50_ms']:.2f} ms, p99 {m['p99_ms']:.2f} ms, "
              f"{m['cpu_us_per_event']:.0f} us of CPU an event, {m['failed_requests']:.0f} failed requests")


if __name__ == "__main__":
    try:
        main()
    except ClusterError as e:
        print(f"cluster_bench: {e}", file=sys.stderr)
        sys.exit(1)
