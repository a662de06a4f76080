#!/usr/bin/env python3
"""The story: from the announcement to the erasure of a person, with real calls.

Each outcome is printed and checked. Exit 1: one was not what the story says. Run by tools/playground.
"""

import argparse
import email
import email.policy
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "cluster_tool")]
import failover  # noqa: E402
from local_cluster import ClusterError, LocalCluster  # noqa: E402
from node import Node, ROOT, free_port  # noqa: E402
from notice_stream import NoticeStream  # noqa: E402

COLOUR = os.environ.get("NO_COLOR") is None and (sys.stdout.isatty() or os.environ.get("FORCE_COLOR"))


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


class Mismatch(Exception):
    pass


class Teller:
    """Prints the story and holds the nodes to it: each call goes through another one."""

    def __init__(self, nodes):
        self.go_through(nodes)
        self.chapters = 0
        self.checks = 0
        self.sent = 0

    def go_through(self, nodes):
        self.turns = itertools.cycle(nodes)

    @property
    def node(self):
        """The next whose turn it is."""
        return next(self.turns)

    def chapter(self, title):
        self.chapters += 1
        print(f"\n{paint('1;36', f'{self.chapters}. {title}')}")

    def say(self, text):
        print(f"   {paint('2', text)}")

    def check(self, what, got, wanted):
        self.checks += 1
        if got == wanted:
            print(f"   {paint('32', '✓')} {what}")
            return
        print(f"   {paint('1;31', '✗')} {what}")
        raise Mismatch(f"{what}: the story says {wanted!r}, the node says {got!r}")

    # -- calls -----------------------------------------------------------------------------------

    def ctl(self, *arguments):
        """candorctl's JSON."""
        return json.loads(self.node.candorctl(*arguments, "-o", "json").stdout)

    def refused(self, *arguments):
        """The code of candorctl's error."""
        done = self.node.candorctl(*arguments, "-o", "json", check=False)
        return json.loads(done.stderr)["code"] if done.returncode == 1 else f"exit {done.returncode}"

    def now(self):
        return self.ctl("node", "clock", "show")["now"]

    def set_clock(self, time_text):
        self.ctl("node", "clock", "set", time_text)
        self.say(f"the clock is set: {time_text}")

    def event_id(self):
        self.sent += 1
        return f"story-{self.sent}"

    def interaction(self, user, text, lang="en", at=None, **more):
        return {"id": self.event_id(), "user": user, "at": at or self.now(), "kind": "ai_interaction",
                "modality": "text", "lang": lang, "text": text, **more}

    def voice(self, user, transcript, lang="en", confidence=0.96):
        """As a platform sends it that has recognised the speech itself."""
        return {"id": self.event_id(), "user": user, "at": self.now(), "kind": "ai_interaction",
                "modality": "voice", "lang": lang, "transcript": transcript, "confidence": confidence}

    def like(self, user, topic, page, at=None):
        return {"id": self.event_id(), "user": user, "at": at or self.now(), "kind": "engagement",
                "action": "like", "object": {"id": page, "topics": [topic]}}

    def send(self, events, wanted):
        """Sends the events together; each must come to `wanted`, such as "withheld: sensitive"."""
        for event, verdict in zip(events, self.node.events(events), strict=True):
            text = event.get("text") or event.get("transcript")
            what = f"“{text}”" if text else f"{event['action']}s {event['object']['id']}"
            got = verdict["status"] + (": " + verdict["reason"] if "reason" in verdict else "")
            self.check(f"{event['user']:<7} {what} → {paint('1', got)}", got, wanted)

    def notices(self, user, peek=True):
        """The ledger; unless peeking, as the person's own app fetches it."""
        answer = self.node.call("GET", f"/v1/users/{user}/notices" + ("?peek=true" if peek else ""))
        return answer.json()["notices"]

    def readiness(self):
        return self.node.admin("policy_readiness")["notices"]

    def wait(self, what, ask, wanted, seconds=20):
        """For what the node does in its own time."""
        until = time.monotonic() + seconds
        while ask() != wanted and time.monotonic() < until:
            time.sleep(0.1)
        self.check(what, ask(), wanted)

    def ads(self, user=None, k=3, **context):
        """A decision: (campaign, price) of each place, for a phone's feed about nothing in particular."""
        asked = {"k": k, "context": {"placement": "feed", "device": "phone", **context}}
        answer = self.node.call("POST", "/v1/ads/match", {"match": asked | ({"user": user} if user else {})})
        if answer.status != 200:
            raise RuntimeError(f"a match answered {answer.status}: {answer.body}")
        return answer.json()

    def shown(self, user, ad):
        self.node.call("POST", "/v1/ads/events", {"event": "impression", "impression": ad["impression"], "user": user})

    def feed(self, user, k=3):
        return self.ctl("user", "feed", user, "-k", k)["items"]

    def interests(self, user):
        return self.ctl("user", "interests", user)["interests"]

    def counts(self, user):
        """{(topic, source): events}"""
        return {(i["topic"], i["source"]): i["events"] for i in self.interests(user)}

    def show(self, user):
        for line in self.node.candorctl("user", "interests", user).stdout.splitlines():
            self.say(line)


