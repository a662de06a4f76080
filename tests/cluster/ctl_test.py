#!/usr/bin/env python3
"""candorctl from end to end: what it prints, what it exits with, how it complains."""

import datetime
import json
import re
import subprocess
import textwrap
import threading
import time

import process_case
from canary_test import pack


def now(minutes=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def interaction(id, user, text, at=None):
    return {"id": id, "user": user, "at": at or now(), "kind": "ai_interaction", "modality": "text", "lang": "en",
            "text": text}


def like(id, user, topic, at=None):
    return {"id": id, "user": user, "at": at or now(), "kind": "engagement", "action": "like",
            "object": {"id": "page", "topics": [topic]}}


def ndjson(*events):
    return "".join(json.dumps(e) + "\n" for e in events)


class WithoutNode(process_case.ProcessCase):
    """Nothing listens where these look."""

    def ctl(self, *arguments, stdin=None):
        command = [str(process_case.bin_dir / "candorctl"), *map(str, arguments)]
        environment = {"PATH": "/usr/bin:/bin", "CANDOR_NODE": "http://127.0.0.1:9",
                       "CANDOR_CONFIGS": str(process_case.SOURCE / "configs")}
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, timeout=60)

    def commands(self, *path):
        """Every command below `path`, as its words."""
        help_text = self.ctl(*path, "--help").stdout
        if "Subcommands:" not in help_text:
            return [path]
        names = re.findall(r"^  ([a-z][a-z-]*) ", help_text.split("Subcommands:")[1].split("\n\n")[0], re.M)
        return [command for name in names for command in self.commands(*path, name)]

    def test_every_command_s_help_shows_a_worked_example(self):
        commands = self.commands()
        self.assertGreater(len(commands), 25)
        for command in commands:
            done = self.ctl(*command, "--help")
            self.assertEqual(done.returncode, 0, command)
            self.assertIn("Example:\n", done.stdout, command)
            example = done.stdout.split("Example:\n")[1]
            self.assertIn(f"candorctl {command[0]}", example, command)

    def test_the_reference_pages_are_what_candorctl_says_now(self):
        for page in ("cli", "config", "errors"):
            file = process_case.SOURCE / f"docs/reference/{page}.md"
            with self.subTest(page):
                self.assertEqual(file.read_text(), self.ctl("reference", page).stdout,
                                 f"stale: run `candorctl reference {page} > docs/reference/{page}.md`")
        self.assertEqual(self.ctl("reference").stdout, self.ctl("reference", "cli").stdout)

    def test_wrong_usage_exits_2(self):
        for wrong in ([], ["bogus"], ["user", "show"], ["user", "show", "ann", "--bogus"], ["version", "-o", "xml"],
                      ["user", "show", "ann", "--timeout", "soon"], ["ingest"], ["node", "log-level", "loud"],
                      ["completion", "fish"]):
            done = self.ctl(*wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertEqual(done.stdout, "", wrong)
            self.assertNotEqual(done.stderr, "", wrong)

    def test_a_node_that_is_not_there_is_said_with_its_remedy_and_exits_1(self):
        done = self.ctl("user", "show", "ann")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^unavailable: .*127\.0\.0\.1:9.*\n  \S.*")
        done = self.ctl("ingest", "-", stdin=ndjson(like("e", "ann", "music")))
        self.assertEqual(done.returncode, 1)
        self.assertIn("unavailable: ", done.stderr)

    def test_the_doctor_exits_10_where_a_check_does_not_hold(self):
        done = self.ctl("doctor", "-o", "json")
        self.assertEqual(done.returncode, 10)
        checks = json.loads(done.stdout)["checks"]
        self.assertEqual([(c["check"], c["ok"]) for c in checks], [("reachable", False)])
        self.assertIn("candord", checks[0]["remedy"])

    def test_version_is_said_in_every_form(self):
        self.assertRegex(self.ctl("version").stdout, r"^candorctl \d+\.\d+\.\d+\n$")
        self.assertEqual(list(json.loads(self.ctl("version", "-o", "json").stdout)), ["candorctl"])
        self.assertEqual(len(self.ctl("-o", "jsonl", "version").stdout.splitlines()), 1)

    def test_the_completion_script_completes(self):
        script = self.ctl("completion", "bash").stdout
        done = subprocess.run(["bash", "-c", script + """
            complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _candorctl; echo "${COMPREPLY[*]}"; }
            complete_words candorctl us
            complete_words candorctl user er
            complete_words candorctl user put ann --reg
            complete_words candorctl -o json node clock s
            """], capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines(), ["user", "erase", "--region --region-since", "show set"],
                         done.stderr)

    def test_topics_are_classified_line_by_line(self):
        rows = [{"id": "a", "text": "which hiking boots are good in winter?", "lang": "en"},
                {"id": 2, "text": "I was diagnosed with diabetes"},
                {"id": "c", "text": "and now?", "lang": "en", "context": ["my cancer is back"]}]
        done = self.ctl("topics", "classify", "--jsonl", stdin=ndjson(*rows))
        self.assertEqual(done.returncode, 0, done.stderr)
        first, second, third = map(json.loads, done.stdout.splitlines())
        self.assertEqual((first["id"], first["verdict"], first["sensitive"]), ("a", "accepted", []))
        self.assertIn("outdoors", first["topics"])
        self.assertEqual((second["id"], second["verdict"], second["topics"]), (2, "withheld", []))
        self.assertIn("health", second["sensitive"])
        found = {rows[1]["text"][e["begin"]:e["end"]] for e in second["evidence"] if e["subject"] == "health"}
        self.assertIn("diabetes", found)
        self.assertIn("health", third["sensitive"])

    def test_a_line_that_cannot_be_classified_is_named_and_exits_1(self):
        done = self.ctl("topics", "classify", "--jsonl", stdin='{"id":1\n{"id":2,"text":"a tent"}\n{"id":3}\n')
        self.assertEqual(done.returncode, 1)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([a.get("error") for a in answers], ["malformed", None, "missing_field"])
        self.assertEqual(answers[1]["verdict"], "accepted")

    def test_topics_are_explained_and_listed(self):
        done = self.ctl("topics", "explain", "my doctor says it is diabetes", "-o", "json")
        explained = json.loads(done.stdout)
        self.assertIn("diabetes", [e["span"] for e in explained["evidence"]])
        listed = [json.loads(line) for line in self.ctl("topics", "list", "-o", "jsonl").stdout.splitlines()]
        first = [t["topic"] for t in listed if not t["parent"]]
        self.assertEqual(len(first), 24)
        self.assertIn("outdoors", first)
        self.assertEqual({t["parent"] for t in listed if t["parent"]} - set(first), set())

    def test_a_policy_is_validated_with_line_and_column(self):
        reference = process_case.SOURCE / "configs/policies/ai-interactions-2025-12-16.1.toml"
        done = self.ctl("policy", "validate", reference, "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["excluded_regions"], "GB, EU, KR")
        wrong = self.folder / "wrong.toml"
        lines = reference.read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("minimum_age"))
        lines[at] = "minimum_age = 180"
        wrong.write_text("\n".join(lines))
        done = self.ctl("policy", "validate", wrong)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf"^policy_invalid: .*wrong\.toml:{at + 1}:\d+: ")

    def test_what_differs_between_policies_is_shown(self):
        reference = process_case.SOURCE / "configs/policies/ai-interactions-2025-12-16.1.toml"
        other = self.folder / "other.toml"
        other.write_text(reference.read_text().replace('half_life = "30d"', 'half_life = "10d"')
                         .replace('"2025-12-16.1"', '"2025-12-16.2"'))
        done = self.ctl("policy", "diff", reference, other, "-o", "json")
        self.assertEqual(json.loads(done.stdout)["changes"],
                         [{"field": "version", "a": "2025-12-16.1", "b": "2025-12-16.2"},
                          {"field": "decay.half_life", "a": "30d", "b": "10d"}])

    def test_a_configuration_is_checked(self):
        done = self.ctl("config", "check", "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["shards"], 64)
        wrong = self.folder / "node.toml"
        wrong.write_text('name = "n"\nshards = 63\n')
        done = self.ctl("config", "check", wrong)
        self.assertEqual(done.returncode, 1)
        self.assertIn("config_invalid: ", done.stderr)

    def test_a_configuration_is_not_valid_where_what_it_names_is_not_there(self):
        configs = process_case.SOURCE / "configs"
        file = self.folder / "node.toml"
        for key in ("lexicon", "notices"):
            file.write_text(f'regions = "{configs}/regions.toml"\n{key} = "nowhere"\n'
                            f'policies = ["{configs}/policies/ai-interactions-2025-12-16.1.toml"]\n')
            done = self.ctl("config", "check", file)
            self.assertEqual(done.returncode, 1, key)
            self.assertRegex(done.stderr, "^config_invalid: .*nowhere")

    def test_a_key_is_hashed_from_stdin_and_a_new_one_is_shown_once(self):
        done = self.ctl("key", "hash", stdin="a-key-of-some-length\n")
        self.assertRegex(done.stdout, r'^hash = "\$argon2id\$.+"\n$')
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.ctl("key", "hash", stdin="short\n").returncode, 1)
        made = json.loads(self.ctl("key", "hash", "--new", "-o", "json").stdout)
        self.assertGreaterEqual(len(made["key"]), 32)

    def test_a_user_token_is_signed_as_the_interface_s_description_says(self):
        secret = self.folder / "secret"
        secret.write_bytes(bytes(range(40)) + b"\n")
        begun = int(time.time() * 1000)
        arguments = ("key", "user-token", "u-42", "--for", "1h", "--secret", secret)
        made = json.loads(self.ctl(*arguments, "-o", "json").stdout)
        description = (process_case.SOURCE / "actors/gateway/openapi.yaml").read_text()
        lines = re.search(r"^ *import base64, hashlib\n.*?rstrip\(.*?\n", description, re.M | re.S)
        example = {}
        exec(textwrap.dedent(lines.group()), example)
        expires = int(datetime.datetime.fromisoformat(made["expires"].replace("Z", "+00:00")).timestamp() * 1000 + 0.5)
        self.assertEqual(made["token"], example["user_token"](secret.read_bytes(), "u-42", expires))
        self.assertGreaterEqual(expires, begun + 3600 * 1000)
        self.assertRegex(self.ctl(*arguments).stdout, r"^u\.[A-Za-z0-9_-]+\n$")
        self.assertEqual(self.ctl(*arguments[:5], "--secret", self.folder / "none").returncode, 1)
        secret.write_bytes(b"short")
        self.assertEqual(self.ctl(*arguments).returncode, 1)
        self.assertEqual(self.ctl("key", "user-token", "u-42", "--for", "soon", "--secret", secret).returncode, 2)


