#!/usr/bin/env python3
"""Sound goes in and a verdict comes out: a real node, real commands, and a real recogniser where it is installed.

What a command does wrong (fails, lies, hangs, is killed) must teach nothing, lose nothing, and end nothing but itself.
"""

import concurrent.futures
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
import unittest
import wave

import process_case
from process_case import SOURCE

POCKETSPHINX = SOURCE / "tools" / "transcribers" / "pocketsphinx"
HIKING, ILL = "winter hiking trails in the mountains", "the doctor said i have diabetes"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def form(event, sound, sound_type="audio/wav", event_type="application/json"):
    boundary = "----candor-voice-test"
    head = (f'--{boundary}\r\nContent-Disposition: form-data; name="event"\r\nContent-Type: {event_type}\r\n\r\n'
            f'{json.dumps(event)}\r\n--{boundary}\r\nContent-Disposition: form-data; name="audio"; filename="q.wav"\r\n'
            f"Content-Type: {sound_type}\r\n\r\n")
    return head.encode() + sound + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def children(pid):
    for of_thread in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, of_thread.read_text().split())
        except FileNotFoundError:  # the thread has ended
            continue


class VoiceCase(process_case.ProcessCase):
    """The sound that is sent says what its transcriber does: it is a line of shell."""

    def start_listening(self, flags=(), **options):
        script = self.folder / "transcriber"
        script.write_text('#!/bin/sh\nsound=$(cat)\neval "$sound"\n')
        script.chmod(0o755)
        node = self.start_node(flags=["--transcriber", str(script), *flags], **options)
        self.introduce(node, "ann")
        return node

    def say(self, node, id, sound, user="ann", **more):
        event = {"id": id, "user": user, "at": now(), "lang": "en", **more}
        return node.call("POST", "/v1/interactions/voice",
                         *form(event, sound if isinstance(sound, bytes) else sound.encode()))

    def verdict(self, node, id, sound, **more):
        answer = self.say(node, id, sound, **more)
        self.assertEqual(answer.status, 200, answer.body)
        v = answer.json()
        return v["status"] + (": " + v["reason"] if "reason" in v else "")

    def interests(self, node, user="ann"):
        return {i["topic"] for i in node.call("GET", f"/v1/users/{user}/interests").json()["interests"]}


def heard(words, confidence=0.9, language="en"):
    return "echo '" + json.dumps({"transcript": words, "confidence": confidence, "language": language}) + "'"


