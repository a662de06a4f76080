#!/usr/bin/env python3
"""A node whose disk is really full: it takes no new data and says so, goes on reading and erasing, and takes data again
by itself when there is room. The disk is a small file system in memory that the test mounts, so it takes root.
"""

import contextlib
import os
import shutil
import subprocess
import time
import types
import unittest

import process_case
from replication_case import ReplicationCase, now

MIB = 1 << 20
LOW = 96 * MIB
RESERVE = 64 * MIB
LOAD = {"users": 40, "workers": 2, "batch": 5}  # a log that the reserve has room for
SETTINGS = {"disk_low_bytes": LOW, "disk_reserve_bytes": RESERVE}
PATIENCE_S = 60


class SmallDisk:
    """A file system of its own on `folder`, which another than the node fills up."""

    def __init__(self, folder, size_mib=640):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0700", "candor-test", str(folder)],
                       check=True, capture_output=True, text=True)

    def unmount(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], capture_output=True)

    def free_bytes(self):
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave=0):
        """Until so little is free; at 0 until nothing is, or the node has given up its reserve."""
        with open(self.folder / "filler", "ab") as f:
            size = 0
            while (room := self.free_bytes() - leave) >= 4096 and (leave or (self.folder / "reserve").exists()):
                with contextlib.suppress(OSError):  # the node was quicker
                    os.posix_fallocate(f.fileno(), size, room)
                    size += room

    def clear(self):
        (self.folder / "filler").unlink()


def why_no_disk():
    if os.geteuid() != 0 or not shutil.which("mount"):
        return "mounting a small disk takes root"
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "candor-test", "/mnt"],
                           capture_output=True, text=True)
    return tried.stderr.strip() if tried.returncode != 0 else ""


