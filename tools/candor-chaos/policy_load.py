"""Clients that press on the policy: interactions of people of whom nothing may be learned, ads with budgets and caps,
erasures. What they saw goes into the history; what nodes hold at the end is looked at as well.
"""

import collections
import json
import random
import threading
import time

from canary import disguises, word
from connection import BROKEN, Connection
from workload import Person, time_ms, time_text, SHIFT_MS

TOLD = "2025-10-08T00:00:00Z"
GROUPS = {  # what is stated of a person, and whether a notice reached them
    "ok": ({"region": "US", "region_since": "2020-01-01"}, True),
    "gb": ({"region": "GB", "region_since": "2020-01-01"}, True),
    "kr": ({"region": "KR", "region_since": "2020-01-01"}, True),
    "untold": ({"region": "US", "region_since": "2020-01-01"}, False),
    "minor": ({"region": "US", "region_since": "2020-01-01", "birth_year": 2015}, True),
    "nobody": (None, False),
}
A_GROUP = 4
SAID = "which hiking boots would {} wear in winter?"
SAID_SENSITIVE = "{} has diabetes, and so have I"
CAMPAIGNS = {f"chaos-{i}": {"bid": 100_000 + 10_000 * i, "total": 400_000 * (i + 1), "cap": 3 if i % 2 else None}
             for i in range(4)}
# The regions that the shipped policy excludes, as far as they occur here; and categories of which nothing is kept.
POLICY = {"effective_ms": time_ms("2025-12-16T00:00:00Z"), "lead_ms": 0, "excluded": ["GB", "KR"],
          "sensitive": ["health", "religion", "politics", "sexuality"]}


