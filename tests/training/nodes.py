"""Two machines: processes that reach each other only by address, or in network namespaces."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

INTERFACE = "kdsb"
NAMESPACES = Path("/run/netns")
SUBNET = "10.213.77"


class Node(NamedTuple):
    """A machine of a training: its network, and how the first is reached."""

    namespace: Path | None
    environment: dict[str, str]


def local_nodes() -> list[Node]:
    """Return two nodes that are processes of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [_node(None, rank, address="127.0.0.1", port=port) for rank in (0, 1)]


@contextmanager
def namespace_nodes() -> Iterator[list[Node]]:
    """Make two network namespaces, joined by a pair of virtual interfaces.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        Where this is not allowed.
    """
    names = [f"{INTERFACE}{os.getpid()}n{rank}" for rank in (0, 1)]
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        ends = ("type", "veth", "peer", "name", INTERFACE, "netns", names[1])
        _ip("link", "add", INTERFACE, "netns", names[0], *ends)
        for rank, name in enumerate(names):
            _ip("-n", name, "addr", "add", f"{SUBNET}.{rank + 1}/24", "dev", INTERFACE)
            _ip("-n", name, "link", "set", INTERFACE, "up")
        yield [
            _node(NAMESPACES / name, rank, address=f"{SUBNET}.1", port=29512)
            for rank, name in enumerate(names)
        ]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _node(namespace: Path | None, rank: int, *, address: str, port: int) -> Node:
    environment = {"MASTER_ADDR": address, "MASTER_PORT": str(port), "NODE_RANK": str(rank)}
    if namespace:
        environment["GLOO_SOCKET_IFNAME"] = INTERFACE
    return Node(namespace, environment)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)
