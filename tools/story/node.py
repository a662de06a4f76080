"""Starts and ends one real node, and speaks HTTP with it. For the story and the tests of real processes.

Ends only the process that it started, by its id.
"""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


_given = set()  # by this process: may be free still, and is somebody's


def free_ports(count, taken=()):
    """Below those that the system gives to outgoing connections (a client that tries again and again would meet itself
    there), so that they are still free at a restart. None is given twice, nor is one that is `taken`."""
    found, held = [], []
    try:
        for port in random.sample(range(17000, 32000), 2000):
            if port in _given or port in taken:
                continue
            with contextlib.ExitStack() as both:
                try:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        s = both.enter_context(socket.socket(socket.AF_INET, kind))
                        s.bind(("127.0.0.1", port))
                except OSError:
                    continue
                held.append(both.pop_all())
                found.append(port)
            if len(found) == count:
                _given.update(found)
                return found
    finally:
        for h in held:
            h.close()
    raise OSError("there are not enough free ports")


def free_port(first=None):
    """`first`, or the next port above it that is free; any free one where none is named."""
    if first is None:
        return free_ports(1)[0]
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError(f"no free port from {first} on")


def environment(**more):
    """The caller's, without what its shell says of other nodes: that is not meant for this one."""
    made = {k: v for k, v in os.environ.items() if not k.startswith(("CANDOR_", "ETCD_"))}
    return made | {"CANDOR_CONFIGS": str(ROOT / "configs")} | more


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]


class Node:
    def __init__(self, bin_dir, folder, port=None, config=None, flags=(), start_deadline_s=30):
        self.bin_dir = pathlib.Path(bin_dir).resolve()
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.log = self.folder / "candord.log"
        self.port = free_port() if port is None else port
        self.config = config
        self.flags = list(flags)
        self.start_deadline_s = start_deadline_s
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def launch(self):
        """Starts the process, and waits for nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(self.bin_dir / "candord"), "--data", str(self.data), "--http", f"127.0.0.1:{self.port}"]
        if self.config:
            command += ["--config", str(self.config)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command + self.flags, stdout=log, stderr=log, env=environment())
        return self

    def start(self):
        """Returns when the node is ready; raises with its log where it is not in time."""
        self.launch()
        until = time.monotonic() + self.start_deadline_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            if self.is_ready():
                return self
            time.sleep(0.05)
        self.kill()
        raise RuntimeError("the node did not become ready; its log ends with:\n" + self.log_text()[-2000:])

    def is_ready(self):
        try:
            return self.call("GET", "/readyz", timeout=2).status == 200
        except OSError:
            return False

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def open_connection(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def call(self, method, path, body=None, content_type="application/json", timeout=60, headers=None):
        """One request on a connection of its own."""
        connection = self.open_connection(timeout)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            all_headers = dict(headers or {})
            if body is not None:
                all_headers["Content-Type"] = content_type
            connection.request(method, path, body=body, headers=all_headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode(errors="replace"))
        finally:
            connection.close()

    def events(self, events, query=""):
        """The verdicts on the events, in order."""
        body = "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in events)
        answer = self.call("POST", "/v1/events" + query, body, "application/x-ndjson")
        if answer.status != 200:
            raise RuntimeError(f"POST /v1/events answered {answer.status}: {answer.body}")
        return answer.lines()

    def admin(self, verb, **arguments):
        answer = self.call("POST", f"/v1/admin/{verb}", arguments)
        if answer.status != 200:
            raise RuntimeError(f"{verb} answered {answer.status}: {answer.body}")
        return answer.json()

    def client_environment(self):
        """Of programs that speak with this node."""
        return environment(CANDOR_NODE=self.url)

    def candorctl(self, *arguments, stdin=None, check=True):
        """Runs candorctl against this node; returns the finished process, with text output."""
        done = subprocess.run([str(self.bin_dir / "candorctl"), *map(str, arguments)], input=stdin,
                              capture_output=True, text=True, env=self.client_environment())
        if check and done.returncode != 0:
            raise RuntimeError(f"candorctl {' '.join(map(str, arguments))} exited {done.returncode}: "
                               f"{done.stderr or done.stdout}")
        return done

    def stop(self, deadline_s=15):
        """SIGTERM; returns the exit code."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode if self.process else None

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
