#!/usr/bin/env python3
"""The house rules that a machine can check: who includes whom, what a header opens with, names, lengths.

What is allowed stands in the tables below; a new exception is a line there, with its reason.
"""

import os
import pathlib
import re
import unittest

import metrics_reference

SOURCE = pathlib.Path(os.environ.get("CANDOR_SOURCE_DIR") or pathlib.Path(__file__).resolve().parents[2])

# Includes go strictly downward.
FLOORS = ["storage", "cluster", "actors", "tools"]

# Rooms do not include each other: they speak by messages. The exceptions:
ROOMS_INCLUDED = {
    "supervision": None,              # starts all of them
    "ingestion": {"topic_filter"},    # asks it in place: what a person said travels in no message
}

# Where a library may be included, as patterns of paths.
LIBRARIES = {
    "caf/": [r"_actor\.[hc]pp$", r"^actors/(messages|supervision|gateway)/", r"^cluster/transport/",
             r"^tools/candor-bench/ingest\.cpp$",  # plays the gateway's part
             r"^tools/candor-sim/cluster/"],  # real actors in virtual time
    "boost/beast": [r"^actors/gateway/", r"^cluster/coordination/"],
    "boost/asio": [r"^actors/gateway/", r"^cluster/coordination/", r"^cluster/transport/"],
    "rocksdb/": [r"^storage/engine/"],
    "curl/": [r"^tools/http_client/", r"^actors/notification/"],
    "hwy/": [r"^actors/ad_matching/index/"],
    "hs/": [r"^actors/topic_filter/", r"^tools/candor-bench/topics_peers\.cpp$"],
    "cld2/": [r"^actors/topic_filter/"],
    "fasttext/": [r"^tools/candor-bench/topics_peers\.cpp$"],
}

LINE_LENGTH_MOST = 120
FORBIDDEN_NAMES = re.compile(r"manager|helper|util|common", re.I)
README_LINES_MOST = 60
CODE = {".hpp", ".cpp", ".def", ".inc", ".py"}
SKIPPED_FOLDERS = {"build", ".git", "__pycache__", "node_modules", ".cache"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(<([^>]+)>|"([^"]+)")', re.M)


def files(*roots):
    """Paths relative to the source folder, with slashes."""
    for root in roots:
        for folder, folders, names in os.walk(SOURCE / root):
            folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
            for name in sorted(names):
                yield (pathlib.Path(folder) / name).relative_to(SOURCE).as_posix()


def read(path):
    return (SOURCE / path).read_text(encoding="utf-8")


def is_code(path):
    return pathlib.PurePosixPath(path).suffix in CODE


def includes(path):
    """(spelling, is of our own) of each include."""
    for match in INCLUDE.finditer(read(path)):
        yield match.group(2) or match.group(3), match.group(3) is not None


def unused(row, table, use, code):
    """What `row` names in `table` and no `use` in `code` does."""
    used = set(re.findall(use, code))
    return [name for name in re.findall(row, table, re.M) if name not in used]


def include_faults(path, own_includes):
    """What is wrong with including these (of our own) from `path`."""
    floor, room = path.split("/")[0], path.split("/")[1]
    for included in own_includes:
        parts = included.split("/")
        if parts[0] not in FLOORS:
            yield f"{path} includes {included}: an include names its floor"
        elif FLOORS.index(parts[0]) > FLOORS.index(floor):
            yield f"{path} includes {included}: that is upward"
        elif floor == parts[0] == "actors" and parts[1] not in (room, "messages"):
            allowed = ROOMS_INCLUDED.get(room, set())
            if allowed is not None and parts[1] not in allowed:
                yield f"{path} includes {included}: rooms speak by messages"


def library_faults(path, included):
    for library, places in LIBRARIES.items():
        for name in included:
            if name.startswith(library) and not any(re.search(place, path) for place in places):
                yield f"{path} includes <{name}>: {library} has no place here"


def readme_of(path):
    """The README that stands nearest above a file; None: there is none."""
    for folder in list(pathlib.PurePosixPath(path).parents)[:-1]:
        if (SOURCE / folder / "README.md").exists():
            return read(f"{folder}/README.md")
    return None


def is_named(stem, readme):
    """As a word, in any of the ways that people write names: `disk_watch.hpp`, disk_watch, `disk_watch`."""
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(stem)}(?![A-Za-z0-9_])", readme) is not None


def readme_faults(path):
    readme, stem = readme_of(path), pathlib.PurePosixPath(path).stem
    if readme is not None and not is_named(stem, readme):
        yield f"{path}: the README of its folder does not say what {stem} is for"


