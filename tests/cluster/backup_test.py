#!/usr/bin/env python3
"""A backup of a whole cluster at one cut while it is under load, and its restore into an empty one: what was
acknowledged before the cut is there exactly once, money is not more than it was, the audit chains hold, and who was
erased stays erased.
"""

import concurrent.futures
import json
import random
import shutil
import threading
import time

import process_case
from process_case import Node
from replication_case import LocalCluster, ReplicationCase, expected, now

BUDGET = 3_000_000
PERSONS = 20


def campaign():
    return {"advertiser": "a-1", "bid_micros": 20_000, "quality": 100, "budget": {"total_micros": BUDGET},
            "schedule": {"from": "2020-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z"},
            "creatives": [{"id": "cr", "title": "t", "url": "https://example.org"}]}


class Backup(ReplicationCase):
    # -- what both kinds of cluster have: something to call, something to run candorctl with

    def ctl(self, at, *arguments, code=0):
        done = at.candorctl(*arguments, check=False)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def ctl_json(self, at, *arguments, code=0):
        return json.loads(self.ctl(at, *arguments, "-o", "json", code=code).stdout)

    def wait_until(self, holds, what, within_s=60):
        until = time.monotonic() + within_s
        while not holds():
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.1)

    def put_campaigns(self, node):
        for i in range(4):
            answer = node.call("PUT", f"/v1/campaigns/c-{i}", campaign())
            self.assertIn(answer.status, (200, 201), answer.body)

    def spend(self, node, users):
        """Matches, and tells that it was shown: micros that were acknowledged as settled."""
        settled = 0
        for user in users:
            answer = node.call("POST", "/v1/ads/match", {"match": {"user": user, "k": 2}})
            if answer.status != 200:
                continue
            for ad in answer.json()["ads"]:
                told = node.call("POST", "/v1/ads/events",
                                 {"event": "impression", "impression": ad["impression"], "user": user})
                if told.status == 200 and told.json()["status"] == "accepted":
                    settled += ad["price_micros"]
        return settled

    def budgets(self, node):
        found = {}
        for i in range(4):
            answer = node.call("GET", f"/v1/campaigns/c-{i}/budget")
            self.assertEqual(answer.status, 200, answer.body)
            found[f"c-{i}"] = answer.json()
        return found

    def kinds_of_files(self, folder):
        return {p.suffix for p in folder.rglob("*") if p.is_file()}

    # -- three nodes

    def test_a_cluster_under_load_is_cut_and_comes_back_in_an_empty_one(self):
        first = self.start_cluster()
        node = first.nodes[0]
        self.put_campaigns(node)
        load = self.start_load(first, users=60)
        load.wait_for_acks(400)
        erased = load.users[0]
        persons = load.users[1:]
        spending = threading.Event()
        spent = []

        def go_on_spending():
            chance = random.Random(5)
            while not spending.is_set():
                spent.append(self.spend(chance.choice(first.nodes), chance.sample(persons, 3)))
        spender = threading.Thread(target=go_on_spending, daemon=True)
        spender.start()
        self.addCleanup(spending.set)
        self.wait_until(lambda: sum(spent) > 0, "no ad was shown")

        data, keys = self.folder / "data", self.folder / "keys"
        before = set(load.acked)
        made = self.ctl_json(first, "backup", "create", data, "--keys", keys)
        after = set(load.sent)
        self.assertEqual(made["shards"], 16)
        self.assertGreater(len(set(load.acked) - before), 0, "the load stood still")
        load.wait_for_acks(200)  # it goes on, and money too
        shown = sum(spent)
        self.wait_until(lambda: sum(spent) > shown, "money stands still after the cut")
        spending.set()
        spender.join()
        load.stop()
        terms = self.terms(first)

        # Nothing in the data is a key, and neither folder holds the secrets.
        self.assertEqual(self.kinds_of_files(data), {".rows", ".json"})
        self.assertEqual(self.kinds_of_files(keys), {".pages", ".json"})
        secrets = [(first.folder / "secrets" / f).read_text().strip() for f in ("master.key", "cluster.secret")]
        for folder in (data, keys):
            for file in folder.rglob("*"):
                if file.is_file():
                    for secret in secrets:
                        self.assertNotIn(secret.encode(), file.read_bytes())
                        self.assertNotIn(bytes.fromhex(secret), file.read_bytes())

        kept_secrets = self.folder / "secrets"
        shutil.copytree(first.folder / "secrets", kept_secrets)
        # A cluster that holds something takes no backup, and is not harmed by the attempt.
        refused = self.ctl(first, "backup", "restore", data, "--keys", keys, code=1)
        self.assertIn("empty cluster", refused.stderr)
        self.assertEqual(first.candorctl("cluster", "health", check=False).returncode, 0)
        # An erasure after the cut, whose receipt the key backup of the next day honours.
        self.assertEqual(node.call("DELETE", f"/v1/users/{erased}").status, 200)
        later_data, later_keys = self.folder / "later-data", self.folder / "later-keys"
        self.ctl(first, "backup", "create", later_data, "--keys", later_keys)
        first.down(keep=True)

        # Verified without any node.
        for folder, kind in ((data, "data"), (keys, "keys"), (later_data, "data"), (later_keys, "keys")):
            verified = self.ctl_json(self.start_ctl(), "backup", "verify", folder)
            self.assertTrue(verified["ok"])
            self.assertEqual(verified["kind"], kind)
        manifest = json.loads((data / "backup.json").read_text())
        self.assertEqual(self.ctl_json(self.start_ctl(), "backup", "verify", data)["audit_entries"],
                         sum(f["audit_entries"] for f in manifest["files"]))

        second = self.start_second(kept_secrets)
        done = self.ctl_json(second, "backup", "restore", data, "--keys", keys)
        self.assertEqual(done["left_out"], 0)
        second.wait_until_healthy()
        for shard, term in self.terms(second).items():
            self.assertGreater(term, terms[shard] + 60_000, "a nonce might come again")
        refused = self.ctl(second, "backup", "restore", data, "--keys", keys, code=1)
        self.assertIn("restored", refused.stderr)
        self.check_events(second, load, before, after)
        self.check_money(second, persons)
        self.assertEqual(self.leaders_killed_and_back(second), 0)
        self.check_events(second, load, before, after)
        second.down(keep=True)

        # Older data with newer keys: who was erased since is left out, all others are there.
        third = self.start_second(kept_secrets, name="third")
        done = self.ctl_json(third, "backup", "restore", data, "--keys", later_keys)
        self.assertEqual(done["left_out"], 1)
        third.wait_until_healthy()
        self.assertEqual(third.nodes[0].call("GET", f"/v1/users/{erased}").status, 404)
        counted = self.count(third.nodes[0], persons)
        self.assertTrue(all(counted[user]["ids"] for user in persons))

    def leaders_killed_and_back(self, cluster):
        """What was restored is on every node: each may die."""
        for victim in list(cluster.nodes):
            victim.kill()
            self.wait_until(lambda: all(s["serving"] for s in cluster.view()["shards"]), "a shard is not served", 90)
            victim.start()
            cluster.wait_until_healthy()
        return sum(1 for n in cluster.nodes if not n.member.is_alive())

    def start_second(self, secrets, name="second"):
        cluster = LocalCluster.up(self.folder / name, process_case.bin_dir, nodes=3, shards=16, secrets_from=secrets)
        self.addCleanup(cluster.down)
        self.addCleanup(self.show_logs, cluster)
        cluster.wait_until_healthy()
        return cluster

    def start_ctl(self):
        """candorctl where no node runs."""
        return Node(process_case.bin_dir, self.folder / "nowhere")

    def check_events(self, cluster, load, before, after):
        """All that was acknowledged before the cut, and nothing that was not sent before its end; once."""
        least, most = expected(load, before), expected(load, after)
        for node in cluster.nodes:
            counted = self.count(node, load.users)
            for user in load.users:
                for what, n in least[user].items():
                    self.assertGreaterEqual(counted[user][what], n, f"{user} lost {what}")
                for what, n in counted[user].items():
                    self.assertLessEqual(n, most[user][what], f"{user} has {what} that never was")
            verified = node.admin("audit_verify")
            self.assertTrue(verified["ok"], verified)
        again = [load.sent[id] for id in sorted(before)[:300]]
        for verdict in cluster.nodes[0].events(again):
            self.assertEqual(verdict["status"], "duplicate", verdict)

    def check_money(self, cluster, users):
        """Spends until nothing is left: all in all never more than the budget, the part before the cut included."""
        node = cluster.nodes[0]
        one = {"match": {"user": users[0], "k": 1}}
        self.wait_until(lambda: node.call("POST", "/v1/ads/match", one).json().get("ads"),
                        "no ad comes after the restore")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: self.spend(n, users), [n for n in cluster.nodes for _ in range(4)]))
        for id, budget in self.budgets(node).items():
            self.assertLessEqual(budget["settled_micros"] + budget["reserved_micros"], BUDGET, (id, budget))
            self.assertLessEqual(budget["lent_micros"], BUDGET, (id, budget))

    def test_a_primary_that_dies_takes_its_part_of_the_cut_along_and_another_is_made(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster, users=60)
        load.wait_for_acks(300)
        data, keys = self.folder / "data", self.folder / "keys"
        victim = cluster.nodes[-1]
        led = [s["shard"] for s in cluster.view()["shards"] if s["primary"] == victim.name]
        kept = [s["shard"] for s in cluster.view()["shards"] if s["primary"] == cluster.nodes[0].name]
        cluster.nodes[0].admin("backup_cut", backup="by-hand")
        victim.kill()
        load.wait_until_all_are_served()
        for shard, status in ((led[0], 404), (kept[0], 200)):
            part = cluster.nodes[0].call("POST", "/v1/admin/backup_part", {"backup": "by-hand", "shard": shard})
            self.assertEqual(part.status, status, part.body)
        cluster.nodes[0].call("POST", "/v1/admin/backup_end", {"backup": "by-hand"})
        victim.start()
        cluster.wait_until_healthy()
        going = threading.Timer(0.3, victim.kill)
        going.start()
        before = set(load.acked)
        self.ctl(cluster.nodes[0], "backup", "create", data, "--keys", keys)
        after = set(load.sent)
        going.join()
        self.assertTrue(self.ctl_json(self.start_ctl(), "backup", "verify", data)["ok"])
        load.stop()
        secrets = self.folder / "secrets"
        shutil.copytree(cluster.folder / "secrets", secrets)
        cluster.down(keep=True)
        second = self.start_second(secrets)
        self.ctl(second, "backup", "restore", data, "--keys", keys)
        second.wait_until_healthy()
        self.check_events(second, load, before, after)

    # -- one node

    def test_one_node_goes_the_same_way(self):
        first = self.start_node("first", flags=["--shards", "4"])
        self.introduce(first, *[f"u-{i}" for i in range(PERSONS)])
        events = [{"id": f"e-{i}", "user": f"u-{i % PERSONS}", "at": now(), "kind": "engagement", "action": "like",
                   "object": {"id": f"p-{i}", "topics": ["outdoors"]}} for i in range(200)]
        self.assertEqual({v["status"] for v in first.events(events)}, {"accepted"})
        old_keys = self.folder / "old-keys"
        self.ctl(first, "backup", "create", self.folder / "old-data", "--keys", old_keys)
        self.assertEqual(first.call("DELETE", "/v1/users/u-0").status, 200)
        self.erased_status = first.call("GET", "/v1/users/u-0").status
        data, keys = self.folder / "data", self.folder / "keys"
        self.ctl(first, "backup", "create", data, "--keys", keys)
        first.stop()

        with self.subTest("other secrets are refused"):
            other = self.start_node("other", flags=["--shards", "4"])
            self.assertIn("secrets", self.ctl(other, "backup", "restore", data, "--keys", keys, code=1).stderr)
            other.kill()
        with self.subTest("another number of shards is refused"):
            other = self.start_with_secrets(first, "eight", shards=8)
            self.assertIn("shards", self.ctl(other, "backup", "restore", data, "--keys", keys, code=1).stderr)
            other.kill()

        second = self.start_with_secrets(first, "second")
        with self.subTest("without keys it is refused, and nothing is begun"):
            self.assertIn("--keys", self.ctl(second, "backup", "restore", data, code=1).stderr)
        # With keys of before the erasure.
        done = self.ctl_json(second, "backup", "restore", data, "--keys", old_keys)
        self.assertEqual((done["persons"], done["left_out"]), (PERSONS - 1, 0))
        self.check_one_node(second, events)
        self.assertEqual(second.stop(), 0)
        second.start()
        self.check_one_node(second, events)
        # New persons and erasures go on.
        self.introduce(second, "u-new")
        self.assertEqual(second.call("DELETE", "/v1/users/u-1").status, 200)
        actions = [r["action"] for r in second.call("GET", "/v1/audit?limit=1000").json()["records"]]
        for action in ("backup_begun", "keys_backed_up", "backup_restored", "user_erased"):
            self.assertIn(action, actions)

        # The keys that the restored node has do not open u-0 in the older data either.
        third_keys = self.folder / "third-keys"
        self.ctl(second, "backup", "create", self.folder / "third-data", "--keys", third_keys)
        second.stop()
        third = self.start_with_secrets(first, "third")
        done = self.ctl_json(third, "backup", "restore", self.folder / "old-data", "--keys", third_keys)
        self.assertEqual(done["left_out"], 2)
        for user in ("u-0", "u-1"):
            self.assertEqual(third.call("GET", f"/v1/users/{user}").status, 404)
        self.assertEqual(third.call("GET", "/v1/users/u-2").status, 200)

    def check_one_node(self, node, events):
        self.assertEqual(node.call("GET", "/v1/users/u-0").status, self.erased_status)
        for i in range(1, PERSONS):
            export = node.call("GET", f"/v1/users/u-{i}/export").json()
            self.assertEqual(export["events_remembered"], 200 // PERSONS)
        for verdict in node.events(events):
            erased = verdict["id"] in {e["id"] for e in events if e["user"] == "u-0"}
            self.assertEqual(verdict["status"], "withheld" if erased else "duplicate", verdict)
        self.assertTrue(node.admin("audit_verify")["ok"])

    def start_with_secrets(self, like, name, shards=4):
        folder = self.folder / name / "data" / "keys"
        folder.mkdir(parents=True, mode=0o700)
        for file in ("master.key", "cluster.secret"):
            shutil.copy(like.data / "keys" / file, folder / file)
        return self.start_node(name, flags=["--shards", str(shards)])

    def test_a_damaged_backup_is_found_and_not_restored(self):
        node = self.start_node("first", flags=["--shards", "4"])
        self.introduce(node, "u-1")
        data = self.folder / "data"
        self.ctl(node, "backup", "create", data)
        file = sorted((data / "shards").iterdir())[2]
        whole = file.read_bytes()
        for damaged in (whole[:-1], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b""):
            file.write_bytes(damaged)
            found = self.ctl(node, "backup", "verify", data, code=10)
            self.assertIn("0002.rows", found.stdout)
            self.assertIn("0002.rows", self.ctl(node, "backup", "restore", data, code=1).stderr)
        file.write_bytes(whole)
        self.ctl(node, "backup", "verify", data)
        (data / "backup.json").unlink()
        self.ctl(node, "backup", "verify", data, code=1)
        self.ctl(node, "backup", "create", data, code=1)  # it is not empty


if __name__ == "__main__":
    process_case.main()
