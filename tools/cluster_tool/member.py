"""One process of a cluster, which outlives whoever started it. It is signalled only while it is surely the same."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import network

TICKS = os.sysconf("SC_CLK_TCK")


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat_of(pid):
    """(state, start time in ticks since boot), or None where there is no such process."""
    try:
        # The name in brackets may hold anything; what follows its last bracket is plain.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[19])


class Member:
    """What state.json keeps of one process: `facts` is a plain dictionary, changed in place."""

    def __init__(self, facts):
        self.facts = facts

    @property
    def name(self):
        return self.facts["name"]

    @property
    def folder(self):
        return pathlib.Path(self.facts["folder"])

    @property
    def log(self):
        return self.folder / f"{self.name}.log"

    @property
    def pid(self):
        return self.facts.get("pid")

    def state(self):
        """running, paused or stopped."""
        if not self.pid or self.facts.get("boot") != boot_id():
            return "stopped"
        found = stat_of(self.pid)
        if not found or found[1] != self.facts["started"]:
            return "stopped"
        if found[0] in "ZX":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)  # where it is a child of ours, so that it leaves no zombie
            return "stopped"
        return "paused" if found[0] in "Tt" else "running"

    def is_alive(self):
        return self.state() != "stopped"

    def launch(self, command, environment):
        """Starts it, and waits for nothing."""
        if self.is_alive():
            raise RuntimeError(f"{self.name} runs already")
        with open(self.log, "ab") as log, network.inside(self.facts.get("namespace")):
            process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=environment, cwd=self.folder, start_new_session=True)
        found = stat_of(process.pid)
        process.returncode = 0  # this object waits for nothing: `state` does, by pid
        self.facts.update(pid=process.pid, started=found[1] if found else 0, boot=boot_id())

    def signal(self, number):
        """False where it is not there any more."""
        if not self.is_alive():
            return False
        try:
            fd = os.pidfd_open(self.pid)  # from here on the number cannot become another process's
        except ProcessLookupError:
            return False
        try:
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(fd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)

    def wait(self, deadline_s):
        """True when it has ended in time."""
        until = time.monotonic() + deadline_s
        while self.is_alive():
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def kill(self):
        """kill -9; returns when it is gone. False where it was gone before."""
        was_there = self.signal(signal.SIGKILL)
        self.wait(30)
        return was_there

    def stop(self, deadline_s=30):
        """In order; where that takes too long, by force. True where it ended in order."""
        if self.state() == "paused":
            self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.wait(deadline_s):
            return True
        self.kill()
        return False

    def log_tail(self, lines=20):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
