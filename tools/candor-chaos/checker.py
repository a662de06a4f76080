"""Reads a history of a cluster (docs/reference/history.md) and says what in it must not be.

What a person's read shows is a list of event ids in the order in which they were applied, so nothing has to be
searched for: every read of a person must be a beginning of their longest one, long enough for all that was acknowledged
or read before it began. One pass over the lines, then one over each person's operations in order of time.

It knows nothing of how the history was made and nothing of Candor's code: only of what was promised.
"""

import collections
import gc
import json
import time

KINDS = {
    "lost_acknowledgement": "an acknowledged event is not in what is read last",
    "duplicate": "an event stands twice in what is read",
    "accepted_twice": "an event id was accepted twice",
    "diverging_order": "two reads, or a read and what was acknowledged, have another order",
    "stale_read": "a strong read lacks what was acknowledged or read before it began",
    "session_back": "a session's read lacks what the session saw before",
    "aborted_read": "an event that was surely refused is read",
    "phantom": "an event is read that nobody had sent yet",
    "unequal_digests": "two digests of a shard differ at the same sequence number",
    "two_leaders": "two nodes led a shard in one term",
    "learned_against_policy": "an interaction was taken from which nothing may be learned",
    "kept_against_policy": "something is known of a person that may not be",
    "notice_twice": "a person has two notices of a policy, revision and channel",
    "overspent": "a campaign settled or promised more than its budget",
    "settled_lost": "a campaign's budget lacks what was acknowledged as settled",
    "cap_exceeded": "a person was shown more ads of a campaign than its cap allows",
    "erased_reappears": "something of an erased person is there after the erasure",
    "audit_broken": "an audit chain does not verify",
    "canary_found": "a canary stands in a file",
}
EXAMPLES_A_KIND = 20
FORMAT = 1


class HistoryError(Exception):
    """It is not a history, or not one that can be read."""


class Event:
    """One event id, with all attempts to send it."""
    __slots__ = ("sent", "acked", "refused", "open", "accepted", "at_ms")

    def __init__(self, sent, at_ms):
        self.sent = sent      # when it was sent first
        self.acked = None     # when it was acknowledged first
        self.refused = 0      # attempts that surely changed nothing
        self.open = 0         # attempts of which nothing is known, yet or ever
        self.accepted = 0     # times that it was taken as new
        self.at_ms = at_ms


class Life:
    """A person between two erasures."""
    __slots__ = ("order", "events", "reads", "last", "acks", "erased")

    def __init__(self):
        self.order = []       # event ids of the longest read
        self.events = {}      # id -> Event
        self.reads = []       # (begun, ended, reach, strong, process, node); reach: how much of `order`
        self.last = None      # (begun, ids, forgets_before) of the strong read that began last
        self.acks = []        # (acknowledged, process, id)
        self.erased = None    # when the erasure that ends it was asked for first


