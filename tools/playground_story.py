"""The playground's story: a node with a settable clock, real calls, and an outcome for each that must hold.

Started by tools/playground. Every step prints what was asked and what came of it; the first outcome that is not what the
story says ends it with status 1.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Mismatch(Exception):
    pass


class Node:
    """One candord of our own, on loopback, with a folder of its own."""

    def __init__(self, bin_dir, port):
        self.folder = tempfile.TemporaryDirectory(prefix="candor-playground-")
        self.log = open(os.path.join(self.folder.name, "candord.log"), "w+", encoding="utf-8")
        self.process = None
        for candidate in [port] if port else [*range(8080, 8100), 0]:
            self.process = subprocess.Popen(
                [os.path.join(bin_dir, "candord"), "--config", "configs/playground.toml",
                 "--data", os.path.join(self.folder.name, "data"), "--http", f"127.0.0.1:{candidate}"],
                stdout=subprocess.PIPE, stderr=self.log, text=True)
            banner = []
            for line in self.process.stdout:
                banner.append(line.rstrip())
                if "TLS" in line:
                    break
            found = re.search(r"listens\s+(\S+)", "\n".join(banner))
            if found:
                self.url = found.group(1)
                self.banner = banner
                return
            self.process.wait()
        self.log.seek(0)
        raise Mismatch("the node did not start:\n" + self.log.read())

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)
        self.log.close()
        self.folder.cleanup()

    def call(self, method, path, body=None, content_type="application/json"):
        """The status and the answer, as JSON where it is."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as problem:
            status, text = problem.code, problem.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def admin(self, verb, **arguments):
        status, answer = self.call("POST", f"/v1/admin/{verb}", arguments)
        if status != 200:
            raise Mismatch(f"{verb}: {answer}")
        return answer


class Story:
    def __init__(self, node):
        self.node = node
        self.events = 0
        self.steps = 0

    def chapter(self, title):
        print("\n" + paint("1;36", title))

    def step(self, what, outcome, expected=None):
        """Prints a step; where something is expected the outcome must be it."""
        self.steps += 1
        shown = outcome if isinstance(outcome, str) else json.dumps(outcome, ensure_ascii=False)
        if expected is not None and outcome != expected:
            print(f"  {paint('31', '✗')} {what} → {shown}")
            raise Mismatch(f"{what}: expected {expected!r}, got {outcome!r}")
        print(f"  {paint('32', '✓')} {what} → {paint('1', shown)}")

    def note(self, text):
        print(paint("2", f"    {text}"))

    def event(self, **fields):
        self.events += 1
        return {"id": f"story-{self.events}", **fields}

    def say(self, user, text, at, lang="en", **more):
        event = self.event(user=user, at=at, kind="ai_interaction", modality="text", lang=lang, text=text, **more)
        return self.send(event), event

    def send(self, event):
        _, verdict = self.node.call("POST", "/v1/events", json.dumps(event).encode(), "application/x-ndjson")
        status = verdict["status"]
        return f"{status}: {verdict['reason']}" if verdict.get("reason") else status

    def engage(self, user, action, object_id, topics, at):
        return self.send(self.event(user=user, at=at, kind="engagement", action=action,
                                    object={"id": object_id, "topics": topics}))

    def interests(self, user):
        _, answer = self.node.call("GET", f"/v1/users/{user}/interests")
        return sorted({(i["topic"], i["source"]) for i in answer["interests"]})

    def put(self, user, **details):
        status, answer = self.node.call("PUT", f"/v1/users/{user}", details)
        if status not in (200, 201, 204):
            raise Mismatch(f"PUT {user}: {answer}")

    def told(self, user):
        self.node.admin("notice_reached", user=user, policy="ai-interactions", revision=1, channel="in_app")


PEOPLE = {"ann": ("US", "en"), "bea": ("BR", "pt"), "cam": ("CA", "fr"), "gus": ("GB", "en"), "dora": ("DE", "de"),
          "kim": ("KR", "ko"), "leo": ("US", "en"), "new": ("US", "en")}
EXCLUDED = ["gus", "dora", "kim"]