class OfANode(VoiceCase):
    def test_a_node_without_a_transcriber_says_which_key_it_lacks(self):
        node = self.start_node()
        answer = self.say(node, "v-1", "x")
        self.assertEqual(answer.status, 501, answer.body)
        self.assertEqual(answer.json()["code"], "no_transcriber")
        self.assertIn("`transcriber`", answer.json()["detail"])

    def test_what_is_heard_is_judged_like_what_is_written(self):
        node = self.start_listening()
        self.assertEqual(self.verdict(node, "v-1", heard("which hiking boots are good in winter")), "accepted")
        self.assertIn("outdoors", self.interests(node))
        self.assertEqual(self.verdict(node, "v-1", heard("which hiking boots are good in winter")), "duplicate")
        self.assertEqual(self.verdict(node, "v-2", heard(ILL)), "withheld: sensitive")
        # An earlier turn counts with what was said now.
        self.assertEqual(self.verdict(node, "v-3", heard("and in summer"), context=["i was diagnosed with cancer"]),
                         "withheld: sensitive")
        # What came as sound and what comes as text have one set of ids.
        text = {"id": "v-1", "user": "ann", "at": now(), "kind": "ai_interaction", "modality": "voice", "lang": "en",
                "transcript": "which hiking boots", "confidence": 0.9}
        self.assertEqual(node.events([text])[0]["status"], "duplicate")

    def test_whatever_the_transcriber_does_wrong_teaches_nothing(self):
        node = self.start_listening(flags=["--transcriber-deadline-ms", "1000"])
        for n, wrong in enumerate([
                heard(HIKING, confidence=0.3), "exit 1", "true", "echo " + HIKING, heard(""),
                heard(HIKING, confidence=7),
                heard(HIKING) + "; exit 1", "yes", "kill -9 $$", "sleep 60", heard(HIKING) + "; sleep 60",
                "echo '{\"transcript\":\"hiking boots\"}'"]):
            with self.subTest(wrong):
                self.assertEqual(self.verdict(node, f"w-{n}", wrong), "withheld: sensitive")
        self.assertEqual(self.interests(node), set())
        # Nothing of a withheld event is remembered, so that the same id can be said again.
        self.assertEqual(self.verdict(node, "w-0", heard(HIKING)), "accepted")
        self.assertEqual(self.interests(node), {"outdoors"})

    def test_nobody_listens_to_whom_the_policy_lets_alone(self):
        node = self.start_listening()
        self.introduce(node, "untold", told=False)
        mark = self.folder / "listened"
        script = f"touch {mark}; " + heard(HIKING)
        self.assertEqual(self.verdict(node, "n-1", script, user="untold"), "withheld: not_notified")
        self.assertEqual(self.verdict(node, "n-2", script, user="stranger"), "withheld: region_unknown")
        self.assertFalse(mark.exists())
        self.assertEqual(self.verdict(node, "n-3", script), "accepted")
        self.assertTrue(mark.exists())

    def test_a_full_queue_is_told_to_come_again_and_nobody_else_waits(self):
        node = self.start_listening(flags=["--transcriber-at-once", "1"])
        gate = self.folder / "go"
        held = f"while [ ! -e {gate} ]; do sleep 0.05; done; " + heard(HIKING)
        with concurrent.futures.ThreadPoolExecutor(60) as pool:
            asked = [pool.submit(self.say, node, f"q-{i}", held) for i in range(60)]
            # One runs, 32 wait for 3 s: the others are refused at once, and all the while text goes through.
            refused = next(concurrent.futures.as_completed(asked)).result()
            self.assertEqual((refused.status, refused.json()["code"]), (429, "overloaded"))
            self.assertIn("Retry-After", refused.headers)
            text = {"id": "t-1", "user": "ann", "at": now(), "kind": "ai_interaction", "modality": "text", "lang": "en",
                    "text": "hiking boots"}
            self.assertEqual(node.events([text])[0]["status"], "accepted")
            gate.touch()
            answers = [future.result() for future in asked]
        self.assertEqual({a.status for a in answers}, {200, 429})
        for i, answer in enumerate(answers):  # nothing was learned of what was refused
            self.assertEqual(self.verdict(node, f"q-{i}", heard(HIKING)),
                             "duplicate" if answer.status == 200 else "accepted")

    def test_transcribers_that_are_killed_at_random_lose_nothing(self):
        """`accepted` is in the profile, all else is to be said again, and in the end all are in it."""
        node = self.start_listening()
        stop = threading.Event()
        kills = 0

        def chaos():
            nonlocal kills
            while not stop.is_set():
                for pid in children(node.process.pid):
                    try:
                        os.kill(pid, signal.SIGKILL)  # a child of the node that this test started
                        kills += 1
                    except ProcessLookupError:
                        pass
                time.sleep(0.15)

        killer = threading.Thread(target=chaos)
        killer.start()
        accepted, withheld = set(), 0
        try:
            for i in range(40):
                verdict = self.verdict(node, f"k-{i}", "sleep 0.1; " + heard(HIKING))
                self.assertIn(verdict, ("accepted", "withheld: sensitive"))
                withheld += verdict != "accepted"
                if verdict == "accepted":
                    accepted.add(f"k-{i}")
        finally:
            stop.set()
            killer.join()
        self.assertGreater(kills, 0)
        self.assertGreater(withheld, 0, "nobody was killed in time to matter")
        self.assertIsNone(node.process.poll(), node.log_text())
        for i in range(40):
            self.assertEqual(self.verdict(node, f"k-{i}", heard(HIKING)),
                             "duplicate" if f"k-{i}" in accepted else "accepted")

    def test_a_node_ends_although_a_transcriber_hangs_and_leaves_none_behind(self):
        node = self.start_listening(flags=["--transcriber-deadline-ms", "60000"])
        pid = self.folder / "pid"
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.say, node, "h-1", f"echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 600")
            until = time.monotonic() + 30
            while not pid.exists() and time.monotonic() < until:
                time.sleep(0.05)
            self.assertEqual(node.stop(deadline_s=30), 0, node.log_text())
            self.assertIsNotNone(asked.exception() or asked.result())
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)

    def test_neither_sound_nor_words_are_in_any_file_or_log(self):
        node = self.start_listening(flags=["--log-level", "debug"])
        canary = "quokkaquokka"
        self.assertEqual(self.verdict(node, "c-1", heard(f"which hiking boots would a {canary} wear")), "accepted")
        self.assertEqual(self.verdict(node, "c-2", f"echo {canary} >&2; exit 1"), "withheld: sensitive")
        self.assertEqual(self.verdict(node, "c-3", f"echo {canary}"), "withheld: sensitive")
        self.assertEqual(self.say(node, "", canary).status, 400)
        self.assertEqual(node.stop(), 0)
        files = [f for f in node.folder.rglob("*") if f.is_file()]
        self.assertIn(node.log, files)
        for file in files:
            self.assertNotIn(canary.encode(), file.read_bytes().lower(), file)


