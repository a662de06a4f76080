"""A word that stands nowhere else, and every way in which a file may hold it."""

import base64
import random
import string


def word(prefix):
    """Letters only, so that no normalization takes it apart."""
    return prefix + "".join(random.choices(string.ascii_lowercase, k=16))


def disguises(secret):
    """How it may stand in a file: as it is, in UTF-16, in hexadecimal, in base64 at any alignment. Lower case."""
    raw = secret.encode()
    found = {raw, secret.encode("utf-16-le"), raw.hex().encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        found.add(encoded[4 if shift else 0:len(encoded) // 4 * 4 - 4].lower())
    return found
