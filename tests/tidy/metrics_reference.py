#!/usr/bin/env python3
"""docs/reference/metrics.md, made of the places where the code makes its metrics.

    tests/tidy/metrics_reference.py > docs/reference/metrics.md
"""

import os
import pathlib
import re

SOURCE = pathlib.Path(os.environ.get("CANDOR_SOURCE_DIR") or pathlib.Path(__file__).resolve().parents[2])
KINDS = {"counter": "counter", "gauge": "gauge", "seconds": "histogram"}
CALL = re.compile(r"\bmetrics::(counter|gauge|seconds)\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
TOKEN = re.compile(LITERAL.pattern + r"|[(){},]")
HEAD = """# Metrics

<!-- Made by `tests/tidy/metrics_reference.py`; a stale file fails a test. -->

What `GET /metrics` of a node says, in Prometheus's text format; the scraper's key has the role `monitor`. What to alert
on stands in [operate.md](../operate.md#what-to-alert-on). Counters begin at 0 with the process. Histograms have buckets
from 100 µs to 10 s. Nothing is labelled with a person, or with a category of one. `candor_transport_*` is of nodes in
a cluster, `candor_transcription_*` of nodes with a transcriber.

| metric | type | labels | what |
| --- | --- | --- | --- |
"""


def arguments(text, start):
    """The arguments of a call, whose "(" ends at `start`, as text: split at its own commas."""
    depth, begin, made = 0, start, []
    for token in TOKEN.finditer(text, start):
        mark = token.group(0)
        if mark in "({":
            depth += 1
        elif mark in ")}" and depth > 0:
            depth -= 1
        elif depth == 0 and mark in ",)":
            made.append(text[begin:token.start()])
            begin = token.end()
            if mark == ")":
                return made
    raise ValueError("a call that does not end")


def metrics_in(text):
    """(name, type, label names, help) of each call in this source text."""
    for call in CALL.finditer(text):
        given = arguments(text, call.end())
        name, sentence = ("".join(LITERAL.findall(part)) for part in given[:2])
        labels = re.findall(r'\{\s*"(\w+)"\s*,', given[2]) if len(given) > 2 else []
        yield name, KINDS[call.group(1)], labels, sentence


def metrics():
    found = {}
    for floor in ("storage", "cluster", "actors"):
        for file in sorted((SOURCE / floor).rglob("*.[ch]pp")):
            for name, kind, labels, sentence in metrics_in(file.read_text(encoding="utf-8")):
                found[name] = (kind, labels, sentence)
    return found


def page():
    return HEAD + "".join(f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {sentence} |\n"
                          for name, (kind, labels, sentence) in sorted(metrics().items()))


if __name__ == "__main__":
    print(page(), end="")
