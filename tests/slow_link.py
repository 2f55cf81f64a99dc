"""A link of so many bits a second and so much delay between two network namespaces.

    python tests/slow_link.py FIRST SECOND --rate 1e9 --delay 1e-3

For kernels whose `tc` has no netem: every packet passes through this process, which keeps it
until a wire of that rate and length would have carried it. 10.9.0.1 and 10.9.0.2, device `slow`.
"""

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import time
from collections import deque

import click

TUN, NO_HEADER, CREATE = 0x0001, 0x1000, 0x400454CA  # of <linux/if_tun.h>
NEW_NET = 0x40000000
FIRST = -15  # niceness: a wire waits for no computation
LONGEST = 65_000  # bytes of a packet: few and long ones, for each takes a Python's while


class End:
    """One end: packets that come in here, and when each is due at the other one."""

    def __init__(self, space: str, address: str, rate: float, delay: float):
        with open(f"/var/run/netns/{space}") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), NEW_NET):
                raise click.ClickException(
                    f"no namespace {space}: {os.strerror(ctypes.get_errno())}"
                )
        self.handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.handle, CREATE, struct.pack("16sH14x", b"slow", TUN | NO_HEADER))
        for words in (f"addr add {address}/24 dev slow", f"link set slow mtu {LONGEST} up"):
            subprocess.run(["ip", "-n", space, *words.split()], check=True)
        self.rate, self.delay = rate, delay
        self.free = 0.0  # when the wire has sent what it was given
        self.due: deque[tuple[float, bytes]] = deque()

    def take(self, now: float):
        """What the kernel wants to send."""
        while True:
            try:
                packet = os.read(self.handle, LONGEST + 100)
            except BlockingIOError:
                return
            self.free = max(self.free, now) + 8 * len(packet) / self.rate
            self.due.append((self.free + self.delay, packet))

    def deliver(self, to: "End", now: float):
        """What has come to the other end by now."""
        while self.due and self.due[0][0] <= now:
            os.write(to.handle, self.due.popleft()[1])


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--rate", default=1e9, show_default=True, help="Bits a second, each way.")
@click.option("--delay", default=1e-3, show_default=True, help="Seconds, one way.")
def link(first: str, second: str, rate: float, delay: float):
    """Carry packets until interrupted."""
    os.nice(FIRST)
    ends = End(first, "10.9.0.1", rate, delay), End(second, "10.9.0.2", rate, delay)
    click.echo("up")
    while True:
        due = [end.due[0][0] for end in ends if end.due]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        select.select([end.handle for end in ends], [], [], wait)
        now = time.monotonic()
        for end, other in (ends, ends[::-1]):
            end.take(now)
            end.deliver(other, now)


if __name__ == "__main__":
    link()
