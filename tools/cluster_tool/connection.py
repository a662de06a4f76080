"""What a client of a node is made of: one kept connection."""

import http.client
import json

AGAIN = {"unknown", "overloaded"}  # verdicts after which the same id is sent again
BROKEN = (OSError, http.client.HTTPException, ValueError)


class Connection:
    """A kept connection to a node, made anew where it broke."""

    def __init__(self, node, timeout_s):
        self.node = node
        self.timeout_s = timeout_s
        self.open = None
        self.answered = {}  # headers of the last answer

    def request(self, method, path, body=None, content_type=None, headers=None):
        """(status, body); raises one of BROKEN."""
        headers = dict(headers or {})
        if self.node.cluster.key:
            headers["Authorization"] = f"Bearer {self.node.cluster.key}"
        if content_type:
            headers["Content-Type"] = content_type
        try:
            opened = self.connected()
            opened.request(method, path, body=body, headers=headers)
            answer = opened.getresponse()
            self.answered = answer.headers
            return answer.status, answer.read().decode(errors="replace")
        except BROKEN:
            self.close()
            raise

    def connected(self):
        if self.open is None or self.open.sock is None:  # the node closed it behind its last answer
            self.open = self.node.open_connection(self.timeout_s)
        return self.open

    def close(self):
        if self.open is not None:
            self.open.close()
        self.open = None

    def send_events(self, events):
        """{id: verdict} of those that have one now; the others are to be sent again."""
        body = "".join(json.dumps(e) + "\n" for e in events)
        status, text = self.request("POST", "/v1/events", body, "application/x-ndjson")
        if status != 200:
            raise ValueError(f"{self.node.name} answered {status}: {text[:300]}")
        verdicts = [json.loads(line) for line in text.splitlines() if line.strip()]
        return {v["id"]: v for v in verdicts if v["status"] not in AGAIN}