class WithNode(process_case.ProcessCase):
    def setUp(self):
        super().setUp()
        self.node = self.start_node()

    def ctl(self, *arguments, stdin=None, code=0):
        done = self.node.candorctl(*arguments, stdin=stdin, check=False)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def json(self, *arguments, stdin=None):
        return json.loads(self.ctl(*arguments, "-o", "json", stdin=stdin).stdout)

    def introduce_ann(self):
        self.ctl("user", "put", "ann", "--region", "US", "--region-since", "2020-01-01", "--lang", "en",
                 "--birth-year", 1990, "--email", "ann@example.org", "--zone", "America/New_York")
        self.ctl("notice", "reached", "ann", "--policy", "ai-interactions", "--revision", 1, "--channel", "in_app",
                 "--at", "2025-10-08T00:00:00Z")

    def test_a_person_from_record_to_receipt(self):
        self.introduce_ann()
        shown = self.json("user", "show", "ann")
        self.assertEqual((shown["region"], shown["birth_year"], shown["email"]), ("US", 1990, "ann@example.org"))
        self.assertEqual(shown["notices"][0]["reached"], "2025-10-08T00:00:00Z")
        self.ctl("user", "put", "ann", "--lang", "fr")
        shown = self.json("user", "show", "ann")
        self.assertEqual((shown["region"], shown["lang"]), ("US", "fr"), "what was not named stays")

        self.ctl("ingest", "-", stdin=ndjson(like("l1", "ann", "music"), like("l2", "ann", "travel")))
        self.assertIn("music", self.ctl("user", "interests", "ann").stdout)
        lines = self.ctl("user", "interests", "ann", "-o", "jsonl").stdout.splitlines()
        self.assertEqual([json.loads(line)["topic"] for line in lines], ["music", "travel"])
        self.ctl("user", "forget-interest", "ann", "music")
        self.assertEqual([i["topic"] for i in self.json("user", "interests", "ann")["interests"]], ["travel"])

        file = self.folder / "ann.json"
        self.ctl("user", "export", "ann", "--to", file)
        self.assertEqual(json.loads(file.read_text())["user"], "ann")
        receipt = self.json("user", "erase", "ann")
        self.assertEqual(receipt["subject"], shown["pseudonym"])
        done = self.ctl("user", "show", "ann", code=1)
        self.assertRegex(done.stderr, r"^user_not_found: No such user is known\.\n  \S.*\n  trace [0-9a-f]{32}\n$")

        records = self.json("audit", "find", "--subject", receipt["subject"])["records"]
        self.assertEqual([r["action"] for r in records][:4],
                         ["notice_recorded", "interest_forgotten", "user_exported", "user_erased"])
        self.assertEqual(records[3]["hash"], receipt["audit"]["hash"])
        verified = self.json("audit", "verify")
        self.assertTrue(verified["ok"])
        self.assertIn("the chains hold", self.ctl("audit", "verify").stdout)

        heads, kept = self.folder / "heads.json", self.folder / "receipt.json"
        heads.write_text(json.dumps(verified))
        kept.write_text(json.dumps(receipt))
        self.ctl("ingest", "-", stdin=ndjson(like("l3", "bea", "music")))
        held = self.ctl("audit", "verify", "--against", heads, "--receipt", kept).stdout
        known = 1 + sum(s["entries"] > 0 for s in verified["shards"])
        self.assertIn(f"{known} entries known from elsewhere stand where they stood", held)
        receipt["audit"]["entry"] -= 1
        kept.write_text(json.dumps(receipt))
        broken = self.ctl("audit", "verify", "--receipt", kept, code=10).stdout
        self.assertIn(f"shard {receipt['audit']['shard']}: audit log of shard", broken)
        verified["shards"][0]["entries"] += 1000
        heads.write_text(json.dumps(verified))
        self.assertIn("was known to reach", self.ctl("audit", "verify", "--against", heads, code=10).stdout)
        heads.write_text("{}")
        self.assertIn("is no answer of `audit verify`", self.ctl("audit", "verify", "--against", heads, code=1).stderr)

    def test_an_id_with_every_kind_of_character_names_one_person(self):
        for user in ("a/b", "a b?c#d", "käthe%2F", "..", "."):
            self.ctl("user", "put", user, "--region", "CA")
            self.assertEqual(self.json("user", "show", user)["user"], user)

    def test_an_error_is_json_where_json_is_asked_for(self):
        self.introduce_ann()
        done = self.ctl("user", "opt-out", "ann", "-o", "json", code=1)
        problem = json.loads(done.stderr)
        self.assertEqual(problem["code"], "opt_out_not_offered")
        self.assertRegex(problem["trace_id"], "^[0-9a-f]{32}$")
        self.assertTrue(problem["remedy"])
        self.assertEqual(done.stdout, "")

    def test_what_the_node_refuses_comes_back_with_the_node_s_words(self):
        done = self.ctl("user", "put", "ann", "--region", "XX", code=1)
        self.assertRegex(done.stderr, r"^bad_region: .*\n  .*\n  trace ")
        done = self.ctl("user", "forget-interest", "ann", "health", code=1)
        self.assertTrue(done.stderr.startswith("sensitive_topic: "), done.stderr)
        done = self.ctl("node", "clock", "set", "2030-01-01T00:00:00Z", code=1)
        self.assertTrue(done.stderr.startswith("clock_not_settable: "), done.stderr)
        done = self.ctl("notice", "reached", "ann", "--policy", "ai-interactions", "--revision", 1, "--channel",
                        "email", "--at", "2190-01-01T00:00:00Z", code=1)
        self.assertTrue(done.stderr.startswith("bad_value: "), done.stderr)

    def test_each_event_gets_its_verdict_in_order(self):
        self.introduce_ann()
        file = self.folder / "events.ndjson"
        verdicts = self.folder / "verdicts.ndjson"
        file.write_text(ndjson(interaction("e1", "ann", "which hiking boots are good in winter?"),
                               interaction("e1", "ann", "which hiking boots are good in winter?")) + "\n" +
                        ndjson(interaction("e2", "ann", "I was diagnosed with cancer"),
                               interaction("e3", "nobody", "a tent"), {"id": "e4"}) + '{"id":"e5\n' +
                        '"' + "x" * 200_000 + '"\n' +
                        ndjson(like("e6", "ann", "music")).strip())
        done = self.ctl("ingest", file, "--verdicts", verdicts, "--batch", 3, "-o", "json", code=1)
        counts = json.loads(done.stdout)
        self.assertEqual(counts["verdicts"], {"accepted": 2, "duplicate": 1, "invalid": 3, "withheld": 2})
        self.assertEqual(counts["reasons"]["withheld"], {"region_unknown": 1, "sensitive": 1})
        found = [json.loads(line) for line in verdicts.read_text().splitlines()]
        self.assertEqual([(v["id"], v["status"], v.get("line")) for v in found],
                         [("e1", "accepted", None), ("e1", "duplicate", None), ("e2", "withheld", None),
                          ("e3", "withheld", None), ("e4", "invalid", 6), (None, "invalid", 7), (None, "invalid", 8),
                          ("e6", "accepted", None)])
        self.assertEqual(found[6]["reason"], "too_large")
        done = self.ctl("ingest", file, code=1)
        self.assertRegex(done.stderr, r"line 6: missing_field: .*\nline 7: malformed.*\nline 8: too_large")
        self.assertRegex(done.stdout, r"invalid +3\n +malformed +1\n +missing_field +1\n +too_large +1")

    def test_msgpack_is_read_as_a_stream_of_maps(self):
        file = self.folder / "events.msgpack"
        file.write_bytes(b"".join(pack(like(f"m{i}", "mo", "music")) for i in range(1000)))
        counts = self.json("ingest", file, "--batch", 300)
        self.assertEqual(counts["verdicts"], {"accepted": 1000})
        with open(file, "ab") as more:
            more.write(pack(like("cut", "mo", "music"))[:-3])
        done = self.ctl("ingest", file, "-o", "json", code=1)
        self.assertEqual(json.loads(done.stdout)["verdicts"], {"duplicate": 1000, "invalid": 1})

    def test_history_comes_in_by_an_import_run(self):
        old = ndjson(like("h1", "hal", "books", at="2026-01-05T10:00:00Z"))
        done = self.ctl("ingest", "-", "-o", "json", stdin=old, code=1)
        self.assertEqual(json.loads(done.stdout)["reasons"], {"invalid": {"too_old": 1}})
        run = self.json("import", "open", "history")["run"]
        self.assertEqual(self.json("import", "list")["open"], [run])
        self.assertEqual(self.json("ingest", "-", "--import", run, stdin=old)["verdicts"], {"accepted": 1})
        self.assertEqual(self.json("ingest", "-", "--import", run, stdin=old)["verdicts"], {"duplicate": 1})
        self.ctl("import", "close", run)
        self.assertEqual(self.json("import", "list")["open"], [])

    def test_the_node_s_own_commands(self):
        self.assertTrue(self.json("doctor")["ok"])
        self.assertEqual(self.ctl("doctor").stdout.count("ok  "), len(self.json("doctor")["checks"]))
        status = self.json("cluster", "status")
        self.assertEqual(len(status["shards"]), 64)
        self.assertIn("64, ", self.ctl("cluster", "status", "--shards").stdout)
        self.assertEqual(self.json("policy", "show")["in_force"], "2025-12-16.1")
        self.assertEqual(self.json("node", "log-level", "debug"), {"level": "debug"})
        self.assertFalse(self.json("node", "clock", "show")["settable"])
        self.ctl("node", "stop")
        self.assertEqual(self.node.process.wait(30), 0)

    def test_the_doctor_judges_a_disk_by_the_node_s_own_mark(self):
        low = self.start_node("low", flags=["--disk-low-bytes", str(1 << 45)])
        until = time.monotonic() + 30
        while (done := low.candorctl("doctor", "-o", "json", check=False)).returncode == 0:
            self.assertLess(time.monotonic(), until, "the node takes no data, and the doctor finds nothing")
            time.sleep(0.2)
        self.assertEqual(done.returncode, 10)
        wrong = [c for c in json.loads(done.stdout)["checks"] if not c["ok"] and c["check"] == "disk space"]
        self.assertIn("no new data", wrong[0]["remedy"])
        status = low.admin("status")
        self.assertEqual((status["data"]["low_on_disk"], status["data"]["low_bytes"]), (True, 1 << 45))

    def test_the_topic_filter_is_reloaded_while_events_come_and_none_goes_unfiltered(self):
        lexicon = self.folder / "lexicon"
        (lexicon / "sensitive").mkdir(parents=True)
        (lexicon / "topics").mkdir()
        terms = lexicon / "sensitive" / "health.en.txt"
        terms.write_text("[hard]\ndiabetes\n")
        (lexicon / "topics" / "outdoors.en.txt").write_text("hiking\n")
        flags = ["--lexicon", str(lexicon), "--topics-model", "none"]
        self.node = self.start_node("reloaded", flags=flags)
        self.introduce(self.node, *(f"u-{i}" for i in range(20)))
        sent = [interaction(f"e-{i}", f"u-{i % 20}", "I have diabetes" if i % 2 else "hiking") for i in range(6000)]
        verdicts = []

        def ingest():
            for at in range(0, len(sent), 100):
                body = ndjson(*sent[at:at + 100]).encode()
                answer = self.node.call("POST", "/v1/events", body, content_type="application/x-ndjson")
                self.assertEqual(answer.status, 200, answer.body)
                verdicts.extend(answer.lines())

        def judges(text):
            self.asked = getattr(self, "asked", 0) + 1
            event = ndjson(interaction(f"q-{self.asked}", "u-1", text)).encode()
            return self.node.call("POST", "/v1/events", event, content_type="application/x-ndjson").lines()[0]["status"]

        thread = threading.Thread(target=ingest)
        thread.start()
        versions = set()
        for round in range(6):
            terms.write_text("[hard]\ndiabetes\n" + ("flu\n" if round % 2 == 0 else ""))
            done = self.json("topics", "reload")
            self.assertEqual((done["node"], done["changed"]), ("node-1", True))
            versions.add(done["now"]["lexicon"])
            self.assertEqual(judges("the flu"), "withheld" if round % 2 == 0 else "accepted")
            terms.write_text("no section\n")
            refused = self.ctl("topics", "reload", code=1)
            self.assertIn("health.en.txt:1", refused.stderr)
            self.assertEqual(judges("I have diabetes"), "withheld")
        thread.join()
        self.assertEqual(len(versions), 2)
        self.assertEqual(len(verdicts), len(sent))
        for event, verdict in zip(sent, verdicts):
            expected = "withheld" if "diabetes" in event["text"] else "accepted"
            self.assertEqual((verdict["id"], verdict["status"]), (event["id"], expected))
        audited = self.json("audit", "find", "--action", "topics_reloaded")["records"]
        self.assertEqual(len(audited), 6)

    def test_a_hook_adds_blocks_and_while_it_is_dead_all_is_withheld(self):
        script = self.folder / "hook.py"
        script.write_text("import json, os, sys\n"
                          "for line in sys.stdin:\n"
                          "    q = json.loads(line)\n"
                          "    if 'trail' in q['text']: os._exit(1)\n"
                          "    sensitive = ['x'] * ('tent' in q['text'])\n"
                          "    print(json.dumps({'id': q['id'], 'sensitive': sensitive}), flush=True)\n")
        hooked = self.start_node("hooked", flags=["--topics-hook", f"/usr/bin/python3 {script}",
                                                  "--topics-hook-ms", "4000"])
        self.introduce(hooked, "ann")
        texts = ["which hiking boots are good in winter?", "a tent for hiking", "which trail for hiking?",
                 "which hiking boots?"]
        said = [hooked.call("POST", "/v1/events", interaction(f"e-{i}", "ann", t)) for i, t in enumerate(texts)]
        self.assertEqual([a.lines()[0]["status"] for a in said], ["accepted", "withheld", "withheld", "withheld"])
        command = [str(process_case.bin_dir / "candord"), "--data", str(self.folder / "never"),
                   "--http", "127.0.0.1:0", "--topics-hook", "/bin/false"]
        never = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(never.returncode, 0)
        self.assertIn("does not answer its first question", never.stderr + never.stdout)

    def test_labelled_texts_become_events(self):
        self.introduce(self.node, "u-0", "u-1")
        rows = self.folder / "rows.jsonl"
        rows.write_text(ndjson({"id": "a", "text": "which tent is light?", "lang": "en", "topics": ["outdoors"]},
                               {"id": "b", "text": "ich habe Krebs", "lang": "de", "sensitive": ["health"]}))
        labels = self.folder / "labels.jsonl"
        tool = process_case.SOURCE / "tools/labelled-to-events"
        made = subprocess.run([str(tool), "--users", "2", "--labels", str(labels), str(rows)], capture_output=True,
                              text=True, check=True).stdout
        self.assertNotIn("outdoors", made, "labels must not reach the node")
        counts = self.json("ingest", "-", stdin=made)
        self.assertEqual(counts["verdicts"], {"accepted": 1, "withheld": 1})
        self.assertEqual(json.loads(labels.read_text().splitlines()[1])["sensitive"], ["health"])

    def test_a_load_is_the_same_for_the_same_seed_and_measured_in_both_loops(self):
        load = str(process_case.bin_dir / "candor-load")

        def run(*arguments):
            done = subprocess.run([load, "--node", self.node.url, *map(str, arguments)], capture_output=True, text=True,
                                  timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        write = ["--write", "-", "--events", 200, "--users", 20, "--at", "2026-01-01T00:00:00Z"]
        self.assertEqual(run(*write, "--seed", 5), run(*write, "--seed", 5))
        self.assertNotEqual(run(*write, "--seed", 5), run(*write, "--seed", 6))
        acked = self.folder / "acked"
        closed = json.loads(run("--prepare", "--users", 20, "--events", 500, "--seed", 5, "--mix",
                                "ai=50,engagement=40,queries=10", "--acked", acked, "-o", "json"))
        self.assertEqual(closed["events"], 500)
        self.assertEqual(set(closed["verdicts"]) - {"withheld"}, {"accepted"})
        self.assertEqual(len(acked.read_text().splitlines()), closed["verdicts"]["accepted"])
        self.assertGreater(closed["queries"], 30)
        self.assertGreater(closed["latency_ms"]["p50"], 0)
        paced = json.loads(run("--users", 20, "--seed", 6, "--rate", 400, "--batch", 10, "--duration", "2s", "-o",
                               "json"))
        self.assertAlmostEqual(paced["events"], 800, delta=120)


class NodeWithAnOperatorsAddress(process_case.ProcessCase):
    def test_operators_are_served_there_only(self):
        node = self.start_node(flags=["--admin", "127.0.0.2:0"])
        refused = node.candorctl("audit", "tail", "-o", "json", check=False)
        self.assertEqual((refused.returncode, json.loads(refused.stderr)["code"]), (1, "forbidden"))
        self.assertIn("`admin`", json.loads(refused.stderr)["detail"])
        until = time.monotonic() + 20
        while not (banner := re.search(r"operators (http://127\.0\.0\.2:\d+)", node.log_text())):
            self.assertLess(time.monotonic(), until, node.log_text())
            time.sleep(0.05)
        there = banner[1]
        self.assertIn("the chains hold", node.candorctl("audit", "verify", "--node", there).stdout)
        node.candorctl("user", "put", "ann", "--region", "US", "--node", there)
        self.assertEqual(node.call("GET", "/v1/users/ann").status, 200)


class StrictNode(process_case.ProcessCase):
    """A node that asks for keys."""

    def test_a_key_opens_what_its_role_may_do(self):
        ctl = str(process_case.bin_dir / "candorctl")
        keys = {}
        for role in ("ingest", "auditor"):
            made = subprocess.run([ctl, "key", "hash", "--new", "-o", "json"], capture_output=True, text=True,
                                  check=True)
            keys[role] = json.loads(made.stdout)
        configs = process_case.SOURCE / "configs"
        config = self.folder / "node.toml"
        config.write_text(f'regions = "{configs}/regions.toml"\nlexicon = "{configs}/lexicon"\n'
                          f'policies = ["{configs}/policies/ai-interactions-2025-12-16.1.toml"]\n' +
                          "".join(f'[[keys]]\nname = "{role}"\nrole = "{role}"\nhash = "{k["hash"]}"\n'
                                  for role, k in keys.items()))
        node = self.start_node(config=config)

        def code(*arguments):
            done = node.candorctl(*arguments, "-o", "json", check=False)
            return json.loads(done.stderr)["code"] if done.returncode == 1 else done.returncode

        self.assertEqual(code("user", "put", "ann", "--region", "US"), "unauthenticated")
        self.assertEqual(code("user", "put", "ann", "--region", "US", "--key", "x" * 30), "unauthenticated")
        self.assertEqual(code("user", "put", "ann", "--region", "US", "--key", keys["ingest"]["key"]), 0)
        self.assertEqual(code("audit", "tail", "--key", keys["ingest"]["key"]), "forbidden")
        self.assertEqual(code("audit", "tail", "--key", keys["auditor"]["key"]), 0)
        self.assertEqual(code("audit", "verify", "--key", keys["auditor"]["key"]), 0)
        self.assertEqual(code("node", "stop", "--key", keys["auditor"]["key"]), "forbidden")


if __name__ == "__main__":
    process_case.main()