def tell(story):
    node = story.node

    story.chapter("1  October 2025: the policy is announced, and not in force")
    story.step("policy in force", node.admin("policy_show")["in_force"] or "none", "none")
    for user, (region, lang) in PEOPLE.items():
        story.put(user, region=region, region_since="2020-01-01", lang=lang)
    story.step("people, in regions", ", ".join(f"{u} {r}" for u, (r, _) in PEOPLE.items()))
    node.admin("clock_set", time="2025-11-01T09:00:00Z")
    for user in PEOPLE:
        if user not in ("new", "leo"):
            story.told(user)
    story.step("told in the app on 2025-11-01", "everybody but leo and new")

    story.chapter("2  Before the date nothing is used")
    at = "2025-11-01T09:00:00Z"
    verdict, early = story.say("ann", "which hiking boots are good in winter?", at)
    story.step("ann asks the assistant about hiking boots", verdict, "withheld: policy_not_effective")
    story.step("ann's interests", story.interests("ann"), [])

    story.chapter("3  The date comes: 2025-12-16")
    at = "2025-12-17T09:00:00Z"
    node.admin("clock_set", time=at)
    story.step("policy in force", node.admin("policy_show")["in_force"], "2025-12-16.1")
    story.step("what ann said before the date, sent again", story.send(early), "invalid: too_old")
    for text in ["which hiking boots are good in winter?", "plan a hiking trip in the mountains with a tent",
                 "an easy pasta recipe with tomatoes and garlic, please"]:
        story.step(f"ann: “{text}”", story.say("ann", text, at)[0], "accepted")
    story.step("ann likes a page about dogs", story.engage("ann", "like", "page-7", ["pets"], at), "accepted")
    found = story.interests("ann")
    if ["outdoors", "ai"] not in [list(i) for i in found] or ("pets", "engagement") not in found:
        raise Mismatch(f"ann's interests are {found}")
    story.step("ann's interests, each with its source", ", ".join(f"{t} ({s})" for t, s in found))
    verdict, repeated = story.say("ann", "where can I go camping by a lake?", at)
    story.step("ann: “where can I go camping by a lake?”", verdict, "accepted")
    story.step("the same event, sent again", story.send(repeated), "duplicate")

    story.chapter("4  What is sensitive is withheld, and leaves no trace")
    before = story.interests("ann")
    for text, lang in [("is there a mosque near the hotel?", "en"), ("shoes for my chemo days", "en"),
                       ("recetas para mi diabetes", "es"), ("welche Partei soll ich bei der Wahl wählen?", "de")]:
        story.step(f"ann: “{text}”", story.say("ann", text, at, lang)[0], "withheld: sensitive")
    story.step("ann's interests are what they were", story.interests("ann") == before, True)
    story.step("ann: “my bishop takes the knight in chess”",
               story.say("ann", "my bishop takes the knight in chess", at)[0], "accepted")

    story.chapter("5  Excluded regions, and people who were not told")
    for user in EXCLUDED:
        region, lang = PEOPLE[user]
        story.step(f"{user} in {region} asks about laptops",
                   story.say(user, "which laptop is good for video games?", at, "en")[0], "withheld: region_excluded")
        story.step(f"{user} likes a page about football", story.engage(user, "like", "page-9", ["sports"], at), "accepted")
        story.step(f"{user}'s interests", story.interests(user), [("sports", "engagement")])
    story.step("new, whom no notice reached, asks about guitars",
               story.say("new", "how do I learn the guitar?", at)[0], "withheld: not_notified")
    story.step("someone whose region nobody stated asks",
               story.say("stranger", "how do I learn the guitar?", at)[0], "withheld: region_unknown")

    story.chapter("6  Who does not use the assistant is untouched")
    for action, topic in [("like", "music"), ("follow", "travel"), ("share", "music")]:
        story.step(f"leo: {action} of a page about {topic}", story.engage("leo", action, f"page-{topic}", [topic], at), "accepted")
    _, leo = node.call("GET", "/v1/users/leo")
    story.step("leo uses the assistant since", leo.get("assistant_user_since") or "never", "never")
    story.step("leo's interests", story.interests("leo"), [("music", "engagement"), ("travel", "engagement")])

    story.chapter("7  Rights: see, correct, export, erase")
    status, refusal = node.call("POST", "/v1/users/ann/opt-out", {})
    story.step("ann asks to opt out", refusal.get("code"), "opt_out_not_offered")
    story.note(refusal.get("remedy", ""))
    topic = next(t for t, s in story.interests("ann") if t != "outdoors")
    status, _ = node.call("DELETE", f"/v1/users/ann/interests/{topic}")
    story.step(f"ann removes the interest {topic}", topic not in [t for t, _ in story.interests("ann")], True)
    status, export = node.call("GET", "/v1/users/ann/export")
    story.step("ann's export", f"HTTP {status}, {len(json.dumps(export))} bytes: " + ", ".join(sorted(export)[:8]) + ", …")
    if status != 200 or export.get("user") != "ann":
        raise Mismatch("the export is not ann's")
    node.admin("clock_set", time="2025-12-17T10:00:00Z")
    status, receipt = node.call("DELETE", "/v1/users/ann")
    story.step("ann is erased", f"HTTP {status}, receipt {receipt.get('receipt')}, key gone at {receipt.get('unreadable_at')}")
    if not receipt.get("receipt"):
        raise Mismatch(f"no receipt: {receipt}")
    status, gone = node.call("GET", "/v1/users/ann")
    story.step("ann afterwards", gone.get("code"), "user_not_found")
    story.step("something ann said an hour ago arrives late",
               story.say("ann", "which hiking boots are good in winter?", at)[0], "withheld: erased")

    story.chapter("8  The audit log tells it, and can be checked")
    verified = node.admin("audit_verify")
    story.step(f"{verified['entries']} entries in {len(verified['shards'])} chains are whole", verified["ok"], True)
    for record in node.admin("audit_tail", limit=200)["records"]:
        if record["action"] in ("user_exported", "interest_forgotten", "user_erased"):
            story.note(f"{record['at']}  {record['action']:<20} {record['subject']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--exit", action="store_true")
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

    node = None
    try:
        node = Node(options.bin_dir, options.port)
        print("\n".join(node.banner))
        begun = time.monotonic()
        story = Story(node)
        tell(story)
        print(f"\n{paint('1;32', 'The story holds')}: {story.steps} steps in {time.monotonic() - begun:.1f} s")
        print(f"  API        {node.url}/v1/openapi.yaml\n  metrics    {node.url}/metrics\n"
              f"  try        curl {node.url}/v1/users/leo/interests\n"
              f"             {os.path.join(options.bin_dir, 'candorctl')} --node {node.url} user show leo")
        if not options.exit:
            print("It keeps serving; Ctrl-C ends it.", flush=True)
            node.process.wait()
        return 0
    except Mismatch as why:
        print(f"\n{paint('1;31', 'The story does not hold')}: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if node:
            node.stop()


if __name__ == "__main__":
    sys.exit(main())