@unittest.skipUnless(shutil.which("pocketsphinx_continuous") and shutil.which("flite"),
                     "pocketsphinx or flite is not installed: tools/setup installs both")
class OfPocketsphinx(process_case.ProcessCase):
    """The shipped example of a transcriber, and a sentence spoken by a machine."""

    def speak(self, sentence):
        file = self.folder / "spoken.wav"
        subprocess.run(["flite", "-voice", "rms", "-t", sentence, "-o", str(file)], check=True, capture_output=True)
        return file.read_bytes()

    def test_a_spoken_sentence_becomes_an_interest_and_a_spoken_illness_does_not(self):
        node = self.start_node(flags=["--transcriber", str(POCKETSPHINX), "--transcriber-deadline-ms", "60000"])
        self.introduce(node, "ann")
        verdicts = {}
        for id, sentence in (("p-1", HIKING), ("p-2", ILL)):
            event = {"id": id, "user": "ann", "at": now(), "lang": "en-US"}
            answer = node.call("POST", "/v1/interactions/voice", *form(event, self.speak(sentence)), timeout=120)
            self.assertEqual(answer.status, 200, answer.body)
            verdicts[id] = answer.json()
        self.assertEqual(verdicts["p-1"]["status"], "accepted")
        self.assertEqual((verdicts["p-2"]["status"], verdicts["p-2"]["reason"]), ("withheld", "sensitive"))
        interests = node.call("GET", "/v1/users/ann/interests").json()["interests"]
        self.assertEqual({i["topic"] for i in interests}, {"outdoors"})

    def test_the_example_says_what_it_heard_and_how_surely(self):
        done = subprocess.run([str(POCKETSPHINX)], input=self.speak(HIKING), capture_output=True, check=True)
        said = json.loads(done.stdout)
        self.assertEqual(said["transcript"], HIKING)
        self.assertGreater(said["confidence"], 0.5)

    def test_the_example_fails_on_what_is_no_speech(self):
        noise = self.folder / "silence.wav"
        with wave.open(str(noise), "wb") as sound:
            sound.setnchannels(2)
            sound.setsampwidth(2)
            sound.setframerate(44100)
            sound.writeframes(bytes(4 * 44100))
        silent = subprocess.run([str(POCKETSPHINX)], input=noise.read_bytes(), capture_output=True)
        self.assertEqual((silent.returncode, json.loads(silent.stdout)["confidence"]), (0, 0))
        for sound, language in ((b"no wave at all", ""), (b"", ""), (self.speak("hello"), "de")):
            done = subprocess.run([str(POCKETSPHINX)], input=sound, capture_output=True,
                                  env={"PATH": "/usr/bin:/bin", "CANDOR_LANGUAGE": language})
            self.assertEqual((done.returncode, done.stdout), (1, b""))


if __name__ == "__main__":
    process_case.main()
