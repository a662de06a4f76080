#!/usr/bin/env python3
"""The command line of tools/cluster."""

import argparse
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import network  # noqa: E402
from local_cluster import ClusterError, LocalCluster, default_folder  # noqa: E402


def parse(arguments):
    app = argparse.ArgumentParser(prog="tools/cluster", description=(
        "A cluster of real nodes and a private etcd on this machine. candorctl finds it by itself. Only processes that "
        "it started are ever signalled."))
    app.add_argument("--dir", default=str(default_folder()), help="where it lies [%(default)s]")
    app.add_argument("--bin-dir", required=True, help=argparse.SUPPRESS)
    verbs = app.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, text):
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument("--dir", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return made

    up = verb("up", "make a cluster and wait until every node is ready")
    up.add_argument("nodes", type=int, nargs="?", default=3, metavar="N", help="how many nodes [3]")
    up.add_argument("--etcd", type=int, choices=(1, 3), default=1, help="how many members of etcd [1]")
    up.add_argument("--shards", type=int, default=64, metavar="S", help="a power of two [64]")
    up.add_argument("--replicas", type=int, metavar="N", help="of each shard [3, or as many as nodes]")
    up.add_argument("--in-sync-min", type=int, metavar="N", help="with fewer in sync no writes [2, or 1 of 1]")
    up.add_argument("--settable-clock", action="store_true", help="clocks that can be set forward")
    up.add_argument("--clock-start", metavar="TIME", help="where settable clocks begin (RFC 3339)")
    up.add_argument("--secrets", metavar="DIR",
                    help="take master.key and cluster.secret from here, for a restore [new]")
    up.add_argument("--netns", action="store_true",
                    help="a network for each member, so that `partition` can cut them off (needs root)")
    up.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                    help="a key of each node's configuration; may be repeated")
    down = verb("down", "end all and remove the folder")
    down.add_argument("--keep", action="store_true", help="leave the folder as it is")
    status = verb("status", "what runs here; `candorctl cluster status` says what the nodes think")
    status.add_argument("-o", "--output", choices=("text", "json"), default="text")
    for name, text in (("kill", "kill -9"), ("stop", "end in order"), ("start", "start again with the same data"),
                       ("pause", "SIGSTOP"), ("resume", "SIGCONT")):
        made = verb(name, text)
        made.add_argument("names", nargs="+", metavar="NODE", help="node-1, etcd-1, or etcd for all of etcd")
    part = verb("partition", "cut nodes off from all others and from etcd (--netns only); clients still reach them")
    part.add_argument("names", metavar="NODE[,NODE...]")
    part.add_argument("--from", dest="others", metavar="NODE[,NODE...]", help="only from these")
    part.add_argument("--one-way", action="store_true", help="they hear nothing, and are still heard")
    verb("heal", "undo every partition")
    verb("add", "one more node")
    logs = verb("logs", "print the end of a node's log")
    logs.add_argument("name", metavar="NODE")
    logs.add_argument("-n", "--lines", type=int, default=40)
    logs.add_argument("-f", "--follow", action="store_true")
    run = verb("exec", "run a program, such as candorctl, which finds this cluster and (--netns) its network")
    run.add_argument("command", nargs=argparse.REMAINDER)
    return app.parse_args(arguments)


def up(given):
    settings = {}
    for pair in given.set:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ClusterError(f"--set takes KEY=VALUE, not {pair}")
        settings[key] = int(value) if value.isdigit() else value
    if given.nodes < 1:
        raise ClusterError("a cluster has at least one node")
    cluster = LocalCluster.up(
        given.dir, given.bin_dir, nodes=given.nodes, etcd=given.etcd, shards=given.shards, replicas=given.replicas,
        in_sync_min=given.in_sync_min, settable_clock=given.settable_clock or bool(given.clock_start),
        clock_start=given.clock_start, secrets_from=given.secrets, netns=given.netns, settings=settings,
        say=lambda text: print(f"cluster: {text}", file=sys.stderr))
    print_status(cluster.status())
    where = "" if pathlib.Path(given.dir) == default_folder() else f"--dir {given.dir} "
    print(f"\nAsk it: tools/cluster {where}exec candorctl cluster status")


def print_status(status):
    states = collections.Counter(n["state"] for n in status["nodes"])
    print(f"{status['cluster']} in {status['folder']}: {', '.join(f'{n} {s}' for s, n in states.items())}, "
          f"{status['shards']} shards, {status['replicas']} replicas, {status['in_sync_min']} in sync at least")
    rows = [("NAME", "STATE", "READY", "PID", "URL")]
    for m in status["nodes"] + status["etcd"]:
        state = m["state"] + (", cut off" if m["cut"] else "")
        pid = str(m["pid"]) if m["state"] != "stopped" else "-"
        rows.append((m["name"], state, "yes" if m["ready"] else "no", pid, m["url"]))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for r in rows:
        print("  ".join(text.ljust(w) for text, w in zip(r, widths)).rstrip())


def act(cluster, verb, names):
    members = cluster.members_named(names)
    if verb == "start":
        for m in members:
            cluster.launch(m)
        if any(m in cluster.etcd for m in members):
            cluster.wait_for_etcd()
        for n in cluster.nodes:
            if n.member in members:
                n.wait_until_ready()
        return
    for m in members:
        if verb == "kill":
            done = m.kill()
        elif verb == "stop":
            done = m.is_alive()
            if done and not m.stop():
                print(f"cluster: {m.name} did not end in time and was killed", file=sys.stderr)
        else:
            done = m.signal(signal.SIGSTOP if verb == "pause" else signal.SIGCONT)
        if not done:
            raise ClusterError(f"{m.name} does not run")


def run_inside(cluster, command):
    """Takes this process's place."""
    if not command:
        raise ClusterError("exec needs a command")
    os.environ["PATH"] = f"{cluster.bin_dir}:{os.environ.get('PATH', '')}"
    os.environ["CANDOR_CLUSTER_FILE"] = str(cluster.folder / "cluster.json")
    with network.inside(cluster.client_namespace):
        os.execvp(command[0], command)


def main():
    given = parse(sys.argv[1:])
    if given.verb == "up":
        return up(given)
    cluster = LocalCluster.open(given.dir)
    if given.verb == "down":
        cluster.down(given.keep)
    elif given.verb == "status":
        status = cluster.status()
        print(json.dumps(status, indent=2)) if given.output == "json" else print_status(status)
    elif given.verb == "partition":
        others = given.others.split(",") if given.others else None
        cluster.partition(given.names.split(","), others, given.one_way)
    elif given.verb == "heal":
        cluster.heal()
    elif given.verb == "add":
        print(f"{cluster.add().name} is ready")
    elif given.verb == "logs":
        log = cluster.members_named([given.name])[0].log
        subprocess.run(["tail", "-n", str(given.lines), *(["-f"] if given.follow else []), str(log)])
    elif given.verb == "exec":
        run_inside(cluster, given.command)
    else:
        act(cluster, given.verb, given.names)


if __name__ == "__main__":
    try:
        main()
    except ClusterError as e:
        print(f"cluster: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
