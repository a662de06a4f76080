"""What the tests of real processes share: where the programs are, and a node for each test.

A test file ends with `process_case.main()`; it takes --bin-dir and whatever unittest takes.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("CANDOR_SOURCE_DIR") or pathlib.Path(__file__).resolve().parents[2])
sys.path.insert(0, str(SOURCE / "tools" / "story"))
from node import Node  # noqa: E402

# Sanitizers slow a node down several times: loads are smaller there.
SANITIZED = bool(os.environ.get("CANDOR_SANITIZE"))

bin_dir = SOURCE / "build" / "release" / "bin"


class ProcessCase(unittest.TestCase):
    """A folder for each test, removed with every node that the test started in it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start_node(self, name="node", **options):
        options.setdefault("start_deadline_s", 120 if SANITIZED else 30)
        node = Node(bin_dir, self.folder / name, **options)
        self.addCleanup(node.kill)
        return node.start()

    def introduce(self, node, *users, region="US", told=True):
        """Persons whose interactions may be learned from."""
        for user in users:
            answer = node.call("PUT", f"/v1/users/{user}", {"region": region, "region_since": "2020-01-01"})
            self.assertIn(answer.status, (200, 201), answer.body)
            if told:
                node.admin("notice_reached", user=user, policy="ai-interactions", revision=1, channel="in_app",
                           at="2025-10-08T00:00:00Z")


def main():
    global bin_dir
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--bin-dir", default=str(bin_dir))
    given, rest = options.parse_known_args()
    bin_dir = pathlib.Path(given.bin_dir).resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
