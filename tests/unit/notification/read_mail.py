"""Reads a message from standard input with Python's own parser, and prints what it found as JSON."""
import json
import sys
from email import policy
from email.parser import BytesParser

message = BytesParser(policy=policy.default).parsebytes(sys.stdin.buffer.read())
parts = [part for part in message.walk() if not part.is_multipart()]
print(json.dumps({
    "names": [name for name, _ in message.raw_items()],
    "headers": {name: str(value) for name, value in message.items()},
    "from": [[a.display_name, a.addr_spec] for a in message["from"].addresses],
    "to": [[a.display_name, a.addr_spec] for a in message["to"].addresses],
    "time": message["date"].datetime.isoformat(),
    "type": message.get_content_type(),
    "parts": [{"type": p.get_content_type(), "charset": p.get_content_charset(),
               "encoding": p["content-transfer-encoding"], "text": p.get_content()} for p in parts],
    "defects": [str(d) for p in message.walk() for d in p.defects]
               + [str(d) for v in message.values() for d in v.defects],
}))
