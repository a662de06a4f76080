"""A network that is slow: frames between a member and the bridge go through this process, which holds each for a while,
and may lose some. (netem would do it in the kernel, and is not in every kernel.)
"""

import array
import fcntl
import heapq
import random
import select
import socket
import struct
import threading
import time

import network

ETH_P_ALL = 3
SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x19, 0x1F, 0x24)  # checksums, scatter and gather, segmentation of TCP, of anything


def turn_off_offloads(namespace, device):
    """Frames then leave whole: small enough and with their checksums, as this process must send them on."""
    with network.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in OFFLOADS:
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP", device.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(s, SIOCETHTOOL, request)
            except OSError:
                pass  # this device has none of it


class SlowPort:
    """Holds what comes and goes at one member for `delay_s`, give or take `jitter_s`, until it is ended."""

    def __init__(self, bridge, member, delay_s, jitter_s=0.0, loss=0.0):
        self.bridge = bridge
        self.number = member.facts["address"].rsplit(".", 1)[1]
        self.port = f"v{self.number}"
        self.namespace = member.facts["namespace"]
        self.delay_s, self.jitter_s, self.loss = delay_s, jitter_s, loss
        self.ended = threading.Event()

    def start(self):
        inner, outer = f"x{self.number}", f"y{self.number}"  # outer is at the bridge in the port's place
        ip = ("ip", "-n", self.bridge, "link")
        network.run(*ip, "add", inner, "type", "veth", "peer", "name", outer)
        turn_off_offloads(self.namespace, "eth0")
        turn_off_offloads(self.bridge, outer)
        for device in (inner, outer):
            network.run(*ip, "set", device, "up")
        with network.inside(self.bridge):
            self.ends = [self.open(self.port), self.open(inner)]
        network.run(*ip, "set", self.port, "nomaster")
        network.run(*ip, "set", outer, "master", "br0")
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        return self

    @staticmethod
    def open(device):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        s.bind((device, ETH_P_ALL))
        index = socket.if_nametoindex(device)
        # All that comes by, whomever it is for (PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC).
        s.setsockopt(263, 1, struct.pack("iHH8s", index, 1, 0, b""))
        s.setblocking(False)
        return s

    def work(self):
        chance = random.Random(self.number)
        waiting, number = [], 0
        while not self.ended.is_set():
            patience = max(0, min(0.05, waiting[0][0] - time.monotonic())) if waiting else 0.05
            for s in select.select(self.ends, [], [], patience)[0]:
                try:
                    frame, address = s.recvfrom(65536)
                except OSError:
                    continue
                if address[2] == socket.PACKET_OUTGOING or chance.random() < self.loss:
                    continue
                number += 1
                due = time.monotonic() + max(0, self.delay_s + chance.uniform(-self.jitter_s, self.jitter_s))
                heapq.heappush(waiting, (due, number, self.ends[1] if s is self.ends[0] else self.ends[0], frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, frame = heapq.heappop(waiting)
                try:
                    to.send(frame)
                except OSError:
                    pass

    def end(self):
        self.ended.set()
        self.thread.join(10)
        for s in self.ends:
            s.close()
        network.run("ip", "-n", self.bridge, "link", "set", self.port, "master", "br0")
        network.run("ip", "-n", self.bridge, "link", "del", f"x{self.number}")
