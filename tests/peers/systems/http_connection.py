"""As much HTTP/1.1 as the measurement needs, cheaply: kept-alive, pipelined, over a plain socket.

`http.client` costs more processor time per answer than Bulkhead does, and both share the machine.
"""

import re
import selectors
import socket
from collections.abc import Iterator

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
# Bytes asked of the kernel at once.
CHUNK_BYTES = 256 * 1024
# Requests on their way on one connection: their bytes and their answers' fit the kernel's buffers, so
# that neither side waits for the other to read.
PIPELINED = 64


class Connection:
    """A connection to one server."""

    def __init__(self, port: int, timeout: float) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def close(self) -> None:
        """Closes it."""
        self.socket.close()

    def send(self, requests: bytes) -> None:
        """Sends what `request` made, one or several."""
        self.socket.sendall(requests)

    def receive(self) -> None:
        """Waits for some bytes."""
        chunk = self.socket.recv(CHUNK_BYTES)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.received = self.received + chunk if self.received else chunk

    def answers(self) -> list[tuple[int, bytes]]:
        """Status and body of each answer that is here in full, each given once."""
        answers = []
        received, at = self.received, 0
        while (end := received.find(b"\r\n\r\n", at)) >= 0:
            length = LENGTH.search(received, at, end + 2)
            if length is None:
                raise ConnectionError("an answer came without its length")
            past = end + 4 + int(length[1])
            if past > len(received):
                break
            answers.append((int(received[at + 9 : at + 12]), received[end + 4 : past]))
            at = past
        self.received = received[at:]
        return answers

    def exchange(self, sent: bytes) -> tuple[int, bytes]:
        """Sends one request and waits for its answer."""
        self.send(sent)
        while True:
            self.receive()
            if answers := self.answers():
                return answers[0]


def request(method: str, path: str, body: bytes = b"", media_type: str = "application/json") -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n"
    if body:
        head += f"content-type: {media_type}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def pipeline(connections: list[Connection], requests: list[bytes], timeout: float) -> Iterator[tuple[int, bytes]]:
    """Sends requests over several connections, `PIPELINED` at once on each; gives the answers as they come."""
    shares = [iter(requests[first :: len(connections)]) for first in range(len(connections))]
    on_their_way = [0] * len(connections)
    with selectors.DefaultSelector() as selector:
        for number, connection in enumerate(connections):
            selector.register(connection.socket, selectors.EVENT_READ, number)
            on_their_way[number] = send_some(connection, shares[number], PIPELINED)
        while any(on_their_way):
            ready = selector.select(timeout)
            if not ready:
                raise TimeoutError(f"no answer for {timeout:.0f} s")
            for key, _ in ready:
                here: int = key.data
                connections[here].receive()
                answers = connections[here].answers()
                on_their_way[here] -= len(answers)
                yield from answers
                if on_their_way[here] <= PIPELINED // 2:
                    room = PIPELINED - on_their_way[here]
                    on_their_way[here] += send_some(connections[here], shares[here], room)


def send_some(connection: Connection, requests: Iterator[bytes], most: int) -> int:
    """Sends the next few requests; how many there were."""
    chosen = [sent for _, sent in zip(range(most), requests, strict=False)]
    if chosen:
        connection.send(b"".join(chosen))
    return len(chosen)
