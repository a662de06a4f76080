"""A campaign of notices over persons with a real mail server, its node killed with kill -9 at random moments.

Everybody must be told: one line a channel in every ledger, every mail at least once, and no more repeats than crashes
can cause. `--full` takes the 10 000 persons and 20 kills that the figures in docs/ come from.
"""

import collections
import email
import json
import pathlib
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import process_case
from process_case import SOURCE, ProcessCase

FULL = "--full" in sys.argv
if FULL:
    sys.argv.remove("--full")
PERSONS = 10_000 if FULL else 600 if process_case.SANITIZED else 2_000
KILLS = 20 if FULL else 6
RATE = 2_000


class MailSink:
    """A real SMTP server that keeps what it took."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-B", str(SOURCE / "tests" / "support" / "mail_sink.py")],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.taken = collections.Counter()  # by Message-ID
        self.addressed = collections.Counter()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            mail = json.loads(line)
            self.taken[email.message_from_string(mail["message"])["Message-ID"]] += 1
            self.addressed[mail["to"][0]] += 1

    def stop(self):
        self.process.kill()
        self.process.wait()


class Campaign(ProcessCase):
    def configure(self):
        """The shipped policy at a rate at which a campaign takes seconds, told at any hour."""
        configs = SOURCE / "configs"
        policy = (configs / "policies" / "ai-interactions-2025-12-16.1.toml").read_text()
        policy = "\n".join(
            f"rate_per_second = {RATE}" if line.startswith("rate_per_second")
            else "" if line.startswith("quiet_hours") else line
            for line in policy.splitlines())
        (self.folder / "policy.toml").write_text(policy)
        config = self.folder / "node.toml"
        config.write_text(f"""
name = "campaign"
clock = "settable"
clock_start = "2025-10-07T09:00:00Z"
log_level = "warn"
regions = "{configs / 'regions.toml'}"
lexicon = "{configs / 'lexicon'}"
notices = "{configs / 'notices'}"
policies = ["policy.toml"]
mail_from = "privacy@candor.example"
smtp = "127.0.0.1:{self.sink.port}"
smtp_tls = "none"
""")
        return config

    def readiness(self, node):
        counts = node.admin("policy_readiness")
        return counts["notices"][0] if counts["notices"] and counts["shards_counted"] == 64 else None

    def test_everybody_is_told_once_whenever_the_node_dies(self):
        self.sink = MailSink()
        self.addCleanup(self.sink.stop)
        node = self.start_node(config=self.configure())
        node.admin("notices_pause", paused=True)

        def put(i):
            details = {"region": "US", "region_since": "2020-01-01", "assistant_user_since": "2025-09-01",
                       "lang": ["en", "es", "pt", "fr", "de", "ja", "ko", "hi"][i % 8]}
            if i % 2 == 0:
                details["email"] = f"p{i}@example.org"
            self.assertEqual(node.call("PUT", f"/v1/users/p{i}", details).status, 201)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(PERSONS)))
        node.admin("notices_pause", paused=False)

        chance = random.Random(7)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 1.5))
            node.kill()
            node.start()
        until = time.monotonic() + 300
        while time.monotonic() < until:
            now = self.readiness(node)
            if now and now["audience"] == PERSONS and now["waiting"] == 0 and now["mails"]["intended"] == 0:
                break
            time.sleep(0.5)
        else:
            self.fail(f"not everybody was told in time: {now}")

        def ledger(i):
            return node.call("GET", f"/v1/users/p{i}/notices?peek=true").json()["notices"]

        with ThreadPoolExecutor(8) as pool:
            ledgers = list(pool.map(ledger, range(PERSONS)))
        for i, lines in enumerate(ledgers):
            channels = sorted(line["channel"] for line in lines)
            self.assertEqual(channels, ["email", "in_app"] if i % 2 == 0 else ["in_app"], f"p{i}: {lines}")
            for line in lines:
                self.assertEqual(line["reached"] is not None, line["channel"] == "email", f"p{i}: {line}")

        mailed = PERSONS // 2
        self.assertEqual(len(self.sink.addressed), mailed, "persons with a mail")
        self.assertEqual(len(self.sink.taken), mailed, "a repeat carries the same Message-ID")
        repeats = sum(n - 1 for n in self.sink.taken.values())
        # What was on its way when the node died: a window of mails for each kill, and no more.
        self.assertLessEqual(repeats, KILLS * 256)
        self.assertLessEqual(max(self.sink.taken.values()), KILLS + 1)
        self.check_steps(node)
        self.check_bounce(node)
        self.assertTrue(node.admin("audit_verify")["ok"])
        print(f"\n{PERSONS} persons, {KILLS} kills: {sum(len(x) for x in ledgers)} ledger lines, "
              f"{mailed} persons mailed, {repeats} mails repeated", file=sys.stderr)

    def check_steps(self, node):
        """The campaign's beginning and end stand in the audit log once, whatever died."""
        for action in ("notices_began", "notices_completed"):
            for _ in range(50):
                records = node.admin("audit_tail", action=action)["records"]
                if records:
                    break
                time.sleep(0.2)
            self.assertEqual([r["subject"] for r in records], ["ai-interactions/1"], action)

    def check_bounce(self, node):
        """A mail that came back is as if it had not gone out; the operator may send it again."""
        mail = next(line for line in node.call("GET", "/v1/users/p0/notices?peek=true").json()["notices"]
                    if line["channel"] == "email")
        node.candorctl("notice", "bounced", "p0", mail["notice"])
        found = json.loads(node.candorctl("audit", "find", "--user", "p0", "-o", "json").stdout)["records"]
        self.assertIn("mail_bounced", {r["action"] for r in found})
        before = self.sink.addressed["p0@example.org"]
        node.candorctl("notice", "retry", "p0")
        for _ in range(100):
            if self.sink.addressed["p0@example.org"] > before:
                return
            time.sleep(0.2)
        self.fail("the mail was not sent again")


if __name__ == "__main__":
    process_case.main()