class PolicyLoad:
    def __init__(self, cluster, history, seed, timeout_s=3):
        self.cluster = cluster
        self.history = history
        self.seed = seed
        self.timeout_s = timeout_s
        self.canary = word("quokka")
        self.people = {f"{group}-{i}": group for group in GROUPS for i in range(A_GROUP)}
        self.erased = []
        self.audience = []   # people who use the assistant and are to be told, by the node's own rounds
        self.eager = threading.Event()  # erase without a pause
        self.numbers = 0
        self.verdicts = collections.Counter()
        self.ended = threading.Event()
        self.crashed = []
        self.threads = [threading.Thread(target=self.guarded, args=(work, 200 + i), daemon=True)
                        for i, work in enumerate((self.talk, self.show_ads, self.erase))]

    def prepare(self):
        """Before anything is hurt."""
        node = self.cluster.nodes[0]
        for user, group in self.people.items():
            details, told = GROUPS[group]
            if details:
                self.must(node.call("PUT", f"/v1/users/{user}", details), 201)
            if told:
                node.admin("notice_reached", user=user, policy="ai-interactions", revision=1, channel="in_app", at=TOLD)
            self.history.say("person", user=user, region=(details or {}).get("region"),
                             minor="birth_year" in (details or {}), told_ms=time_ms(TOLD) if told else None)
        for id, c in CAMPAIGNS.items():
            campaign = {"advertiser": "a-1", "bid_micros": c["bid"], "quality": 100,
                        "budget": {"total_micros": c["total"]},
                        "schedule": {"from": "2025-12-01T00:00:00Z", "to": "2036-02-01T00:00:00Z"},
                        "creatives": [{"id": "cr", "title": "t", "url": "https://example.org"}]}
            if c["cap"]:
                campaign["cap"] = {"impressions": c["cap"], "per": "24h"}
            self.must(node.call("PUT", f"/v1/campaigns/{id}", campaign), 201)
            self.history.say("campaign", campaign=id, total=c["total"], cap=c["cap"])

    @staticmethod
    def must(answer, status):
        if answer.status != status:
            raise RuntimeError(f"{answer.status}: {answer.body}")

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join(60)
        if self.crashed:
            raise RuntimeError(f"a client crashed: {self.crashed[0]}")

    def guarded(self, work, process):
        try:
            work(process, random.Random(f"{self.seed}/{process}"))
        except Exception as e:  # whatever it is, the run is worth nothing then
            self.crashed.append(repr(e))
            raise

    def ask(self, node, method, path, body=None, kind="application/json"):
        """(status, body), or None where there was no answer."""
        connection = Connection(node, self.timeout_s)
        try:
            return connection.request(method, path, body, kind if body is not None else None)
        except BROKEN:
            return None
        finally:
            connection.close()

    def pick(self, chance):
        return chance.choice(self.cluster.nodes)

    # -- interactions ------------------------------------------------------------------------------

    def talk(self, process, chance):
        while not self.ended.wait(0.1):
            user = chance.choice(list(self.people))
            sensitive = chance.random() < 0.3
            said = (SAID_SENSITIVE if sensitive else SAID).format(self.canary)
            self.numbers += 1
            ms = int(time.time() * 1000) - SHIFT_MS
            event = {"id": f"said-{self.numbers}", "user": user, "at": time_text(ms), "kind": "ai_interaction",
                     "modality": "text", "lang": "en", "text": said}
            for _ in range(3):
                if self.send(process, self.pick(chance), event, ms, ai=True, sensitive=sensitive):
                    break

    def send(self, process, node, event, ms, **more):
        """True when its fate is known."""
        op = self.history.begin("event", process=process, node=node.name, user=event["user"], event=event["id"],
                                at_ms=ms, **more)
        answer = self.ask(node, "POST", "/v1/events", json.dumps(event) + "\n", "application/x-ndjson")
        verdict = json.loads(answer[1]) if answer and answer[0] == 200 else {"status": "unknown"}
        self.verdicts[verdict.get("reason") or verdict["status"]] += 1
        if verdict["status"] in ("accepted", "duplicate"):
            self.history.end(op, "ok", status=verdict["status"])
        elif verdict["status"] in ("withheld", "invalid", "overloaded"):
            self.history.end(op, "fail", status=verdict["status"], reason=verdict.get("reason"))
        else:
            self.history.end(op, "unknown")
        return verdict["status"] not in ("unknown", "overloaded")

    # -- ads ---------------------------------------------------------------------------------------

    def show_ads(self, process, chance):
        people = [u for u, group in self.people.items() if group == "ok"]
        while not self.ended.wait(0.15):
            user = chance.choice(people)
            node = self.pick(chance)
            op = self.history.begin("ad", process=process, node=node.name, user=user)
            answer = self.ask(node, "POST", "/v1/ads/match", json.dumps({"match": {"k": 2, "user": user}}))
            if not answer or answer[0] != 200:
                self.history.end(op, "unknown")
                continue
            ads = json.loads(answer[1])["ads"]
            self.history.end(op, "ok", ads=[{"campaign": a["campaign"], "price": a["price_micros"]} for a in ads])
            for ad in ads:
                if chance.random() < 0.8:
                    self.tell_impression(process, chance, user, ad)

    def tell_impression(self, process, chance, user, ad):
        told = json.dumps({"event": "impression", "impression": ad["impression"], "user": user})
        for _ in range(3):
            node = self.pick(chance)
            op = self.history.begin("impression", process=process, node=node.name, user=user, campaign=ad["campaign"],
                                    price=ad["price_micros"], impression=ad["impression"])
            answer = self.ask(node, "POST", "/v1/ads/events", told)
            if answer and answer[0] == 200:
                self.history.end(op, "ok", status=json.loads(answer[1])["status"])
                return
            self.history.end(op, "unknown")

    # -- erasures ----------------------------------------------------------------------------------

    def erase(self, process, chance):
        number = 0
        while not self.ended.wait(0.02 if self.eager.is_set() else 1):
            number += 1
            person = Person(f"gone-{number}", 0)
            sent = []
            for _ in range(5):
                _, ms, event = person.next_event("pets")
                sent.append((event, ms))
                self.send(process, self.pick(chance), event, ms)
            self.read(process, chance, person)
            op = self.history.begin("erase", process=process, user=person.name)
            answer = None
            while not self.ended.is_set():
                answer = self.ask(self.pick(chance), "DELETE", f"/v1/users/{person.name}")
                if answer and answer[0] in (200, 404):
                    break
                self.ended.wait(0.1)
            if not answer or answer[0] != 200:
                # Nothing of theirs was taken, so that nothing is erased; or it is not known.
                self.history.end(op, "fail" if answer and answer[0] == 404 else "unknown")
                continue
            self.history.end(op, "ok")
            self.erased.append(person)
            for event, ms in sent:  # they arrive again, as from a queue that knows of nothing
                self.send(process, self.pick(chance), event, ms)
            self.read(process, chance, person)

    def read(self, process, chance, person):
        node = self.pick(chance)
        op = self.history.begin("read", process=process, node=node.name, user=person.name, level="strong")
        answer = self.ask(node, "GET", f"/v1/users/{person.name}?events=true")
        if answer and answer[0] in (200, 404):
            self.history.end(op, "ok", events=person.events_of(answer[1]) if answer[0] == 200 else [])
        else:
            self.history.end(op, "fail")

    # -- notices -----------------------------------------------------------------------------------

    def add_audience(self, count):
        """As many as nodes take, in a few tries each."""
        for _ in range(count):
            user = f"told-{len(self.audience)}"
            details = json.dumps({"region": "US", "region_since": "2020-01-01", "assistant_user_since": "2026-01-01"})
            for node in self.cluster.nodes:
                answer = self.ask(node, "PUT", f"/v1/users/{user}", details)
                if answer and answer[0] in (200, 201):
                    self.audience.append(user)
                    break

    # -- the end -----------------------------------------------------------------------------------

    def look_at_the_end(self):
        """What every node says of everybody."""
        for node in self.cluster.nodes:
            for user in [*self.people, *self.audience, *(p.name for p in self.erased)]:
                interests = self.at_last(node, f"/v1/users/{user}/interests").get("interests", [])
                ledger = self.at_last(node, f"/v1/users/{user}/notices?peek=true").get("notices", [])
                self.history.say(
                    "state", node=node.name, user=user, erased=any(user == p.name for p in self.erased),
                    topics=[i["topic"] for i in interests if i["source"] != "ai"],
                    ai_topics=[i["topic"] for i in interests if i["source"] == "ai"],
                    notices=[[n["policy"], n["revision"], n["channel"]] for n in ledger])
            for person in self.erased:
                self.read_until(node, person)
            for campaign in CAMPAIGNS:
                now = self.at_last(node, f"/v1/campaigns/{campaign}/budget")
                self.history.say("budget", node=node.name, campaign=campaign, settled=now["settled_micros"],
                                 reserved=now["reserved_micros"])

    def read_until(self, node, person):
        op = self.history.begin("read", process=901, node=node.name, user=person.name, level="strong")
        found = self.at_last(node, f"/v1/users/{person.name}?events=true")
        self.history.end(op, "ok", events=person.events_of(json.dumps(found)) if found else [])

    def at_last(self, node, path, within_s=60):
        """The answer; {} where nothing is known."""
        until = time.monotonic() + within_s
        while True:
            answer = self.ask(node, "GET", path)
            if answer and answer[0] in (200, 404):
                return json.loads(answer[1]) if answer[0] == 200 else {}
            if time.monotonic() > until:
                raise RuntimeError(f"{node.name} does not answer {path}: {answer}")
            time.sleep(0.1)

    def look_for_canaries(self):
        """In every file of every member, while and after it runs."""
        forms = disguises(self.canary)
        for member in self.cluster.members:
            for file in member.folder.rglob("*"):
                try:
                    content = file.read_bytes().lower() if file.is_file() else b""
                except OSError:  # a running process took it away
                    continue
                for form in forms:
                    if form in content:
                        self.history.say("canary", file=f"{member.name}/{file.relative_to(member.folder)}",
                                         what=form.decode(errors="replace"))
