"""The story's last chapters, told to a cluster: a node is killed, and nobody loses anything.

Meanwhile one person of each shard likes one page after the other, through all nodes in turn; what is not answered is
sent again with the same id. So it shows how long each shard was without a primary, and each acknowledgement can be held
to what is there in the end.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from failover_bench import Probe, leader_of_most, persons_of  # noqa: E402

PATIENCE_S = 0.3  # of one request
WITHIN_S = 90     # ends a story that hangs; nothing here must be fast


class Visitor(Probe):
    """Lives by the cluster's clock, which was set."""

    def __init__(self, user, shard, nodes, at):
        super().__init__(user, shard, nodes, PATIENCE_S)
        self.at = at

    def now(self):
        return self.at


def wait(holds, within_s=WITHIN_S):
    """Whether it comes to hold."""
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def in_sync_everywhere(cluster):
    """How many shards have a primary and all their copies in sync."""
    return sum(1 for s in cluster.view()["shards"]
               if s["primary"] and len(s["in_sync"]) == cluster.state["replicas"])


def is_healthy(cluster):
    return cluster.candorctl("cluster", "health", check=False).returncode == 0


def tell(t, cluster):
    at = t.now()
    persons = persons_of(cluster, range(cluster.state["shards"]))
    visitors = [Visitor(user, shard, cluster.nodes, at) for shard, user in persons.items()]
    for v in visitors:
        v.thread.start()
    try:
        t.chapter("A node is killed, and the others serve on")
        t.check(f"a person of each of the {len(visitors)} shards likes one page after the other, through every node",
                wait(lambda: all(len(v.acked) >= 5 for v in visitors)), True)
        killed, others = kill_the_leader_of_most(t, cluster, visitors)
        check_what_is_served(t, cluster)

        t.chapter("It comes back, and catches up")
        killed.start()
        t.check(f"{killed.name} is there again: the cluster is healthy", wait(lambda: is_healthy(cluster)), True)
        t.check("every copy of every shard is in sync",
                wait(lambda: in_sync_everywhere(cluster) == cluster.state["shards"]), True)
        t.go_through([killed])
        check_what_is_served(t, cluster)
        t.go_through(cluster.nodes)
    finally:
        for v in visitors:
            v.ended.set()
        for v in visitors:
            v.thread.join(10)

    t.chapter("Nothing that was acknowledged is lost")
    for node in cluster.nodes:
        t.go_through([node])
        counted = {v.user: t.counts(v.user).get(("music", "engagement"), 0) for v in visitors}
        # What was on its way when they were ended may have been taken without an answer.
        wrong = {v.user: (len(v.acked), counted[v.user]) for v in visitors
                 if not 0 <= counted[v.user] - len(v.acked) <= 1}
        t.check(f"{sum(len(v.acked) for v in visitors)} likes were acknowledged, and all are there, once, seen through "
                f"{node.name}", wrong, {})
    t.go_through(cluster.nodes)
    t.check("every chain of the audit log holds", t.ctl("audit", "verify")["ok"], True)


def kill_the_leader_of_most(t, cluster, visitors):
    name, led = leader_of_most(cluster.view())
    killed = cluster.node(name)
    others = [n for n in cluster.nodes if n is not killed]
    moment = time.monotonic()
    killed.kill()
    t.go_through(others)
    t.say(f"kill -9 {name}, which led {len(led)} of {len(visitors)} shards")
    t.check("the likes of every person are acknowledged again",
            wait(lambda: all(v.gap(moment) is not None for v in visitors)), True)
    gaps = sorted(v.gap(moment) for v in visitors if v.shard in led)
    t.say(f"its shards were without a primary, as seen by who was waiting: {1000 * gaps[len(gaps) // 2]:.0f} ms in the "
          f"middle, {1000 * gaps[-1]:.0f} ms at most")
    view = cluster.view()
    t.check("each of its shards is led by another node",
            {s["primary"] for s in view["shards"] if s["shard"] in led} <= {n.name for n in others}, True)
    t.check("and operators are told that a node is missing", is_healthy(cluster), False)
    return killed, others


def check_what_is_served(t, cluster):
    t.check("bruno's ads", wait(lambda: len(t.ads("bruno")["ads"]) > 0), True)
    t.check("his feed", len(t.feed("bruno")) > 0, True)
    t.check("his inbox", sorted(n["channel"] for n in t.notices("bruno")), ["email", "in_app"])
    t.check("and what he is interested in", ("sports", "ai") in t.counts("bruno"), True)
