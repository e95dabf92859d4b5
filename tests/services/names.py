"""A name server that says what a test wants, each time another thing, for zero seconds."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

A, CNAME, AAAA = 1, 5, 28
AUTHORITATIVE, NO_SUCH_NAME = 0x8480, 0x8483

Turns = Sequence[Sequence[str]]
"""What a name is, at the first question, at the second …; the last for ever. Addresses, or another name."""


class NameServer(asyncio.DatagramProtocol):
    """Knows ``names`` and no other; follows an alias in its own answer. ``asked``: questions for addresses, by name."""

    def __init__(self, names: Mapping[str, Turns]) -> None:
        self._names = names
        self.asked: Counter[tuple[str, int]] = Counter()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode().lower())
            place += 1 + length
        name, question = ".".join(labels), data[12 : place + 5]
        (kind,) = struct.unpack(">H", data[place + 1 : place + 3])
        records = self._records(name, kind)
        flags = AUTHORITATIVE if name in self._names else NO_SUCH_NAME
        head = data[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        self._transport.sendto(head + question + b"".join(records), addr)

    def _records(self, name: str, kind: int) -> list[bytes]:
        turns = self._names.get(name, [[]])
        self.asked[name, kind] += 1
        records = []
        for value in turns[min(self.asked[name, kind], len(turns)) - 1]:
            if value in self._names:
                records += [_record(name, CNAME, _wire(value)), *self._records(value, kind)]
            else:
                address = ip_address(value)
                if kind == (A if address.version == 4 else AAAA):
                    records.append(_record(name, kind, address.packed))
        return records


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _wire(name) + struct.pack(">HHIH", kind, 1, 0, len(data)) + data


@asynccontextmanager
async def naming(host: str, names: Mapping[str, Turns]) -> AsyncIterator[NameServer]:
    """On ``host``, port 53: no resolver asks on another one."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(names), local_addr=(host, 53)
    )
    try:
        yield server
    finally:
        transport.close()
