#!/usr/bin/env python3
"""Ad decisions end to end: one node with many campaigns, asked by candor-load in a closed loop.

Each round measures decisions (`POST /v1/ads/match`: the person's record, the index, the auction, price and caps
reserved in a synced write) and, through the same server and the same number of connections, `GET /livez`, which no
actor answers: what the decision costs beside what HTTP costs. Prints medians over the rounds.

  tools/ads_bench.py --campaigns 100000 --rounds 3 --out ads-bench.json
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "story"))
from node import Node  # noqa: E402

TOPICS = ("outdoors", "travel", "music", "books", "gaming", "pets", "technology", "food_drink", "sports", "science")
ADVERTISERS = 500
USERS = 1000


def campaigns(count, seed):
    """(id, body): an advertiser's campaigns share a clause, topics follow Zipf's law, budgets never end."""
    chance = random.Random(seed)
    shares = [1 / (rank + 1) for rank in range(len(TOPICS))]
    for number in range(count):
        advertiser = number % ADVERTISERS
        country = ("US", "US", "US", "CA", "IN")[advertiser % 5]
        topics = ", ".join(sorted(set(chance.choices(TOPICS, shares, k=1 + advertiser % 3))))
        wants = f"country = {country} and topics one of ({topics})"
        if number % 4 == 0:
            wants += f" and device in ({chance.choice(('phone', 'desktop'))})"
        yield f"bench-{number}", {
            "advertiser": f"advertiser-{advertiser}", "bid_micros": chance.randrange(500, 20_000),
            "quality": chance.randrange(50, 200), "budget": {"total_micros": 10**12}, "targeting": wants,
            "schedule": {"from": "2020-01-01T00:00:00Z", "to": "2040-01-01T00:00:00Z"},
            "creatives": [{"id": "one", "title": "An ad", "url": f"https://advertiser-{advertiser}.example/"}]}


def put_all(node, count, seed, threads=32):
    """Campaigns a second."""
    began = time.monotonic()
    made = list(campaigns(count, seed))

    def put(part):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        for id, body in made[part::threads]:
            connection.request("PUT", f"/v1/campaigns/{id}", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status not in (200, 201):
                raise RuntimeError(f"{id}: {answer.status} {text[:300]}")
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, range(threads)))
    return count / (time.monotonic() - began)


def wait_until_known(node, last):
    until = time.monotonic() + 60
    while f'"{last}"' not in node.call("GET", f"/v1/campaigns?after={last[:-1]}&limit=20").body:
        if time.monotonic() > until:
            raise RuntimeError(f"{last} is not in the node's catalogue after a minute")
        time.sleep(0.2)


def load(given, node, *arguments):
    done = subprocess.run([str(pathlib.Path(given.bin_dir) / "candor-load"), "--node", node.url, "--users", str(USERS),
                           "--concurrency", str(given.connections), "-o", "json", *arguments],
                          stdout=subprocess.PIPE, check=True, env=node.client_environment())
    return json.loads(done.stdout)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--campaigns", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--bin-dir", default=str(HERE.parent / "build" / "release" / "bin"))
    options.add_argument("--out", help="all figures, as JSON")
    given = options.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-bench-"))
    node = Node(given.bin_dir, folder).start()
    try:
        put_per_s = put_all(node, given.campaigns, given.seed)
        print(f"{given.campaigns} campaigns put, {put_per_s:.0f}/s", file=sys.stderr)
        wait_until_known(node, f"bench-{given.campaigns - 1}")
        load(given, node, "--prepare", "--events", "20000", "--mix", "ai=0,engagement=100")
        rounds = {"ads": [], "livez": []}
        for i in range(given.rounds):
            for what, figures in rounds.items():
                told = load(given, node, "--ask", what, "--duration", f"{given.seconds}s", "--seed", str(i + 1))
                figures.append({"per_s": told["queries_per_s"], "p50_ms": told["query_latency_ms"]["p50"],
                                "p99_ms": told["query_latency_ms"]["p99"], "failed": told["failed_requests"],
                                "with_an_ad": told["ads"] / max(1, told["queries"])})
                print(f"round {i + 1}/{given.rounds}, {what}: {json.dumps(figures[-1])}", file=sys.stderr)
    finally:
        node.kill()
        shutil.rmtree(folder, ignore_errors=True)
    medians = {what: {k: statistics.median(f[k] for f in figures) for k in figures[0]}
               for what, figures in rounds.items()}
    if given.out:
        pathlib.Path(given.out).write_text(json.dumps(
            {"campaigns": given.campaigns, "rounds": given.rounds, "seconds": given.seconds, "users": USERS,
             "connections": given.connections, "cpus": os.cpu_count(), "machine": platform.machine(),
             "put_per_s": put_per_s, "medians": medians, "all": rounds}, indent=1) + "\n")
    for what, m in medians.items():
        print(f"{what}: {m['per_s']:.0f}/s, p50 {m['p50_ms']:.2f} ms, p99 {m['p99_ms']:.2f} ms, "
              f"{m['failed']:.0f} failed, {100 * m['with_an_ad']:.1f} % with an ad")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.CalledProcessError) as e:
        print(f"ads_bench: {e}", file=sys.stderr)
        sys.exit(1)