class MailSink:
    """A real SMTP server on a free port of the loopback, which keeps what it took."""

    def __init__(self):
        self.process = subprocess.Popen(["/usr/bin/python3", "-B", str(ROOT / "tests/support/mail_sink.py")],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.taken = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            mail = json.loads(line)
            self.taken.append((mail["to"][0], email.message_from_string(mail["message"], policy=email.policy.default)))

    def stop(self):
        self.process.kill()
        self.process.wait()


# Who is who: region, language, and since when they have used the assistant.
PEOPLE = {"ann": ("US", "en", "2025-09-02"), "carl": ("CA", "fr", "2025-09-20"), "bruno": ("BR", "pt", "2025-08-14"),
          "gwen": ("GB", "en", "2025-09-01"), "dieter": ("DE", "de", "2025-07-30"), "minji": ("KR", "ko", "2025-09-11"),
          "lia": ("US", "en", None), "nora": ("US", "en", None)}

CONVERSATION = ["which hiking boots are good in winter?",
                "and a small tent for two people?",
                "what should I pack for three days of hiking?",
                "can you give me a recipe for vegetable soup?",
                "how do I keep bread fresh on the trail?",
                "plan a weekend of hiking in the mountains"]


def tell(t, sink):
    t.chapter("A policy that is announced")
    t.check("candorctl doctor finds nothing wrong", t.ctl("doctor")["ok"], True)
    shown = t.ctl("policy", "show")
    t.check("the reference policy is known, and none is in force yet",
            (shown["in_force"], shown["versions"][0]["version"]), (None, "2025-12-16.1"))
    t.check("40 campaigns and 60 content items are put",
            (t.ctl("campaign", "put", ROOT / "configs/playground/campaigns.ndjson")["created"],
             t.ctl("content", "put", ROOT / "configs/playground/content.ndjson")["created"]), (40, 60))
    t.check("a campaign that targets a sensitive topic is refused",
            t.node.call("PUT", "/v1/campaigns/c-bad", {
                "advertiser": "a-1", "bid_micros": 900000, "quality": 100, "budget": {"total_micros": 1000000},
                "schedule": {"from": "2025-09-01T00:00:00Z", "to": "2026-09-01T00:00:00Z"},
                "targeting": "topics one of (outdoors, religion)",
                "creatives": [{"id": "x", "title": "x", "url": "https://example.org"}]}).json()["code"],
            "sensitive_targeting")
    for user, (region, lang, since) in PEOPLE.items():
        since_when = ["--assistant-user-since", since] if since else []
        t.ctl("user", "put", user, "--region", region, "--region-since", "2024-01-01", "--lang", lang,
              "--email", f"{user}@example.org", *since_when)
    t.say("people: " + ", ".join(f"{u} ({r}{'' if s else ', does not use the assistant'})"
                                 for u, (r, _, s) in PEOPLE.items()))

    t.chapter("It is announced: people are told in the app and by e-mail")
    t.check("before the announcement nobody is told", t.notices("ann"), [])
    with NoticeStream(t.node.port, "bruno") as live:
        t.set_clock("2025-10-08T15:00:00Z")
        told = json.loads(live.next()["data"])
    t.check("bruno's app is open and shows it as it comes (server-sent events), in his language", told["lang"], "pt")
    t.say(f"in the app: {told['title']}")
    t.wait("everybody whom it is for has a notice",
           lambda: [(n["audience"], n["waiting"], n["mails"]["sent"]) for n in t.readiness()], [(3, 0, 3)])
    for line in t.node.candorctl("policy", "readiness").stdout.splitlines():
        t.say(line)
    t.check("the mail server took one mail each",
            sorted(to for to, _ in sink.taken), [f"{u}@example.org" for u in ("ann", "bruno", "carl")])
    for to, mail in sorted(sink.taken, key=lambda m: m[0]):
        t.say(f"{to}: {mail['Subject']}")
    t.check("ann's inbox and mail, one line each", sorted(n["channel"] for n in t.notices("ann")), ["email", "in_app"])
    t.say(f"in the app: {t.notices('ann')[0]['title']}")
    t.check("gwen, dieter and minji are in excluded regions: not told",
            [t.notices(u) for u in ("gwen", "dieter", "minji")], [[], [], []])
    t.check("lia and nora do not use the assistant: not told", [t.notices(u) for u in ("lia", "nora")], [[], []])
    t.check("nobody can opt out of it, and the refusal says what can be done",
            t.refused("user", "opt-out", "ann"), "opt_out_not_offered")
    t.set_clock("2025-11-01T09:00:00Z")

    t.chapter("Before the date nothing is used")
    t.send([t.interaction("ann", CONVERSATION[0]),
            t.interaction("bruno", "as melhores praias para um fim de semana?", "pt")],
           "withheld: policy_not_effective")
    t.check("ann has no interests", t.counts("ann"), {})
    before = t.ads("ann")
    t.check("her ads come from no interest: house ads", [a["campaign"] for a in before["ads"]],
            ["tiny-budget", "house-app", "house-gift"])
    t.check("her feed is what is new in her language", [i["because"] for i in t.feed("ann")], [[], [], []])

    t.chapter("The date comes: 16 December 2025")
    t.set_clock("2025-12-16T08:00:00Z")
    t.check("the policy is in force", t.ctl("policy", "show")["in_force"], "2025-12-16.1")
    t.say("what was said the night before stays out, even when it arrives now:")
    t.send([t.interaction("ann", "which sleeping bag keeps warm at ten degrees?", at="2025-12-15T22:00:00Z")],
           "withheld: policy_not_effective")
    t.set_clock("2025-12-17T09:00:00Z")

    t.chapter("A conversation and some likes make interests")
    conversation = [t.interaction("ann", text) for text in CONVERSATION]
    likes = [t.like("ann", "outdoors", "page-trails-of-the-alps"), t.like("ann", "music", "page-jazz-festival")]
    t.send(conversation + likes, "accepted")
    t.send([t.interaction("carl", "where can I buy a used canoe for camping trips?"),
            t.voice("bruno", "which football boots are good on wet grass?")], "accepted")
    t.show("ann")
    ann = t.counts("ann")
    t.check("ann: outdoors from the assistant and, apart from it, from her like",
            (ann.get(("outdoors", "ai"), 0) >= 3, ann.get(("outdoors", "engagement"))), (True, 1))
    t.check("ann: food from the assistant", ann.get(("food_drink", "ai"), 0) >= 1, True)
    t.check("both may serve ads and content",
            [i["uses"] for i in t.interests("ann") if i["topic"] == "outdoors"],
            [{"ads": True, "content": True}] * 2)

    t.chapter("So her feed and her ads change, and she can see why")
    t.check("her feed begins with what she talked about", "outdoors" in t.feed("ann")[0]["because"], True)
    for line in t.node.candorctl("user", "feed", "ann", "-k", 3).stdout.splitlines():
        t.say(line)
    after = t.ads("ann")
    t.check("boots for hikers win the first place", after["ads"][0]["campaign"], "boots-na")
    for ad in after["ads"]:
        t.say(f"{ad['place']}. {ad['campaign']}: {ad['title']} ({ad['price_micros'] / 1e6:.2f})")
    why = t.ctl("user", "why", "ann", after["ads"][0]["impression"])
    t.check("why: the clauses that held", why["matched"], ["country in (CA, US)", "topics one of (outdoors)"])
    t.check("why: the interest, and where it came from",
            {(x["topic"], x["source"]) for x in why["topics"]}, {("outdoors", "ai"), ("outdoors", "engagement")})
    for n in why["not_used"]:
        t.say(f"not used: {n['what']} ({n['reason']})")
    t.shown("ann", after["ads"][0])
    for _ in range(2):
        t.shown("ann", t.ads("ann", k=1)["ads"][0])
    t.check("three times a day is enough: why not a fourth",
            t.ctl("ads", "why-not", "ann", "boots-na")["reason"], "capped")
    t.check("the campaign paid for what was shown, no more than its price",
            0 < t.ctl("campaign", "budget", "boots-na")["settled_micros"] <= 3 * 900000, True)

    t.chapter("Where nothing personal may be used, the page alone decides")
    stranger = t.ads(country="US", lang="en", ctx=["outdoors"])
    places = [(a["campaign"], a["price_micros"]) for a in stranger["ads"]]
    t.check("a stranger on a page about the outdoors: contextual, then house", [p[0] for p in places],
            ["tiny-budget", "ctx-outdoors", "house-app"])
    t.ctl("user", "put", "tim", "--region", "US", "--region-since", "2024-01-01", "--lang", "en", "--birth-year", 2012)
    for what, user, context in (("a minor", "tim", {}), ("without consent", "ann", {"consent": False}),
                                ("a child's service", "ann", {"coppa": True})):
        decided = t.ads(user, country="US", lang="en", ctx=["outdoors"], **context)
        t.check(f"{what}: decided as for a stranger ({decided.get('why_not_personal')})",
                [(a["campaign"], a["price_micros"]) for a in decided["ads"]], places)

    t.chapter("A mention of faith or illness is withheld, whole")
    t.send([t.interaction("ann", "I was diagnosed with diabetes last week, which soups may I eat?"),
            t.interaction("ann", "is there a church with a choir near my hotel?"),
            t.interaction("ann", "¿qué puedo cocinar si tengo cáncer?", "es"),
            t.interaction("ann", "Wo ist die nächste Moschee für das Freitagsgebet?", "de"),
            t.voice("ann", "I feel depressed since the divorce, would hiking help?")], "withheld: sensitive")
    t.check("nothing of it is with ann", t.counts("ann"), ann)
    t.say("what only sounds like it passes:")
    t.send([t.interaction("ann", "my bishop takes the knight in chess, what now?")], "accepted")

    t.chapter("What was spoken is judged like what is written, and by how surely it was heard")
    t.send([t.voice("bruno", "uh can you can you recommend a a good tent for hiking")], "accepted")
    bruno = t.counts("bruno")
    t.check("bruno: outdoors, from what he said between the fillers", ("outdoors", "ai") in bruno, True)
    t.say("heard with a confidence of 0.31 it could have been anything:")
    t.send([t.voice("bruno", "which guitar should a beginner buy", confidence=0.31)], "withheld: sensitive")
    t.say("fillers and repeats hide nothing:")
    t.send([t.voice("bruno", "so um i was i was like diagnosed with uh you know diabetes which soups may i eat")],
           "withheld: sensitive")
    t.check("nothing of either is with bruno", t.counts("bruno"), bruno)

    t.chapter("The United Kingdom, the European Union and South Korea are excluded")
    t.send([t.interaction("gwen", "which hiking boots are good in winter?"),
            t.interaction("dieter", "Welche Wanderschuhe sind gut im Winter?", "de"),
            t.interaction("minji", "겨울에 좋은 등산화를 추천해 줘", "ko")], "withheld: region_excluded")
    t.say("their likes are learned from, as everywhere:")
    t.send([t.like("gwen", "outdoors", "page-lake-district"), t.like("dieter", "outdoors", "page-harz"),
            t.like("minji", "music", "page-concerts")], "accepted")
    for user, topic in (("gwen", "outdoors"), ("dieter", "outdoors"), ("minji", "music")):
        t.check(f"{user}: {topic} from a like, nothing from the assistant", t.counts(user),
                {(topic, "engagement"): 1})

    t.chapter("Who only likes is untouched; who was not told is left out")
    t.send([t.like("lia", "pets", "page-puppies")], "accepted")
    t.check("lia: no use of the assistant is noted, one interest from a like",
            (t.ctl("user", "show", "lia")["assistant_user_since"], t.counts("lia")),
            (None, {("pets", "engagement"): 1}))
    t.send([t.interaction("nora", "which guitar should a beginner buy?")], "withheld: not_notified")
    t.send([t.interaction("someone", "which guitar should a beginner buy?")], "withheld: region_unknown")
    t.wait("nora uses the assistant now, so she is told now", lambda: len(t.notices("nora")) > 0, True)
    t.notices("nora", peek=False)
    t.say("nora's app fetched it; from then on:")
    t.send([t.interaction("nora", "and which guitar strings?")], "accepted")

    t.chapter("Sent again, nothing counts twice")
    before = t.counts("ann")
    t.send(conversation[:2] + likes[:1], "duplicate")
    t.check("ann's interests are the same", t.counts("ann"), before)

    t.chapter("Whoever moves into an excluded region is no longer matched")
    t.ctl("user", "put", "carl", "--region", "DE")
    t.check("carl: what came from the assistant serves nothing now",
            [i["uses"] for i in t.interests("carl") if i["source"] == "ai"][:1],
            [{"ads": {"not": "region_excluded"}, "content": {"not": "region_excluded"}}])
    t.check("and his next ads know nothing of his canoe", t.ctl("ads", "why-not", "carl", "boots-na")["detail"],
            "country in (CA, US)")

    t.chapter("Rights: see, correct, export, erase")
    t.ctl("user", "forget-interest", "ann", "food_drink")
    t.check("ann's interest in food is gone", ("food_drink", "ai") in t.counts("ann"), False)
    export = t.ctl("user", "export", "ann")
    t.check("the export names her region, notices and interests",
            (export["region"], len(export["notices"]) >= 1, len(export["interests"]) > 0), ("US", True, True))
    before_erasure = t.now()
    receipt = t.ctl("user", "erase", "ann")
    t.say(f"receipt {receipt['receipt']}: {receipt['subject']} is unreadable since {receipt['unreadable_at']}")
    t.check("ann is not known any more", t.refused("user", "show", "ann"), "user_not_found")
    t.send([t.like("ann", "outdoors", "page-old", at=before_erasure)], "withheld: erased")

    t.chapter("The audit log holds all of it together")
    tail = t.ctl("audit", "find", "--subject", receipt["subject"])["records"]
    t.check("it names ann by a pseudonym: corrected, exported, erased",
            {"interest_forgotten", "user_exported", "user_erased"} <= {r["action"] for r in tail}, True)
    t.check("the erasure in it is the receipt's",
            [r["hash"] for r in tail if r["action"] == "user_erased"], [receipt["audit"]["hash"]])
    t.wait("asked again, the receipt says that it is final: no copy of her key is left",
           lambda: t.ctl("user", "erase", "ann")["final_at"] is not None, True)
    verified = t.ctl("audit", "verify")
    t.check(f"every chain holds ({verified['entries']} entries)", verified["ok"], True)


class OneNode:
    """The story on one node."""

    def __init__(self, given, folder, sink):
        self.node = Node(given.bin_dir, folder / "node", port=free_port(given.port or 8080),
                         config=ROOT / "configs/playground.toml",
                         flags=["--smtp", f"127.0.0.1:{sink.port}", "--smtp-tls", "none"])
        self.nodes = [self.node]

    def start(self):
        self.node.start()

    def tell_the_end(self, teller):
        pass

    def hints(self):
        return f"   data      {self.node.data}\n"

    def serve(self):
        """Until Ctrl-C, or until it ends."""
        self.node.process.wait()
        raise RuntimeError(f"the node ended by itself:\n{self.node.log_text()[-2000:]}")

    def end(self):
        self.node.remove()


class Cluster:
    """The story on several nodes, with an etcd of their own."""

    def __init__(self, given, folder, sink):
        self.given = given
        self.folder = folder / "cluster"
        self.settings = {"log_level": "warn", "smtp": f"127.0.0.1:{sink.port}", "smtp_tls": "none"}
        self.cluster = None

    @property
    def nodes(self):
        return self.cluster.nodes

    def start(self):
        print(f"starting etcd and {self.given.nodes} nodes", flush=True)
        self.cluster = LocalCluster.up(
            self.folder, self.given.bin_dir, nodes=self.given.nodes, shards=16, clock_start="2025-10-01T09:00:00Z",
            settable_clock=True, settings=self.settings, first_http_port=self.given.port or 8080)
        self.cluster.wait_until_healthy()

    def tell_the_end(self, teller):
        failover.tell(teller, self.cluster)

    def hints(self):
        ctl = f"CANDOR_CLUSTER_FILE={self.folder / 'cluster.json'} {self.cluster.bin_dir}/candorctl"
        tool = f"tools/cluster --dir {self.folder}"
        return (f"   cluster   {ctl} cluster status\n"
                f"   kill      {tool} kill node-2\n"
                f"   start     {tool} start node-2\n")

    def serve(self):
        """Until Ctrl-C: nodes may be killed and started meanwhile."""
        while True:
            signal.pause()

    def end(self):
        if self.cluster:
            self.cluster.down()


def main():
    options = argparse.ArgumentParser(prog="tools/playground", description=__doc__.splitlines()[0])
    options.add_argument("--bin-dir", required=True)
    options.add_argument("--nodes", type=int, default=3)
    options.add_argument("--port", type=int, help="default: 8080, or the next that is free")
    options.add_argument("--exit", action="store_true", help="stop after the story")
    given = options.parse_args()
    if given.nodes < 1 or given.nodes == 2:
        options.error("--nodes: 1, or 3 and more (of two, none could be spared)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-playground-"))
    sink = MailSink()
    place = (OneNode if given.nodes == 1 else Cluster)(given, folder, sink)
    try:
        try:
            place.start()
        except ClusterError as why:
            print(f"{paint('1;31', 'The cluster cannot be started')}: {why}\n`tools/playground --nodes 1` does without "
                  "etcd.", file=sys.stderr)
            return 1
        teller = Teller(place.nodes)
        tell(teller, sink)
        place.tell_the_end(teller)
        print(f"\n{paint('1;32', 'The story holds')}: {teller.checks} outcomes checked in "
              f"{time.monotonic() - started:.1f} s.")
        if given.exit:
            return 0
        urls = [n.url for n in place.nodes]
        print(f"\n   API       {' '.join(urls)}\n   metrics   {urls[0]}/metrics\n"
              f"   openapi   {urls[0]}/v1/openapi.yaml\n{place.hints()}"
              f"   try       CANDOR_NODE={urls[0]} {place.nodes[0].bin_dir}/candorctl user interests gwen\n\n"
              "Serving until Ctrl-C.", flush=True)
        return place.serve()
    except KeyboardInterrupt:
        print()
        return 0
    except (Mismatch, ClusterError, RuntimeError, OSError, KeyError, ValueError) as why:
        print(f"\n{paint('1;31', 'The story does not hold')}: {why}", file=sys.stderr)
        return 1
    finally:
        place.end()
        sink.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
