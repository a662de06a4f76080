"""Reads server-sent events as they come: one person's notices, as an app would, and what happens in the cluster."""

import http.client
import socket
import time


class EventStream:
    """Open while in its `with`. `last` is the id of the last event that was read before."""

    def __init__(self, port, path, last=None, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.path = path
        self.headers = {"Accept": "text/event-stream", **(headers or {})}
        if last:
            self.headers["Last-Event-ID"] = last

    def __enter__(self):
        self.connection.connect()
        self.socket = self.connection.sock
        self.connection.request("GET", self.path, headers=self.headers)
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            raise RuntimeError(f"the stream answered {self.response.status}: {self.response.read().decode()}")
        return self

    def __exit__(self, *_):
        self.response.close()
        self.connection.close()

    def next(self, within_s=30):
        """The fields of the next event, or None where none comes in time (then nothing more can be read)."""
        until = time.monotonic() + within_s
        fields = {}
        try:
            while True:  # a comment that shows that the stream lives is no event
                self.socket.settimeout(max(until - time.monotonic(), 0.001))
                line = self.response.readline()
                if not line:
                    break
                name, _, value = line.decode().rstrip("\n").partition(":")
                if name:
                    fields[name] = value.removeprefix(" ")
                elif fields:
                    return fields
        except socket.timeout:
            return None
        raise RuntimeError("the stream has ended")


class NoticeStream(EventStream):
    def __init__(self, port, user, last=None, headers=None):
        super().__init__(port, f"/v1/users/{user}/notices/stream", last, headers)
