"""What the studio takes from its clients at most."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Numbers beyond which a request is refused, each with an answer of its own.

    Attributes:
        body: bytes of one request (413).
        pixels: of one photograph, looked at before it is decoded (400).
        photographs, photograph_bytes: kept in memory; the longest unused go first (410 when they are asked for).
        subjects: photographs as a model holds them, kept in memory.
        in_flight: requests at the same time (503).
        sessions: open websockets (closed with 1013).
        streams: pictures that one session moves at the same time.
        message: bytes of one websocket message (closed with 1009).
        seconds: in which a request must have arrived (408).
    """

    body: int = 24 * MIB
    pixels: int = 40_000_000
    photographs: int = 4_000
    photograph_bytes: int = 512 * MIB
    subjects: int = 2_000
    in_flight: int = 16
    sessions: int = 64
    streams: int = 8
    message: int = 64 * 2**10
    seconds: float = 30.0
