#!/usr/bin/env python3
"""The history checker finds each violation that is planted in a history, and nothing in one that is as promised."""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(SOURCE / "tools" / "candor-chaos"))
import checker  # noqa: E402

POLICY = {"effective_ms": 1000, "lead_ms": 100, "excluded": ["GB"], "sensitive": ["health"]}


class History:
    """Written down in the order of time; each step takes a unit of it."""

    def __init__(self, **run):
        self.lines = [{"type": "run", "format": 1, "seed": 1, **run}]
        self.now = 0
        self.ops = 0

    def say(self, type, **more):
        self.now += 1
        self.lines.append({"type": type, "at": self.now, **more})
        return self

    def begin(self, kind, **more):
        self.ops += 1
        self.say("invoke", op=self.ops, kind=kind, process=more.pop("process", 0), node="node-1", **more)
        return self.ops

    def end(self, op, type="ok", **more):
        return self.say(type, op=op, **more)

    def event(self, id, user="u", type="ok", status="accepted", **more):
        return self.end(self.begin("event", user=user, event=id, **more), type, status=status)

    def sees(self, *ids, user="u", forgets_before=None, **more):
        op = self.begin("read", user=user, **more)
        return self.end(op, events=list(ids), **({"forgets_before": forgets_before} if forgets_before else {}))

    def erase(self, user="u"):
        return self.end(self.begin("erase", user=user))

    def verdict(self):
        return checker.check_lines(json.dumps(line) for line in self.lines)


