"""Reads the key store of a node as whoever has its disk and its master key could: which keys of persons it holds.

The format is storage/stores/user_keys.cpp's; the product has no way to show a key.
"""

import collections
import ctypes
import ctypes.util

HEADER, NONCE, KEY, TAG, CHECKSUM, SLOTS = 20, 24, 32, 16, 32, 256
WRAPPED = NONCE + KEY + TAG

sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")

# states: 1 where a slot holds a key, 0 where it was destroyed; sealed: what must be gone once the page is rewritten.
Page = collections.namedtuple("Page", "states keys sealed")


def open_sealed(key, associated, sealed):
    plain = ctypes.create_string_buffer(len(sealed) - NONCE - TAG)
    size = ctypes.c_ulonglong(0)
    done = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, ctypes.byref(size), None, sealed[NONCE:], ctypes.c_ulonglong(len(sealed) - NONCE), associated,
        ctypes.c_ulonglong(len(associated)), sealed[:NONCE], key)
    if done != 0:
        raise ValueError("it does not open")
    return plain.raw[:size.value]


def read_page(file, master_key):
    content = file.read_bytes()
    header, wrapped = content[:HEADER], content[HEADER:HEADER + WRAPPED]
    slots = content[HEADER + WRAPPED:-CHECKSUM]
    plain = open_sealed(open_sealed(master_key, header, wrapped), header, slots)
    assert len(plain) == SLOTS * (1 + KEY), "pages have another form now"
    keys = [plain[SLOTS + i * KEY:SLOTS + (i + 1) * KEY] for i in range(SLOTS)]
    return Page(list(plain[:SLOTS]), keys, [wrapped, slots])


def read_pages(data, shard):
    """{file name: Page} of a shard, of the node whose data lies there."""
    master_key = bytes.fromhex((data / "keys" / "master.key").read_text().strip())
    found = {}
    for file in (data / "keys" / "pages").glob(f"{shard}-*.page"):
        found[file.name] = read_page(file, master_key)
    return found


def destroyed_slots(pages):
    """{(file name, slot)}"""
    return {(name, i) for name, page in pages.items() for i, state in enumerate(page.states) if not state}
