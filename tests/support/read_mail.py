"""Reads a message from standard input with Python's own parser, and prints what it found as JSON."""
import json
import sys
from email import policy
from email.header import decode_header, make_header
from email.parser import BytesParser
from email.utils import getaddresses

message = BytesParser(policy=policy.default).parsebytes(sys.stdin.buffer.read())
raw = dict(message.raw_items())


def people(header):
    # Python 3.11 leaves the space between two encoded words of a name in (RFC 2047, 6.2, ignores it); its older
    # functions do not.
    return [[str(make_header(decode_header(name))), address] for name, address in getaddresses([str(raw[header])])]


parts = [part for part in message.walk() if not part.is_multipart()]
print(json.dumps({
    "names": [name for name, _ in message.raw_items()],
    "headers": {name: str(value) for name, value in message.items()},
    "from": people("From"),
    "to": people("To"),
    "time": message["date"].datetime.isoformat(),
    "type": message.get_content_type(),
    "parts": [{"type": p.get_content_type(), "charset": p.get_content_charset(),
               "encoding": p["content-transfer-encoding"], "text": p.get_content()} for p in parts],
    "defects": [str(d) for p in message.walk() for d in p.defects]
               + [str(d) for v in message.values() for d in v.defects],
}))