class Violations(unittest.TestCase):
    def assert_fine(self, history):
        verdict = history.verdict()
        self.assertEqual(verdict["violations"], {}, verdict["examples"])
        self.assertTrue(verdict["ok"])

    def assert_found(self, history, *kinds):
        verdict = history.verdict()
        self.assertEqual(sorted(verdict["violations"]), sorted(kinds), verdict["examples"])
        self.assertFalse(verdict["ok"])

    def test_what_is_promised_passes(self):
        h = History()
        h.event("a").sees("a").event("b").event("c").sees("a", "b", "c")
        self.assert_fine(h)

    def test_an_event_of_unknown_outcome_may_or_may_not_be_there(self):
        self.assert_fine(History().event("a", type="unknown").sees().event("b").sees("b"))
        self.assert_fine(History().event("a", type="unknown").event("b").sees("a", "b"))
        self.assert_fine(History().event("a", type="unknown").event("b").sees("b").sees("b", "a"))

    def test_an_event_that_was_never_answered_may_be_there(self):
        h = History()
        h.begin("event", user="u", event="a")
        self.assert_fine(h.sees("a"))

    def test_an_event_that_is_sent_again_is_the_same_event(self):
        self.assert_fine(History().event("a", type="unknown").event("a", status="duplicate").sees("a"))
        self.assert_fine(History().event("a", type="fail").event("a").sees("a"))

    def test_reads_at_the_same_time_as_an_event_may_show_it_or_not(self):
        h = History()
        event = h.begin("event", user="u", event="a")
        h.sees("a", process=1)
        h.end(event)
        self.assert_fine(h.sees("a", process=2))
        h = History()
        read = h.begin("read", user="u", process=1)
        h.event("a")
        h.end(read, events=[])
        self.assert_fine(h.sees("a"))

    def test_a_lost_acknowledgement(self):
        self.assert_found(History().event("a").sees(), "lost_acknowledgement")
        self.assert_found(History().event("a").sees("a").sees(), "lost_acknowledgement", "stale_read")
        self.assert_found(History().event("a").sees("a").event("b").sees("b"),
                          "lost_acknowledgement", "diverging_order", "stale_read")
        self.assert_found(History().event("a", type="unknown").event("a", status="duplicate").sees(),
                          "lost_acknowledgement")

    def test_a_duplicate(self):
        self.assert_found(History().event("a").sees("a", "a"), "duplicate")
        self.assert_found(History().event("a").sees("a").event("b").sees("a", "b", "a"), "duplicate")

    def test_an_id_that_is_accepted_twice_as_at_the_windows_edge(self):
        h = History().event("a", at_ms=5).sees("a").event("b", at_ms=200).event("a", at_ms=5)
        self.assert_found(h.sees("b", "a", forgets_before=100), "accepted_twice")

    def test_what_the_window_has_passed_may_be_forgotten_and_nothing_else(self):
        h = History().event("a", at_ms=5).event("b", at_ms=200).sees("a", "b")
        self.assert_fine(h.sees("b", forgets_before=100))
        h = History().event("a", at_ms=150).event("b", at_ms=200).sees("a", "b")
        self.assert_found(h.sees("b", forgets_before=100), "lost_acknowledgement", "diverging_order")
        h = History().event("a", at_ms=5).event("b", at_ms=200).sees("a", "b")
        self.assert_found(h.sees(forgets_before=100), "lost_acknowledgement", "stale_read")

    def test_an_order_that_diverges_between_two_reads(self):
        h = History().event("a", type="unknown").event("b", type="unknown")
        self.assert_found(h.sees("a", "b").sees("b", "a"), "diverging_order")

    def test_an_order_against_that_of_time(self):
        self.assert_found(History().event("a").event("b").sees("b", "a"), "diverging_order")

    def test_a_stale_read(self):
        self.assert_found(History().event("a").sees().sees("a"), "stale_read")
        # Nobody was told that it is committed, but somebody has seen it.
        h = History().event("a", type="unknown")
        self.assert_found(h.sees("a", process=1).sees(process=2).sees("a"), "stale_read")

    def test_a_session_that_goes_back(self):
        h = History().event("a").sees("a", process=1, level="session").sees(process=1, level="session")
        self.assert_found(h.sees("a"), "session_back")
        h = History().event("a", process=1).sees(process=1, level="session")
        self.assert_found(h.sees("a"), "session_back")

    def test_a_session_may_lag_behind_others(self):
        h = History().event("a", process=1).sees("a", process=1).sees(process=2, level="session")
        self.assert_fine(h.sees("a"))

    def test_an_aborted_read(self):
        self.assert_found(History().event("a", type="fail").sees("a"), "aborted_read")

    def test_a_phantom(self):
        self.assert_found(History().sees("a"), "phantom")
        self.assert_found(History().sees("a", process=1).event("a").sees("a"), "phantom")

    def test_digests_that_differ_at_the_same_place(self):
        h = History().say("digest", shard=1, seq=9, digest="x", node="node-1")
        self.assert_fine(h.say("digest", shard=1, seq=9, digest="x", node="node-2"))
        self.assert_found(h.say("digest", shard=1, seq=9, digest="y", node="node-2"), "unequal_digests")

    def test_two_leaders_of_a_term(self):
        h = History().say("leader", shard=1, term=2, node="node-1").say("leader", shard=1, term=3, node="node-2")
        self.assert_fine(h)
        self.assert_found(h.say("leader", shard=1, term=3, node="node-1"), "two_leaders")

    def test_an_erased_person_that_reappears(self):
        h = History().event("a").sees("a").erase().sees()
        self.assert_fine(h.event("b").sees("b"))
        self.assert_found(History().event("a").sees("a").erase().sees("a"), "erased_reappears")
        # An attempt of before the erasure that arrives after it.
        h = History().event("a", type="unknown").erase().sees("a")
        self.assert_found(h, "erased_reappears")
        self.assert_found(History().erase().say("state", user="u", erased=True, topics=["pets"]), "erased_reappears")

    def test_reads_while_a_person_is_erased_may_show_either(self):
        h = History().event("a").sees("a")
        erasure = h.begin("erase", user="u", process=1)
        h.sees("a").sees()
        self.assert_fine(h.end(erasure).sees())

    def test_what_the_policy_forbids_is_not_learned(self):
        for why, person, event in (
                ("before the date", {"region": "US", "told_ms": 0}, {"at_ms": 999}),
                ("in an excluded region", {"region": "GB", "told_ms": 0}, {"at_ms": 2000}),
                ("of a region that is not known", {"region": None, "told_ms": 0}, {"at_ms": 2000}),
                ("of a minor", {"region": "US", "told_ms": 0, "minor": True}, {"at_ms": 2000}),
                ("before a notice", {"region": "US", "told_ms": None}, {"at_ms": 2000}),
                ("too soon after a notice", {"region": "US", "told_ms": 1950}, {"at_ms": 2000}),
                ("sensitive", {"region": "US", "told_ms": 0}, {"at_ms": 2000, "sensitive": True})):
            with self.subTest(why):
                def history(type):
                    h = History(policy=POLICY).say("person", user="u", **person)
                    return h.event("a", type=type, ai=True, **event)
                self.assert_found(history("ok").sees("a"), "learned_against_policy")
                self.assert_fine(history("fail").sees())

    def test_what_the_policy_allows_is_learned(self):
        h = History(policy=POLICY).say("person", user="u", region="US", told_ms=0)
        self.assert_fine(h.event("a", ai=True, at_ms=2000).sees("a").say("state", user="u", ai_topics=["pets"]))

    def test_what_is_kept_of_a_person_at_the_end(self):
        h = History(policy=POLICY).say("person", user="u", region="GB", told_ms=0)
        self.assert_found(h.say("state", user="u", ai_topics=["pets"]), "kept_against_policy")
        h = History(policy=POLICY).say("person", user="u", region="US", told_ms=0)
        self.assert_found(h.say("state", user="u", topics=["health"]), "kept_against_policy")

    def test_a_second_notice(self):
        one, other = ["p", 1, "in_app"], ["p", 1, "email"]
        self.assert_fine(History().say("state", user="u", notices=[one, other]))
        self.assert_found(History().say("state", user="u", notices=[one, other, one]), "notice_twice")

    def money(self, cap=9):
        h = History().say("campaign", campaign="c", total=100, cap=cap)

        def shown(price, status="accepted"):
            h.end(h.begin("impression", user="u", campaign="c", price=price), status=status)
        return h, shown

    def test_budgets(self):
        h, shown = self.money()
        shown(60), shown(60, "duplicate")
        self.assert_fine(h.say("budget", campaign="c", settled=60, reserved=40))
        self.assert_found(h.say("budget", campaign="c", settled=60, reserved=41), "overspent")
        h, shown = self.money()
        shown(60), shown(50)
        self.assert_found(h, "overspent")
        h, shown = self.money()
        shown(60)
        self.assert_found(h.say("budget", campaign="c", settled=59, reserved=0), "settled_lost")

    def test_caps(self):
        h, shown = self.money(cap=2)
        shown(1), shown(1)
        self.assert_fine(h)
        shown(1)
        self.assert_found(h, "cap_exceeded")

    def test_audit_chains_and_canaries(self):
        self.assert_fine(History().say("audit", node="node-1", ok=True))
        self.assert_found(History().say("audit", node="node-1", ok=False), "audit_broken")
        self.assert_found(History().say("canary", file="data/000001.log"), "canary_found")

    def test_every_kind_has_a_test_here(self):
        text = pathlib.Path(__file__).read_text()
        for kind in checker.KINDS:
            self.assertIn(f'"{kind}"', text)

    def test_what_is_no_history_is_said_to_be_none(self):
        for lines in (["nonsense"], ['{"type":"other"}'], ['{"type":"ok","op":1,"at":1}'],
                      ['{"type":"run","format":2}']):
            with self.assertRaises(checker.HistoryError):
                checker.check_lines(lines)


