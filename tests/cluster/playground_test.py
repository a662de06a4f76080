#!/usr/bin/env python3
"""tools/playground tells its story to one node and to a cluster, keeps serving, and leaves nothing behind."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import process_case

PLAYGROUND = process_case.SOURCE / "tools" / "playground"


class Playground(process_case.ProcessCase):
    def command(self, *more, bin_dir=None):
        return [str(PLAYGROUND), "--bin-dir", str(bin_dir or process_case.bin_dir), *more]

    def environment(self, **more):
        # Its folders are made here, so that what it leaves can be seen.
        self.left = self.folder / "left"
        self.left.mkdir(exist_ok=True)
        return {**os.environ, "TMPDIR": str(self.left), **more}

    def tell(self, *more, bin_dir=None, **environment):
        return subprocess.run(self.command("--exit", *more, bin_dir=bin_dir), capture_output=True, text=True,
                              timeout=300, env=self.environment(**environment))

    def assert_the_story_holds(self, nodes, *told):
        done = self.tell("--nodes", str(nodes))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("The story holds", done.stdout)
        for outcome in ("policy_not_effective", "accepted", "sensitive", "region_excluded", "not_notified", "duplicate",
                        "erased", "it is final", *told):
            self.assertIn(outcome, done.stdout)
        self.assertEqual(list(self.left.iterdir()), [], "it left files behind")

    def test_the_story_holds_on_one_node_and_ends_where_it_is_told_to(self):
        self.assert_the_story_holds(1)

    def test_the_story_holds_on_a_cluster_and_nothing_is_lost_when_a_node_is_killed(self):
        self.assert_the_story_holds(3, "kill -9 node-", "without a primary", "the cluster is healthy",
                                    "likes were acknowledged, and all are there, once, seen through node-3")

    @contextlib.contextmanager
    def serving(self, nodes):
        """While it serves: what it printed. Ctrl-C ends it."""
        running = subprocess.Popen(self.command("--nodes", str(nodes)), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, env=self.environment())
        self.addCleanup(running.stdout.close)
        self.addCleanup(running.kill)
        shown = ""
        for line in running.stdout:
            shown += line
            if "Serving until Ctrl-C" in line:
                break
        urls = re.search(r"API\s+(http://.*)", shown)
        self.assertIsNotNone(urls, shown)
        urls = urls[1].split()
        self.assertEqual(len(set(urls)), nodes)
        for url in urls:
            with urllib.request.urlopen(url + "/readyz", timeout=10) as answer:
                self.assertEqual(answer.status, 200)
        yield shown
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        self.assertEqual(running.wait(120), 0)
        for url in urls:
            with self.assertRaises((urllib.error.URLError, ConnectionError)):
                urllib.request.urlopen(url + "/readyz", timeout=5)
        self.assertEqual(list(self.left.iterdir()), [])

    def test_without_exit_one_node_serves_until_ctrl_c(self):
        with self.serving(1):
            pass

    def test_without_exit_a_cluster_serves_until_ctrl_c_and_its_hints_work(self):
        with self.serving(3) as shown:
            hints = [line.split(None, 1)[1] for line in shown.splitlines() if re.match(r"\s+(cluster|try)\s", line)]
            self.assertEqual(len(hints), 2, shown)
            for hint in hints:
                done = subprocess.run(hint, shell=True, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, hint + done.stdout + done.stderr)

    def make_programs(self, candord):
        """A folder of programs in which candord is this shell script."""
        made = self.folder / "bin"
        made.mkdir()
        for program in ("candorctl", "candor-load"):
            (made / program).symlink_to(process_case.bin_dir / program)
        (made / "candord").write_text("#!/bin/sh\n" + candord)
        (made / "candord").chmod(0o755)
        return made

    def make_programs_of_another_story(self):
        """They run with a policy that offers an opt-out."""
        policy = (process_case.SOURCE / "configs/policies/ai-interactions-2025-12-16.1.toml").read_text()
        other = self.folder / "policy.toml"
        other.write_text(policy.replace('opt_out = "none"', 'opt_out = "all"'))
        self.assertNotEqual(other.read_text(), policy)
        # Started as the story does it, but for what stands in the configuration that it names.
        return self.make_programs(f"""
made={self.folder}/node-$$.toml
for given in "$@"; do
  shift
  if [ "$last" = --config ]; then
    sed -E -e 's#^policies = .*#policies = ["{other}"]#' \\
      -e 's#^(regions|lexicon) = "([^/].*)"#\\1 = "{process_case.SOURCE}/configs/\\2"#' "$given" >"$made"
    set -- "$@" "$made"
  else
    set -- "$@" "$given"
  fi
  last=$given
done
exec "{process_case.bin_dir}/candord" "$@"
""")

    def test_an_outcome_that_is_not_the_story_s_is_an_error(self):
        programs = self.make_programs_of_another_story()
        for nodes in (1, 3):
            with self.subTest(nodes=nodes):
                done = self.tell("--nodes", str(nodes), bin_dir=programs)
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertIn("The story does not hold", done.stderr)
                self.assertIn("opt_out_not_offered", done.stderr)
                self.assertEqual(list(self.left.iterdir()), [])

    def test_a_node_that_does_not_come_back_is_an_error(self):
        programs = self.make_programs(f"""
mkdir "$(dirname "$2")/started" || exit 7
exec "{process_case.bin_dir}/candord" "$@"
""")
        done = self.tell("--nodes", "3", bin_dir=programs)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("It comes back, and catches up", done.stdout)
        self.assertRegex(done.stderr, "The story does not hold.*: node-[123] has ended")

    def test_without_etcd_it_says_what_helps(self):
        path = self.folder / "path"
        path.mkdir()
        for program in ("bash", "dirname", "env", "openssl"):
            (path / program).symlink_to(shutil.which(program))
        (path / "python3").symlink_to(sys.executable)
        done = self.tell("--nodes", "3", PATH=str(path))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("etcd is not there; tools/setup installs what is needed", done.stderr)
        self.assertIn("--nodes 1", done.stderr)
        self.assertEqual(list(self.left.iterdir()), [])


if __name__ == "__main__":
    process_case.main()
