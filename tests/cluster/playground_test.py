#!/usr/bin/env python3
"""tools/playground tells its story to the end, keeps serving, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

import process_case

PLAYGROUND = process_case.SOURCE / "tools" / "playground"


class Playground(process_case.ProcessCase):
    def command(self, *more):
        return [str(PLAYGROUND), "--bin-dir", str(process_case.bin_dir), *more]

    def environment(self):
        # Its folders are made here, so that what it leaves can be seen.
        return {**os.environ, "TMPDIR": str(self.folder)}

    def test_the_story_holds_and_ends_where_it_is_told_to(self):
        done = subprocess.run(self.command("--exit"), capture_output=True, text=True, timeout=300,
                              env=self.environment())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("The story holds", done.stdout)
        for outcome in ("policy_not_effective", "accepted", "sensitive", "region_excluded", "not_notified", "duplicate",
                        "erased"):
            self.assertIn(outcome, done.stdout)
        self.assertEqual(list(self.folder.iterdir()), [], "it left files behind")

    def test_without_exit_it_serves_until_ctrl_c(self):
        running = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=self.environment())
        self.addCleanup(running.stdout.close)
        self.addCleanup(running.kill)
        shown = ""
        for line in running.stdout:
            shown += line
            if "Serving until Ctrl-C" in line:
                break
        url = re.search(r"API\s+(http://\S+)", shown)
        self.assertIsNotNone(url, shown)
        with urllib.request.urlopen(url[1] + "/readyz", timeout=10) as answer:
            self.assertEqual(answer.status, 200)
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        self.assertEqual(running.wait(30), 0)
        with self.assertRaises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(url[1] + "/readyz", timeout=5)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_an_outcome_that_is_not_the_story_s_is_an_error(self):
        """A policy that offers an opt-out tells another story."""
        broken = self.folder / "bin"
        broken.mkdir()
        for program in ("candorctl", "candor-load"):
            (broken / program).symlink_to(process_case.bin_dir / program)
        configs = self.folder / "configs"
        configs.mkdir()
        policy = (process_case.SOURCE / "configs/policies/ai-interactions-2025-12-16.1.toml").read_text()
        (configs / "policy.toml").write_text(policy.replace('opt_out = "none"', 'opt_out = "all"'))
        playground = (process_case.SOURCE / "configs/playground.toml").read_text()
        playground = re.sub(r"policies = .*", 'policies = ["policy.toml"]', playground)
        for name in ("regions", "lexicon"):
            playground = re.sub(rf'{name} = "(.*)"', rf'{name} = "{process_case.SOURCE}/configs/\1"', playground)
        (configs / "node.toml").write_text(playground)
        # As the story starts it, but for its --config.
        (broken / "candord").write_text(
            "#!/bin/sh\nset -- $(printf '%s\\n' \"$@\" | sed '/^--config$/{N;d}')\n"
            f'exec "{process_case.bin_dir}/candord" "$@" --config "{configs}/node.toml"\n')
        (broken / "candord").chmod(0o755)
        done = subprocess.run([str(PLAYGROUND), "--bin-dir", str(broken), "--exit"], capture_output=True, text=True,
                              timeout=300, env=self.environment())
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("The story does not hold", done.stderr)
        self.assertIn("opt_out_not_offered", done.stderr)


if __name__ == "__main__":
    process_case.main()
