"""A TCP proxy that can turn into a black hole: connections stay open, but what is sent into them never arrives."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 65536


class BlackHoleProxy:
    """Forwards from ``address`` (127.0.0.1, a free port) to ``target`` (``host:port``) until told to swallow."""

    def __init__(self, target: str) -> None:
        self.lead_to(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._swallow_requests = threading.Event()
        self._swallow_replies = threading.Event()
        self._mutex = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="proxy-accept", daemon=True)]
        self._threads[0].start()

    def lead_to(self, target: str) -> None:
        """From now on new connections go to ``target``, as behind a name or a proxy; the others stay where they are."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))

    def swallow_replies(self) -> None:
        """From now on requests arrive, and nobody learns what became of them."""
        self._swallow_replies.set()

    def swallow_all(self) -> None:
        """From now on nothing arrives on either side."""
        self._swallow_requests.set()
        self._swallow_replies.set()

    def heal(self) -> None:
        """Forward again. Connections that lost bytes are closed, so that both sides connect anew."""
        self._swallow_requests.clear()
        self._swallow_replies.clear()
        self._close_connections()

    def close(self) -> None:
        """Close everything and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close_connections()
        for thread in self._threads:
            thread.join(120)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._mutex:
                self._sockets += [client, server]
            for source, sink, swallow in (
                (client, server, self._swallow_requests),
                (server, client, self._swallow_replies),
            ):
                thread = threading.Thread(
                    target=self._pump, args=(source, sink, swallow), name="proxy-pump", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if not swallow.is_set():
                    sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _close_connections(self) -> None:
        with self._mutex:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
