"""A network for each member: namespaces joined by a bridge, cut by iptables inside them. Needs root.

Addresses 10.77.0.x exist inside the namespaces only; whoever speaks to a member does so from the bridge's namespace.
"""

import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
BRIDGE_ADDRESS = "10.77.0.1"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def inside(namespace):
    """This thread, and processes that it starts meanwhile, are in the namespace. None: where they are anyway."""
    if namespace is None:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(fd):
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def make_bridge(namespace):
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    run("ip", "-n", namespace, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", namespace, "link", "set", "br0", "up")
    run("ip", "-n", namespace, "addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", "br0")


def join(namespace, bridge, address):
    """Makes a namespace with this address, at the bridge."""
    port = "v" + address.rsplit(".", 1)[1]
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    run("ip", "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", bridge)
    run("ip", "-n", bridge, "link", "set", port, "master", "br0", "up")
    run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
    run("ip", "-n", namespace, "link", "set", "eth0", "up")


def remove(namespace):
    if os.path.exists(f"/run/netns/{namespace}"):
        run("ip", "netns", "del", namespace)


def cut(namespace, addresses, one_way=False):
    """Nothing comes in from these addresses any more, and unless `one_way` nothing goes out to them."""
    for address in addresses:
        run("ip", "netns", "exec", namespace, "iptables", "-A", "INPUT", "-s", address, "-j", "DROP")
        if not one_way:
            run("ip", "netns", "exec", namespace, "iptables", "-A", "OUTPUT", "-d", address, "-j", "DROP")


def heal(namespace):
    run("ip", "netns", "exec", namespace, "iptables", "-F")
