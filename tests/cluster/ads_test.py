#!/usr/bin/env python3
"""A thousand matches at a time while campaigns are paused and budgets run out, the node killed in the middle.

Money and caps are counted here by what was acknowledged: nothing settled may be lost, no budget overspent, no cap
exceeded.
"""

import asyncio
import collections
import json
import random
import sys
import time

import process_case
from process_case import ProcessCase

AT_A_TIME = 300 if process_case.SANITIZED else 1000
USERS = 10
CAP = 3
KILLS = 4 if process_case.SANITIZED else 16
# Those with a cap have money enough to reach it everywhere; the others run dry.
CAMPAIGNS = {f"c-{i}": {"bid": 100_000 + 10_000 * i, "total": 150_000 * (i + 1) * (1 if i % 2 else 20),
                        "cap": i % 2 == 0} for i in range(8)}


async def post(port, path, body):
    """Status and JSON, on a connection of its own; None where none came."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        data = b"" if body is None else json.dumps(body).encode()
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
        answer = await asyncio.wait_for(reader.read(), 60)
        head, _, rest = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]), json.loads(rest)) if rest else None
    except (OSError, asyncio.TimeoutError, ValueError):
        return None
    finally:
        writer.close()


class Ads(ProcessCase):
    def start_with_campaigns(self, clock):
        node = self.start_node(flags=["--clock", "settable", "--clock-start", clock])
        for id, c in CAMPAIGNS.items():
            campaign = {"advertiser": "a-1", "bid_micros": c["bid"], "quality": 100,
                        "budget": {"total_micros": c["total"]},
                        "schedule": {"from": "2025-12-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
                        "creatives": [{"id": "cr", "title": "t", "url": "https://example.org"}]}
            if c["cap"]:
                campaign["cap"] = {"impressions": CAP, "per": "24h"}
            self.assertEqual(node.call("PUT", f"/v1/campaigns/{id}", campaign).status, 201)
        self.introduce(node, *[f"u{i}" for i in range(USERS)])
        self.wait_for_campaigns(node)
        self.acknowledged = collections.Counter()  # micros by campaign
        self.perhaps = collections.Counter()
        self.decided = collections.Counter()  # (user, campaign)
        self.outcomes = collections.Counter()
        return node

    def test_a_sweep_of_kills_over_every_budget_operation(self):
        """Killed a little later each time: while money is lent, reserved, settled, lapsed and given back."""
        node = self.start_with_campaigns("2025-12-20T12:00:00Z")
        hour = 12
        for step in range(KILLS):
            asyncio.run(self.killed_after(node, 0.3 * step / KILLS, step))
            self.check_money(node)
            if step % 4 == 3:  # what was reserved lapses, and what nobody asks for goes back
                hour += 1
                node.admin("clock_set", time=f"2025-12-20T{hour}:00:00Z")
                time.sleep(0.3 * (step % 3))
                node.kill()
                node.start()
                self.wait_for_campaigns(node)
                self.check_money(node)
        self.assertGreater(sum(self.acknowledged.values()), 0)
        # The day is about to end, and its reservations are over: next to nothing lies about unused.
        node.admin("clock_set", time="2025-12-20T23:59:00Z")
        budgets = {}
        for _ in range(150):
            budgets = {id: self.budget(node, id) for id in CAMPAIGNS}
            if all(self.stranded(b) * 100 <= b["total_micros"] for b in budgets.values()):
                break
            time.sleep(0.2)
        for id, b in budgets.items():
            self.assertLessEqual(self.stranded(b) * 100, b["total_micros"], f"{id}: {b}")
        self.check_money(node)
        self.assertEqual(node.stop(), 0)
        print(f"{KILLS} kills, {dict(self.outcomes)} ...", end=" ", file=sys.stderr, flush=True)

    @staticmethod
    def stranded(budget):
        """Lent to somewhere, and neither spent nor about to be."""
        return budget["lent_micros"] - budget["settled_micros"] - budget["reserved_micros"]

    async def killed_after(self, node, delay_s, step):
        async def kill():
            before = self.outcomes[200]
            while self.outcomes[200] == before:
                await asyncio.sleep(0.001)
            await asyncio.sleep(delay_s)
            node.kill()
            await asyncio.get_running_loop().run_in_executor(None, node.start)
        await asyncio.gather(*[self.some(node, step + i) for i in range(AT_A_TIME // 10)], kill())
        self.wait_for_campaigns(node)

    def test_money_and_caps_hold_under_load_and_kill_9(self):
        node = self.start_with_campaigns("2025-12-20T09:00:00Z")
        for round in range(4):
            asyncio.run(self.storm(node, round))
            if round == 1:
                node.kill()
                node.start()
                self.wait_for_campaigns(node)
        self.assertGreater(self.outcomes["unanswered"], 0, "the node was killed too late to tell anything")
        self.assertGreater(self.outcomes["pause"], 0)
        self.assertGreater(self.outcomes["bids"], 0)
        self.check(node)
        spent_before = {id: self.budget(node, id)["settled_micros"] for id in CAMPAIGNS}
        node.kill()
        node.start()
        self.assertEqual({id: self.budget(node, id)["settled_micros"] for id in CAMPAIGNS}, spent_before)

        # What was decided and never shown lapses, and its money can be spent again.
        node.admin("clock_set", time="2025-12-20T09:30:00Z")
        for _ in range(100):
            if all(self.budget(node, id)["reserved_micros"] == 0 for id in CAMPAIGNS):
                break
            time.sleep(0.2)
        else:
            self.fail("what was reserved did not lapse")
        self.check(node)
        self.assertTrue(node.admin("audit_verify")["ok"])
        self.assertEqual(node.stop(), 0)
        print(f"{AT_A_TIME} at a time, {dict(self.outcomes)}, settled "
              f"{sum(spent_before.values()) / 1e6:.2f} of {sum(c['total'] for c in CAMPAIGNS.values()) / 1e6:.2f} ...",
              end=" ", file=sys.stderr, flush=True)

    async def storm(self, node, round):
        tasks = [self.some(node, i) for i in range(AT_A_TIME)]
        disturbances = [self.pause(node)]
        if round == 2:
            disturbances.append(self.kill_and_start(node))
        await asyncio.gather(*tasks, *disturbances)

    async def some(self, node, i):
        for _ in range(2):
            await self.one(node, f"u{random.randrange(USERS)}", i)

    async def one(self, node, user, i):
        # Some ask as strangers, who see no campaign with a cap.
        asked = {"match": {"k": 2} | ({} if i % 5 == 0 else {"user": user})}
        decided = await self.bid(node, asked) if i % 3 == 0 else await post(node.port, "/v1/ads/match", asked)
        self.outcomes["unanswered" if decided is None else decided[0]] += 1
        if decided is None or decided[0] != 200:
            return
        for ad in decided[1]["ads"]:
            if i % 5 != 0:
                self.decided[user, ad["campaign"]] += 1
            if i % 7 == 0:
                continue  # never shown
            told = {"event": "impression", "impression": ad["impression"]} | ({} if i % 5 == 0 else {"user": user})
            self.perhaps[ad["campaign"]] += ad["price_micros"]
            for _ in range(2):  # the second one must change nothing
                answer = await post(node.port, "/v1/ads/events", told)
                if answer and answer[0] == 200 and answer[1]["status"] == "accepted":
                    self.acknowledged[ad["campaign"]] += ad["price_micros"]

    async def bid(self, node, asked):
        """The same decision through OpenRTB: the answer as /v1/ads/match would give it."""
        who = asked["match"].get("user")
        request = {"id": "r", "imp": [{"id": str(n), "banner": {}} for n in range(2)]} | (
            {"user": {"id": who}} if who else {})
        answer = await post(node.port, "/v1/openrtb", request)
        if answer is None or answer[0] != 200:
            return answer
        bids = [b for seat in answer[1].get("seatbid", []) for b in seat["bid"]]
        self.outcomes["bids"] += len(bids)
        return 200, {"ads": [{"campaign": b["cid"], "impression": b["id"], "price_micros": round(b["price"] * 1000)}
                             for b in bids]}

    async def pause(self, node):
        for verb in ("pause", "resume"):
            for id in CAMPAIGNS:
                answer = await post(node.port, f"/v1/campaigns/{id}/{verb}", None)
                self.outcomes[verb] += answer is not None and answer[0] == 200

    async def kill_and_start(self, node):
        """When some decisions of this storm are answered and the rest are on their way."""
        wanted = self.outcomes[200] + AT_A_TIME // 4
        while self.outcomes[200] < wanted:
            await asyncio.sleep(0.001)
        node.kill()
        self.outcomes["kills"] += 1
        await asyncio.get_running_loop().run_in_executor(None, node.start)

    def wait_for_campaigns(self, node):
        for _ in range(200):
            if len(node.call("GET", "/v1/campaigns").json()["items"]) == len(CAMPAIGNS):
                return
            time.sleep(0.05)
        self.fail("the catalogue did not come")

    def budget(self, node, id):
        return node.call("GET", f"/v1/campaigns/{id}/budget").json()

    def check(self, node):
        self.assertGreater(self.check_money(node), 0, "no budget ran out: the load shows nothing")
        capped = 0
        for (user, id), count in self.decided.items():
            if CAMPAIGNS[id]["cap"]:
                self.assertLessEqual(count, CAP, f"{user} {id}")
                capped += count == CAP
        for i in range(USERS):
            shown = collections.Counter(a["campaign"] for a in node.call("GET", f"/v1/users/u{i}/export").json()["ads"]
                                        if a["state"] != "reserved")
            for id, count in shown.items():
                if CAMPAIGNS[id]["cap"]:
                    self.assertLessEqual(count, CAP, f"u{i} {id}")
        self.assertGreater(capped, 0, "no cap was reached: the load shows nothing")

    def check_money(self, node):
        """How many budgets ran out."""
        exhausted = 0
        for id, c in CAMPAIGNS.items():
            now = self.budget(node, id)
            self.assertLessEqual(now["settled_micros"] + now["reserved_micros"], c["total"], id)
            self.assertLessEqual(now["lent_micros"], c["total"], id)
            self.assertGreaterEqual(now["settled_micros"], self.acknowledged[id], f"{id}: an impression was lost")
            self.assertLessEqual(now["settled_micros"], self.perhaps[id], f"{id}: settled what was never shown")
            exhausted += c["total"] - now["settled_micros"] < 2 * c["bid"]
        return exhausted


if __name__ == "__main__":
    process_case.main()