class Tidy(unittest.TestCase):
    def none(self, faults):
        faults = list(faults)
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def code(self):
        found = [path for path in files(*FLOORS) if is_code(path) and not path.endswith(".py")]
        self.assertGreater(len(found), 50, "the code is not where it is looked for")
        return found

    def test_includes_go_downward_and_rooms_speak_by_messages(self):
        self.none(fault for path in self.code()
                  for fault in include_faults(path, [name for name, own in includes(path) if own]))

    def test_libraries_are_included_where_they_belong(self):
        self.none(fault for path in self.code()
                  for fault in library_faults(path, [name for name, own in includes(path) if not own]))

    def test_a_header_says_what_it_is_and_is_read_once(self):
        headers = [path for path in self.code() if path.endswith(".hpp")]
        self.none(f"{path} does not open with ///" for path in headers if not read(path).startswith("/// "))
        self.none(f"{path} has no #pragma once" for path in headers if "\n#pragma once\n" not in read(path))

    def test_every_folder_under_a_floor_has_a_readme_of_a_few_lines(self):
        folders = sorted({"/".join(path.split("/")[:2]) for path in files(*FLOORS)
                          if path.count("/") >= 2 and not path.startswith("tools/cmake/")})
        for folder in folders:
            readme = SOURCE / folder / "README.md"
            with self.subTest(folder):
                self.assertTrue(readme.exists(), f"{folder} has no README.md")
                self.assertLessEqual(len(readme.read_text().splitlines()), README_LINES_MOST)

    def test_a_readme_names_the_public_headers_beside_it(self):
        self.none(fault for path in files(*FLOORS) if path.endswith(".hpp") for fault in readme_faults(path))

    def test_the_reference_of_the_metrics_is_what_the_code_says_now(self):
        self.assertEqual(read("docs/reference/metrics.md"), metrics_reference.page(),
                         "stale: run `tests/tidy/metrics_reference.py > docs/reference/metrics.md`")
        made = {f"{name} {kind}" for name, (kind, _, _) in metrics_reference.metrics().items()}
        promised = {line for line in read("tests/golden/metrics.txt").splitlines() if line and line[0] != "#"}
        self.assertEqual(promised - made, set(), "what a node says and the reference does not")

    def test_lines_are_not_too_long(self):
        def long_lines(path):
            for number, line in enumerate(read(path).splitlines(), 1):
                if len(line) > LINE_LENGTH_MOST:
                    yield f"{path}:{number} has {len(line)} characters"
        # A table (.def) has a row a line; what stands in tests/golden was made by a program.
        self.none(fault for path in files(*FLOORS, "tests")
                  if is_code(path) and not path.endswith(".def") and not path.startswith("tests/golden/")
                  for fault in long_lines(path))

    def test_every_error_is_answered_and_every_bound_is_kept(self):
        code = "\n".join(read(path) for path in self.code() if not path.endswith("storage/base/limits.hpp"))
        self.none(f"{name}: nobody answers this error"
                  for name in unused(r"^X\((\w+),", read("storage/base/errors.def"), r"errc::(\w+)", code))
        limits = read("storage/base/limits.hpp")
        self.none(f"{name}: nobody keeps this bound"
                  for name in unused(r"^inline constexpr [^=]*?(\w+)(?:\[\])? =", limits, r"\w+", code)
                  if len(re.findall(rf"\b{name}\b", limits)) == 1)  # others may be made of it

    def test_names_say_what_a_thing_is(self):
        self.none(f"{path}: a name that says nothing" for path in files(*FLOORS, "tests", "docs", "configs")
                  if FORBIDDEN_NAMES.search(pathlib.PurePosixPath(path).name))


class TheRulesThemselves(unittest.TestCase):
    """A check that lets everything pass is none."""

    def test_what_nobody_uses_is_found(self):
        self.assertEqual(unused(r"^X\((\w+),", "X(a, 1)\nX(b, 2)", r"errc::(\w+)", "errc::b a"), ["a"])

    def test_an_upward_include_is_found(self):
        self.assertTrue(list(include_faults("storage/model/topic.cpp", ["actors/messages/messages.hpp"])))
        self.assertFalse(list(include_faults("actors/profile/user_table.cpp", ["storage/model/topic.hpp"])))

    def test_a_room_that_includes_another_is_found(self):
        self.assertTrue(list(include_faults("actors/gateway/keys.cpp", ["actors/profile/user_table.hpp"])))
        self.assertTrue(list(include_faults("actors/ingestion/ingest_job.cpp", ["actors/profile/user_table.hpp"])))
        self.assertFalse(list(include_faults("actors/ingestion/ingest_job.cpp", ["actors/topic_filter/filter.hpp"])))

    def test_a_header_that_no_readme_names_is_found(self):
        self.assertTrue(is_named("disk_watch", "`disk_watch.hpp` looks at the disk."))
        self.assertFalse(is_named("disk", "`disk_watch.hpp` looks at the disks."))

    def test_a_metric_is_read_as_it_is_written(self):
        text = 'metrics::counter("candor_a_total", "One, " "and (two).", {{"why", name(x, 1)}, {"how", "b"}});'
        self.assertEqual(list(metrics_reference.metrics_in(text)),
                         [("candor_a_total", "counter", ["why", "how"], "One, and (two).")])

    def test_a_library_out_of_its_place_is_found(self):
        self.assertTrue(list(library_faults("actors/profile/user_table.cpp", ["caf/all.hpp"])))
        self.assertTrue(list(library_faults("storage/stores/audit_log.cpp", ["rocksdb/db.h"])))
        self.assertFalse(list(library_faults("actors/profile/profile_actor.cpp", ["caf/all.hpp"])))


if __name__ == "__main__":
    unittest.main(verbosity=2)
