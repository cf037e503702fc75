"""TLS before a real server: certificates of our own, and who ends TLS with them."""

import contextlib
import select
import socket
import socketserver
import ssl
import subprocess
import threading

import pytest


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Makes a certificate for a host: the files of its key and of itself."""

    def make(alternative):
        folder = tmp_path_factory.mktemp("certificate")
        key, crt = folder / "key.pem", folder / "crt.pem"
        options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=redis"
        files = ["-keyout", key, "-out", crt, "-addext", f"subjectAltName={alternative}"]
        subprocess.run(["openssl", *options.split(), *files], check=True, capture_output=True)
        return key, crt

    return make


class Terminator(socketserver.ThreadingTCPServer):
    """Passes on what comes by TLS. ``before(connection)`` speaks with the client first, without TLS."""

    daemon_threads = True

    def __init__(self, behind, key, crt, before=lambda _connection: None):
        self.behind = behind
        self.before = before
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(crt, key)
        super().__init__(("127.0.0.1", 0), _Passing)

    @contextlib.contextmanager
    def running(self):
        """The port that it listens at."""
        with self:
            thread = threading.Thread(target=self.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield self.server_address[1]
            finally:
                self.shutdown()
                thread.join()


class _Passing(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            self.server.before(self.request)
            with (
                self.server.context.wrap_socket(self.request, server_side=True) as outer,
                socket.create_connection(self.server.behind) as inner,
            ):
                while True:
                    ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
                    for end, other in ((outer, inner), (inner, outer)):
                        if end in ready:
                            data = end.recv(65536)
                            if not data:
                                return
                            other.sendall(data)