class MadeHistories(unittest.TestCase):
    """A store that is one list a person, and many clients at once."""

    def write(self, path, events, spoil=None):
        chance = random.Random(events)
        users = max(1, events // 200)
        held = [[] for _ in range(users)]
        h = History()
        with open(path, "w") as out:
            def flush():
                out.writelines(json.dumps(line) + "\n" for line in h.lines)
                h.lines.clear()
            for i in range(events):
                user = chance.randrange(users)
                op = h.begin("event", user=f"u-{user}", event=f"e-{i}")
                luck = chance.random()
                if luck < 0.98:
                    held[user].append(f"e-{i}")
                h.end(op, "ok" if luck < 0.96 else "unknown", status="accepted")
                if i == spoil:
                    held[user].remove(held[user][len(held[user]) // 2])
                if chance.random() < 0.5:
                    user = chance.randrange(users)
                    h.sees(*held[user], user=f"u-{user}")
                if len(h.lines) > 1000:
                    flush()
            for user in range(users):
                h.sees(*held[user], user=f"u-{user}")
            flush()

    def check(self, path):
        done = subprocess.run([sys.executable, "-B", str(SOURCE / "tools/candor-chaos/main.py"), "check", str(path),
                               "-o", "json"], capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    def test_a_right_one_passes_and_one_lost_event_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "history.jsonl"
            self.write(path, 20_000)
            code, verdict = self.check(path)
            self.assertEqual((code, verdict["violations"]), (0, {}), verdict["examples"])
            self.assertGreater(verdict["counts"]["acknowledged"], 19_000)
            self.write(path, 20_000, spoil=15_000)
            code, verdict = self.check(path)
            self.assertEqual(code, 10)
            self.assertIn("diverging_order", verdict["violations"])

    def test_the_time_it_takes_grows_with_the_history_and_not_with_its_square(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "history.jsonl"
            took = {}
            for events in (20_000, 160_000):
                self.write(path, events)
                began = time.process_time()
                checker.check_file(path)
                took[events] = time.process_time() - began
            print({n: f"{1.5 * n / t:.0f} operations/s" for n, t in took.items()}, file=sys.stderr)
            self.assertLess(took[160_000], 8 * 3 * took[20_000])


if __name__ == "__main__":
    unittest.main(verbosity=2)
