#!/usr/bin/env python3
"""candor-bench match against a plain reading of its format (docs/ads.md), line by line."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BENCH = pathlib.Path(os.environ["CANDOR_BIN"]) / "candor-bench"
WORD = (1 << 64) - 1
TOKEN = re.compile(r'\s*(<>|>=|<=|[(),=<>]|"[^"]*"|[\w.:+-]+)')


def mix64(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


class Expression:
    """A function of an event's attributes, by recursive descent."""

    def __init__(self, text):
        self.tokens, at = [], 0
        text = text.strip()
        while at < len(text):
            found = TOKEN.match(text, at)
            self.tokens.append(found.group(1))
            at = found.end()
        self.holds = self.chain() if self.tokens else lambda event: True

    def peek(self):
        return self.tokens[0] if self.tokens else ""

    def take(self):
        return self.tokens.pop(0)

    def values(self):
        self.take()
        found = set()
        while self.peek() != ")":
            if self.peek() == ",":
                self.take()
            else:
                found.add(int(self.take().strip('"')))
        self.take()
        return found

    def chain(self):
        members, joint = [self.unary()], self.peek()
        while joint in ("and", "or") and self.peek() == joint:
            self.take()
            members.append(self.unary())
        every = all if joint == "and" else any
        return lambda event: every(m(event) for m in members)

    def unary(self):
        if self.peek() == "not":
            self.take()
            inner = self.unary()
            return lambda event: not inner(event)
        if self.peek() == "(":
            self.take()
            inner = self.chain()
            self.take()
            return inner
        return self.clause()

    def clause(self):
        name, sign = self.take(), self.peek()
        number = lambda event: event.get(name)
        items = lambda event: set(event.get(name) or ())
        if sign in ("in", "not", "one", "none", "all"):
            self.take()
            if sign != "in":
                self.take()
            v = self.values()
            return {"in": lambda e: number(e) in v, "not": lambda e: number(e) not in v,
                    "one": lambda e: bool(items(e) & v), "none": lambda e: not items(e) & v,
                    "all": lambda e: v <= items(e)}[sign]
        if sign in ("=", "<>", ">=", "<=", "<", ">"):
            self.take()
            v = int(self.take().strip('"'))
            there = lambda test: lambda e: number(e) is not None and test(number(e))
            return {"=": there(lambda n: n == v), "<>": lambda e: number(e) != v,
                    ">=": there(lambda n: n >= v), "<=": there(lambda n: n <= v),
                    ">": there(lambda n: n > v), "<": there(lambda n: n < v)}[sign]
        return lambda e: bool(number(e))


def weights(text):
    return [tuple(map(int, part.split(":"))) for part in text.split(",") if part]


class Oracle:
    def __init__(self, folder, top):
        lines = lambda name: [line.split("\t") for line in (folder / name).read_text().splitlines()]
        self.top = top
        self.campaigns = {int(f[0]): [int(f[1]), int(f[2]), weights(f[4]), Expression(f[5])]
                          for f in lines("campaigns.tsv")}
        self.events = {f[0]: (dict(weights(f[1])), {int(i) for i in f[2].split(",") if i}, json.loads(f[3]))
                       for f in lines("events.tsv")}
        self.operations = [line.split() for line in (folder / "ops.tsv").read_text().splitlines()]

    def answer(self, event, live):
        interests, capped, attributes = self.events[event]
        matches, mixed, left = 0, 0, []
        for id in live:
            bid, quality, topics, wish = self.campaigns[id]
            if not wish.holds(attributes):
                continue
            matches += 1
            mixed ^= mix64(id)
            if id not in capped:
                relevance = 256 + min(1023, sum(w * interests.get(t, 0) for t, w in topics) >> 8)
                left.append((-bid * quality * relevance, id, bid, quality * relevance))
        left.sort()
        price = "-"
        if left:
            needed = -left[1][0] // left[0][3] + 1 if len(left) > 1 else 0
            price = min(left[0][2], max(10_000, needed))
        best = ",".join(f"{id}:{-rank}" for rank, id, _, _ in left[:self.top])
        return f"{event}\t{matches}\t{mixed:x}\t{len(left)}\t{best}\t{price}"

    def every_event(self):
        return [self.answer(event, self.campaigns) for event in self.events]

    def after_operations(self):
        n = len(self.campaigns)
        there = {id for id in self.campaigns if id <= n - n // 10}
        live, gone, lines = set(there), set(), []
        for what, name, *rest in self.operations:
            if what == "Q":
                lines.append(self.answer(name, live))
                continue
            id = int(name)
            if what == "A" and id in self.campaigns and id not in there | gone:
                there.add(id)
                live.add(id)
            elif id in there:
                if what in "PD":
                    live.discard(id)
                if what == "R":
                    live.add(id)
                if what == "B":
                    self.campaigns[id][0] = int(rest[0])
                if what == "D":
                    there.discard(id)
                    gone.add(id)
        return lines


def bench(*words):
    return subprocess.run([BENCH, "match", *map(str, words)], capture_output=True, text=True, check=False)


class Match(unittest.TestCase):
    def setUp(self):
        self.room = tempfile.TemporaryDirectory()
        self.addCleanup(self.room.cleanup)
        self.folder = pathlib.Path(self.room.name) / "folder"

    def generate(self, profile, campaigns, events, seed):
        made = bench("--generate", profile, campaigns, events, seed, self.folder)
        self.assertEqual(made.returncode, 0, made.stderr)

    def test_every_line_is_the_oracles(self):
        for seed, profile in enumerate(("realistic", "narrow", "broad", "equalities")):
            for vectors in ("", "scalar"):
                with self.subTest(f"{profile} {vectors}"):
                    self.generate(profile, 1200, 60, seed)
                    oracle = Oracle(self.folder, 5)
                    found = bench(self.folder, "--top", 5, "--vectors", vectors)
                    self.assertEqual(found.stdout.splitlines(), oracle.every_event())
                    found = bench(self.folder, "--top", 5, "--all", "--ops", "--vectors", vectors)
                    self.assertEqual(found.stdout.splitlines(), oracle.after_operations())

    def test_figures_are_one_object_on_the_last_line_of_stderr(self):
        self.generate("realistic", 500, 40, 1)
        figures = json.loads(bench(self.folder, "-o", "json", "--peers").stderr.splitlines()[-1])
        for name in ("p50_us", "p90_us", "p99_us", "max_us", "first_pass_p50_us", "first_pass_p99_us",
                     "queries_per_s", "bytes_per_campaign", "build_s", "counting_index_ratio"):
            self.assertGreater(figures[name], 0, name)
        figures = json.loads(bench(self.folder, "-o", "json", "--ops").stderr.splitlines()[-1])
        for name in ("pause_p50_us", "resume_p50_us", "bid_p50_us", "add_p50_us", "delete_p50_us", "p50_us"):
            self.assertGreater(figures[name], 0, name)

    def test_a_folder_that_is_none_is_refused(self):
        missing = bench(self.folder)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("schema.txt cannot be read", missing.stderr)
        self.generate("realistic", 5, 5, 1)
        with open(self.folder / "campaigns.tsv", "a", encoding="utf-8") as file:
            file.write("6\t10000\t9\t1\t\tplanet = 3\n")
        refused = bench(self.folder)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("campaigns.tsv, line 6: expression, column 1: planet is not an attribute", refused.stderr)
        self.assertEqual(bench("--generate", "odd", 5, 5, 1, self.folder).returncode, 1)
        self.assertEqual(bench().returncode, 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