class Checker:
    def __init__(self):
        self.found = collections.Counter()
        self.examples = []
        self.counts = collections.Counter()
        self.lives = {}       # user -> the lives of the person, the present one last
        self.persons = {}     # user -> what was stated of them
        self.policy = None
        self.leaders = {}     # (shard, term) -> node
        self.digests = {}     # (shard, seq) -> (digest, node)
        self.campaigns = {}
        self.settled = collections.Counter()   # campaign -> micros, acknowledged
        self.shown = collections.Counter()     # (user, campaign) -> acknowledged impressions
        self.seed = None

    def violation(self, kind, text, at=None):
        self.found[kind] += 1
        if self.found[kind] <= EXAMPLES_A_KIND:
            self.examples.append({"kind": kind, "what": text, "at": at})

    # -- the pass over the lines -------------------------------------------------------------------

    def read(self, lines):
        pending = {}          # op -> (its invocation, the life in which it began)
        loads = json.loads
        number = 0
        observers = {name: getattr(self, "see_" + name) for name in (
            "run", "person", "leader", "digest", "campaign", "state", "budget", "audit", "canary")}
        try:
            for number, line in enumerate(lines, 1):
                if line.isspace():
                    continue
                entry = loads(line)
                type = entry["type"]
                if type == "invoke":
                    kind = entry["kind"]
                    life = self.life_of(entry["user"]) if "user" in entry else None
                    pending[entry["op"]] = (entry, life)
                    if kind == "event":
                        self.event_sent(entry, life)
                    elif kind == "erase" and life.erased is None:
                        life.erased = entry["at"]
                elif type in ("ok", "fail", "unknown"):
                    asked, life = pending.pop(entry["op"])
                    self.counts[f"{asked['kind']}.{type}"] += 1
                    ending = self.ENDINGS.get((asked["kind"], type))
                    if ending is not None:
                        ending(self, asked, life, entry)
                elif type in observers:
                    observers[type](entry)
                elif type not in ("fault", "note"):
                    raise HistoryError(f"line {number}: there is no type {type}")
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise HistoryError(f"line {number}: {e.__class__.__name__}: {e}") from None
        self.counts["lines"] = number
        for asked, _ in pending.values():
            self.counts[f"{asked['kind']}.open"] += 1
        return self

    def life_of(self, user):
        lives = self.lives.get(user)
        if lives is None:
            lives = self.lives[user] = [Life()]
        return lives[-1]

    def event_sent(self, entry, life):
        event = life.events.get(entry["event"])
        if event is None:
            event = life.events[entry["event"]] = Event(entry["at"], entry.get("at_ms"))
        event.open += 1

    def event_taken(self, asked, life, entry):
        event = life.events[asked["event"]]
        event.open -= 1
        if event.acked is None:
            event.acked = entry["at"]
        life.acks.append((entry["at"], asked["process"], asked["event"]))
        if entry.get("status") == "duplicate":
            return
        event.accepted += 1
        if event.accepted == 2:
            self.violation("accepted_twice", f"{asked['event']} of {asked['user']}", entry["at"])
        if (reason := self.forbidden(asked)) is not None:
            self.violation("learned_against_policy", f"{asked['event']} of {asked['user']}: {reason}", entry["at"])

    def event_refused(self, asked, life, entry):
        event = life.events[asked["event"]]
        event.open -= 1
        event.refused += 1

    def forbidden(self, asked):
        """Why nothing may be learned from this interaction; None where something may, or where that is not known."""
        if not asked.get("ai"):
            return None
        who = self.persons.get(asked["user"])
        if asked.get("sensitive"):
            return "sensitive"
        if self.policy is None:
            return None
        if asked["at_ms"] < self.policy["effective_ms"]:
            return "policy_not_effective"
        if who is None or who.get("region") is None:
            return "region_unknown"
        if who["region"] in self.policy["excluded"]:
            return "region_excluded"
        if who.get("minor"):
            return "minor"
        if who.get("told_ms") is None or asked["at_ms"] < who["told_ms"] + self.policy["lead_ms"]:
            return "not_notified"
        return None

    def read_answered(self, asked, life, entry):
        ids = entry["events"]
        user = asked["user"]
        lives = self.lives[user]
        if life.erased is not None:
            return  # begun while the person was being erased: either state is right
        if len(lives) > 1:
            self.look_for_the_erased(user, lives, ids, entry["at"])
        order = life.order
        forgets = entry.get("forgets_before")
        if forgets is None and ids == order[:len(ids)]:
            reach = len(ids)
        elif forgets is None and order == ids[:len(order)] and len(set(ids)) == len(ids):
            life.order, reach = ids, len(ids)
        else:
            reach = self.fit(user, life, ids, forgets, asked, entry)
        strong = asked.get("level", "strong") == "strong"
        life.reads.append((asked["at"], entry["at"], reach, strong, asked["process"], asked.get("node")))
        if strong and (life.last is None or asked["at"] >= life.last[0]):
            life.last = (asked["at"], ids, forgets)

    def say_duplicates(self, user, ids, asked, entry):
        twice = [id for id, n in collections.Counter(ids).items() if n > 1]
        self.violation("duplicate", f"{twice[:3]} of {user} through {asked.get('node')}", entry["at"])

    def fit(self, user, life, ids, forgets, asked, entry):
        """How far a read reaches that is no beginning of the longest one, nor goes on from it."""
        if len(set(ids)) != len(ids):
            self.say_duplicates(user, ids, asked, entry)
            ids = list(dict.fromkeys(ids))
        events = life.events

        def kept(id):
            event = events.get(id)
            return event is None or event.at_ms is None or event.at_ms >= forgets
        known, read = life.order, ids
        if forgets is not None:  # what is older may be there, or be forgotten
            known, read = [id for id in known if kept(id)], [id for id in ids if kept(id)]
        common = min(len(known), len(read))
        if known[:common] != read[:common]:
            first = next(i for i in range(common) if known[i] != read[i])
            self.violation("diverging_order", f"{user} through {asked.get('node')}: place {first} is {read[first]} "
                           f"and was {known[first]} in another read", entry["at"])
        if len(read) > len(known):
            held = set(life.order)
            life.order = life.order + [id for id in read if id not in held]
        places = {id: i for i, id in enumerate(life.order)}
        reach = max((places[id] + 1 for id in ids if id in places), default=0)
        while forgets is not None and reach < len(life.order) and not kept(life.order[reach]):
            reach += 1
        return reach

    def look_for_the_erased(self, user, lives, ids, at):
        back = [id for life in lives[:-1] for id in ids if id in life.events and id not in lives[-1].events]
        if back:
            self.violation("erased_reappears", f"{back[:3]} of {user}", at)

    def erased(self, asked, life, entry):
        lives = self.lives[asked["user"]]
        if life is lives[-1]:
            lives.append(Life())

    def not_erased(self, asked, life, entry):
        life.erased = None

    def ad_decided(self, asked, life, entry):
        self.counts["ads"] += len(entry.get("ads", ()))

    def impression_told(self, asked, life, entry):
        if entry.get("status") != "accepted":
            return
        campaign = asked["campaign"]
        self.settled[campaign] += asked["price"]
        if asked.get("user"):
            self.shown[asked["user"], campaign] += 1

    ENDINGS = {("event", "ok"): event_taken, ("event", "fail"): event_refused, ("read", "ok"): read_answered,
               ("erase", "ok"): erased, ("erase", "fail"): not_erased, ("ad", "ok"): ad_decided,
               ("impression", "ok"): impression_told}

    # -- what is seen beside operations ------------------------------------------------------------

    def see_run(self, entry):
        if entry["format"] != FORMAT:
            raise HistoryError(f"the format is {entry['format']}; this reads {FORMAT}")
        self.seed = entry.get("seed")
        self.policy = entry.get("policy")

    def see_person(self, entry):
        self.persons.setdefault(entry["user"], {}).update(entry)

    def see_leader(self, entry):
        first = self.leaders.setdefault((entry["shard"], entry["term"]), entry["node"])
        if first != entry["node"]:
            self.violation("two_leaders", f"shard {entry['shard']} in term {entry['term']}: {first} and "
                           f"{entry['node']}", entry.get("at"))

    def see_digest(self, entry):
        first = self.digests.setdefault((entry["shard"], entry["seq"]), (entry["digest"], entry.get("node")))
        if first[0] != entry["digest"]:
            self.violation("unequal_digests", f"shard {entry['shard']} at {entry['seq']}: {first[0]} by {first[1]}, "
                           f"{entry['digest']} by {entry.get('node')}", entry.get("at"))

    def see_campaign(self, entry):
        self.campaigns[entry["campaign"]] = entry

    def see_state(self, entry):
        """What a node says of a person at the end."""
        user, where = entry["user"], f"{entry['user']} through {entry.get('node')}"
        if entry.get("erased") and (entry.get("topics") or entry.get("ai_topics") or entry.get("notices")):
            self.violation("erased_reappears", where)
        sensitive = set((self.policy or {}).get("sensitive", ()))
        for topic in [*entry.get("topics", ()), *entry.get("ai_topics", ())]:
            if topic in sensitive:
                self.violation("kept_against_policy", f"{where}: {topic} is sensitive")
        who = self.persons.get(user, {})
        if entry.get("ai_topics") and self.policy is not None:
            if who.get("region") is None or who["region"] in self.policy["excluded"] or who.get("minor") or \
                    who.get("told_ms") is None:
                self.violation("kept_against_policy", f"{where}: {entry['ai_topics'][:3]} from interactions")
        for line, n in collections.Counter(map(tuple, entry.get("notices", ()))).items():
            if n > 1:
                self.violation("notice_twice", f"{where}: {line}")

    def see_budget(self, entry):
        campaign = entry["campaign"]
        total = self.campaigns[campaign]["total"]
        if entry["settled"] + entry["reserved"] > total:
            self.violation("overspent", f"{campaign} by {entry.get('node')}: {entry['settled']} settled and "
                           f"{entry['reserved']} reserved of {total}")
        if entry["settled"] < self.settled[campaign]:
            self.violation("settled_lost", f"{campaign} by {entry.get('node')}: {entry['settled']} of "
                           f"{self.settled[campaign]}")

    def see_audit(self, entry):
        if not entry["ok"]:
            self.violation("audit_broken", f"{entry.get('node')}: {entry.get('why', '')}", entry.get("at"))

    def see_canary(self, entry):
        self.violation("canary_found", f"{entry['file']}: {entry.get('what', '')}", entry.get("at"))

    # -- what is known at the end ------------------------------------------------------------------

    def judge(self):
        for user, lives in self.lives.items():
            for life in lives:
                self.judge_life(user, life)
        for (user, campaign), n in self.shown.items():
            cap = self.campaigns.get(campaign, {}).get("cap")
            if cap is not None and n > cap:
                self.violation("cap_exceeded", f"{user} was shown {n} of {campaign}, which allows {cap}")
        for campaign, micros in self.settled.items():
            if campaign in self.campaigns and micros > self.campaigns[campaign]["total"]:
                self.violation("overspent", f"{campaign}: {micros} acknowledged as settled")
        return self

    def judge_life(self, user, life):
        places = {id: i for i, id in enumerate(life.order)}
        self.judge_what_is_read(user, life)
        self.judge_order(user, life)
        self.judge_reads(user, life, places)
        self.judge_last(user, life)

    def judge_what_is_read(self, user, life):
        """Each event that is read was sent before the first read that shows it ended, and was not surely refused."""
        covered = 0
        for _, ended, reach, *_ in sorted(life.reads, key=lambda r: r[1]):
            for id in life.order[covered:reach]:
                event = life.events.get(id)
                if event is None or event.sent > ended:
                    if event is None and any(id in older.events for older in self.lives[user]):
                        continue  # of an erased life: said already
                    self.violation("phantom", f"{id} of {user}", ended)
                elif event.acked is None and not event.open:
                    self.violation("aborted_read", f"{id} of {user}", ended)
            covered = max(covered, reach)

    def judge_order(self, user, life):
        """What was acknowledged before another was sent stands before it."""
        latest, of = 0, None
        for id in life.order:
            event = life.events.get(id)
            if event is None:
                continue
            if event.acked is not None and event.acked < latest:
                self.violation("diverging_order", f"{user}: {id} was acknowledged before {of} was sent, and stands "
                               "behind it", event.acked)
            if event.sent > latest:
                latest, of = event.sent, id

    def judge_reads(self, user, life, places):
        """Strong reads reach as far as all that ended before they began; a session's, as all that it saw itself."""
        raises = [(at, places[id] + 1, process, id) for at, process, id in life.acks if id in places]
        raises += [(ended, reach, process, None) for _, ended, reach, strong, process, _ in life.reads]
        strong_ends = [(ended, reach, None) for _, ended, reach, strong, _, _ in life.reads if strong]
        for_all = sorted([(at, reach, id) for at, reach, _, id in raises if id is not None] + strong_ends,
                         key=lambda r: r[0])
        raises.sort(key=lambda r: r[0])
        floor, why, i, j = 0, None, 0, 0
        floors = {}  # of sessions
        for begun, ended, reach, strong, process, node in sorted(life.reads, key=lambda r: r[0]):
            while i < len(for_all) and for_all[i][0] < begun:
                if for_all[i][1] > floor:
                    floor, why = for_all[i][1], for_all[i][2]
                i += 1
            while j < len(raises) and raises[j][0] < begun:
                _, far, whose, _ = raises[j]
                floors[whose] = max(floors.get(whose, 0), far)
                j += 1
            if strong and reach < floor:
                what = f"{why} was acknowledged" if why else "more was read"
                self.violation("stale_read", f"{user} through {node}: {reach} of {floor}; {what} before", begun)
            elif not strong and reach < floors.get(process, 0):
                self.violation("session_back", f"{user} through {node}, process {process}: {reach} of "
                               f"{floors[process]}", begun)

    def judge_last(self, user, life):
        if life.last is None:
            self.counts["acknowledged_unread"] += len({id for _, _, id in life.acks})
            return
        begun, ids, forgets = life.last
        shown = set(ids)
        for id, event in life.events.items():
            if event.acked is None:
                continue
            self.counts["acknowledged"] += 1
            if event.acked >= begun:
                self.counts["acknowledged_unread"] += 1
            elif id not in shown and not (forgets is not None and event.at_ms is not None and event.at_ms < forgets):
                self.violation("lost_acknowledgement", f"{id} of {user}", event.acked)

    def verdict(self):
        return {"ok": not self.found, "seed": self.seed, "violations": dict(self.found), "examples": self.examples,
                "counts": dict(self.counts)}


def check_lines(lines):
    return Checker().read(lines).judge().verdict()


def check_file(path):
    began = time.monotonic()
    gc.disable()  # nothing here is a cycle, and looking for them would take most of the time
    try:
        with open(path, encoding="utf-8") as lines:
            verdict = check_lines(lines)
    finally:
        gc.enable()
    verdict["seconds"] = round(time.monotonic() - began, 3)
    return verdict


def show(verdict):
    """In words."""
    counts = verdict["counts"]
    done = sum(n for name, n in counts.items() if "." in name)
    lines = [f"{done} operations: {counts.get('acknowledged', 0)} events acknowledged and looked for, "
             f"{counts.get('read.ok', 0)} reads"]
    if verdict["ok"]:
        lines.append("nothing found that must not be")
    for kind, n in verdict["violations"].items():
        lines.append(f"{kind}: {n} ({KINDS[kind]})")
        lines += [f"  {e['what']}" for e in verdict["examples"] if e["kind"] == kind][:5]
    if counts.get("acknowledged_unread"):
        lines.append(f"{counts['acknowledged_unread']} acknowledged events were not looked for: no strong read came "
                     "after")
    return "\n".join(lines)