@unittest.skipIf(why_no_disk(), f"no small disk can be mounted here: {why_no_disk()}")
class DiskFull(ReplicationCase):
    def mount(self, folder):
        disk = SmallDisk(folder)
        self.addCleanup(disk.unmount)
        return disk

    def wait_until(self, holds, what):
        until = time.monotonic() + PATIENCE_S
        while not holds():
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.05)

    def is_low(self, node):
        return "low on disk" in node.call("GET", "/readyz").body

    def assert_takes_no_events(self, node, load, user):
        event = {"id": f"refused-{time.monotonic_ns()}", "user": user, "at": now(),
                 "kind": "engagement", "action": "like", "object": {"id": "x", "topics": ["books"]}}
        one = node.call("POST", "/v1/events", event)
        self.assertEqual((one.status, one.json()["code"]), (503, "disk_full"), one.body)
        self.assertIn("Retry-After", one.headers)
        self.assertEqual(node.call("PUT", f"/v1/users/{user}", {"region": "US"}).json()["code"], "disk_full")
        self.assertNotIn(event["id"], load.acked)

    def assert_reads_and_erases(self, node, seen, erased):
        self.assertEqual(node.call("GET", f"/v1/users/{seen}").status, 200)
        self.assertEqual(node.call("GET", f"/v1/users/{seen}/export").status, 200)
        gone = node.call("DELETE", f"/v1/users/{erased}")
        self.assertEqual(gone.status, 200, gone.body)
        self.assertEqual(node.call("GET", f"/v1/users/{erased}").status, 404)

    def assert_unhealthy(self, node, sick):
        """Within moments: the coordinator's record says so, not the node's own memory."""
        def told():
            health = node.candorctl("cluster", "health", check=False)
            return health.returncode == 10 and f"{sick} is low on disk" in health.stdout
        self.wait_until(told, f"nobody says that {sick} is low on disk")

    # -- one node ----------------------------------------------------------------------------------

    def test_a_node_alone_reads_and_erases_while_its_disk_is_full_and_goes_on_with_room(self):
        disk = self.mount(self.folder / "node" / "data")
        flags = [x for k, v in SETTINGS.items() for x in (f"--{k.replace('_', '-')}", str(v))]
        node = self.start_node(flags=flags)
        cluster = types.SimpleNamespace(nodes=[node], key=None, shard_of=lambda user: user)
        node.name, node.cluster = "node", cluster
        self.assertTrue((node.data / "reserve").exists())
        self.introduce(node, "seen", "erased-low", "erased-brimful")
        load = self.start_load(cluster, **LOAD)
        # Below the mark.
        disk.fill(leave=LOW - 6 * MIB)
        self.wait_until(lambda: self.is_low(node), "it does not notice")
        self.assert_takes_no_events(node, load, "seen")
        self.assert_reads_and_erases(node, "seen", "erased-low")
        self.assert_unhealthy(node, "node-1")
        self.assertIn("candor_disk_low 1", node.call("GET", "/metrics").body)
        disk.clear()
        load.wait_until_all_are_served()
        self.assertFalse(self.is_low(node))
        # To the last byte, at once and under load: what was being written may fail.
        disk.fill()
        self.wait_until(lambda: self.is_low(node) and not (node.data / "reserve").exists(), "it kept its reserve")
        self.wait_until(lambda: node.call("GET", "/v1/users/seen").status == 200, "it does not read")
        self.assert_takes_no_events(node, load, "seen")
        self.assert_reads_and_erases(node, "seen", "erased-brimful")
        # It starts on a full disk too.
        node.kill()
        node.start()
        self.assert_takes_no_events(node, load, "seen")
        self.assertEqual(node.call("GET", "/v1/users/seen").status, 200)
        disk.clear()
        load.wait_until_all_are_served()
        self.wait_until((node.data / "reserve").exists, "nothing is set aside again")
        self.wait_until(lambda: node.candorctl("cluster", "health", check=False).returncode == 0, "not healthy")
        self.verify(cluster, load)

    # -- three nodes -------------------------------------------------------------------------------

    def put_on_small_disk(self, node):
        node.stop()
        aside = node.folder / "aside"
        node.data.rename(aside)
        disk = self.mount(node.data)
        shutil.copytree(aside, node.data, dirs_exist_ok=True)
        shutil.rmtree(aside)
        node.start()
        return disk

    def test_others_lead_while_one_node_s_disk_is_full_and_with_two_full_erasures_go_on(self):
        cluster = self.start_cluster(settings=SETTINGS)
        disks = {n.name: self.put_on_small_disk(n) for n in cluster.nodes[:2]}
        cluster.wait_until_healthy()
        self.introduce(cluster.nodes[2], "seen", "erased")
        load = self.start_load(cluster, **LOAD)
        watcher = self.start_watcher(load)
        full, second, third = cluster.nodes
        # It handed over what it led when it was stopped, and gets it back.
        self.wait_until(lambda: any(s["primary"] == full.name for s in cluster.view()["shards"]), "it leads nothing")

        def shards_of(node, what):
            return [s["shard"] for s in third.admin("status")["shards"] if node.name in s[what]]
        disks[full.name].fill()
        self.wait_until(lambda: not shards_of(full, "primary"), "it leads on with a full disk")
        load.wait_until_all_are_served()
        self.wait_until(lambda: not shards_of(full, "in_sync"), "it is still waited for")
        self.wait_until(lambda: self.is_low(full), "it does not say so")
        self.assertEqual(full.call("GET", "/v1/users/seen").status, 200)
        self.wait_until(lambda: "is low on disk" in third.candorctl("cluster", "health", check=False).stdout,
                        "others do not know of it")
        self.assert_unhealthy(third, full.name)
        # With two of three full nothing can be acknowledged without one of them.
        disks[second.name].fill(leave=LOW - 6 * MIB)
        self.wait_until(lambda: third.call("POST", "/v1/events", {
            "id": "probe", "user": "seen", "at": now(), "kind": "engagement", "action": "like",
            "object": {"id": "x", "topics": ["books"]}}).status == 503, "events are taken without room")
        self.wait_until(lambda: third.call("PUT", "/v1/users/seen", {"region": "US"}).json().get("code") == "disk_full",
                        "it does not say why")
        self.assert_reads_and_erases(third, "seen", "erased")
        for disk in disks.values():
            disk.clear()
        cluster.wait_until_healthy()
        load.wait_until_all_are_served()
        watcher.stop()
        self.verify(cluster, load)


if __name__ == "__main__":
    process_case.main()
