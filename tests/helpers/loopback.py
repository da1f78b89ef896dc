"""A web server on loopback with the faults of real ones."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves `files` (path: bytes). `cut_after`: close the connection after so many body bytes, so many times.

    `ranges`: honour Range requests; `requests` keeps (path, Range header) of all that came.
    """

    def __init__(self, files, *, ranges=True, cut_after=None, cuts=0):
        self.files, self.ranges, self.cut_after, self.cuts = files, ranges, cut_after, cuts
        self.requests = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                server.requests.append((self.path, asked))
                body = server.files.get(self.path)
                if body is None:
                    return self.send_error(404)
                match = re.fullmatch(r"bytes=(\d+)-", asked or "")
                start = int(match[1]) if match and server.ranges else 0
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body) - start))
                self.send_header("Content-Type", "application/octet-stream")
                self.end_headers()
                rest = body[start:]
                if server.cuts and server.cut_after is not None and len(rest) > server.cut_after:
                    server.cuts -= 1
                    rest = rest[: server.cut_after]
                    self.close_connection = True
                try:
                    self.wfile.write(rest)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        return Handler
