"""A model hub in a thread: the addresses and headers that huggingface_hub asks for, and bad lines."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories of files.

    Attributes:
        files: (repository, path) -> content.
        branches: Names that stand for ``COMMIT``.
        break_after: Bytes after which the next answers end early, one number an answer.
        checksum: Header in place of the true SHA-256.
        requests: (method, address, Range header) of every request.
    """

    def __init__(self):
        self.files, self.branches, self.break_after, self.requests = {}, ["main", "v1"], [], []
        self.checksum = self.commit = self.refuse = None

    @contextlib.contextmanager
    def serving(self):
        """Its address while it runs."""
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def sent(self, method):
        return [(address, wanted) for kind, address, wanted in self.requests if kind == method]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(is_head=True)

    def do_GET(self):
        self._answer(is_head=False)

    def _answer(self, is_head):
        hub = self.hub
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, path = rest.partition("/")
        if hub.refuse:
            return self._error(*hub.refuse)
        if repository not in {name for name, _ in hub.files}:
            return self._error(404, "RepoNotFound")
        if revision != COMMIT and revision not in hub.branches:
            return self._error(404, "RevisionNotFound")
        if (repository, path) not in hub.files:
            return self._error(404, "EntryNotFound")
        content = hub.files[repository, path]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("X-Repo-Commit", hub.commit or COMMIT)
        self.send_header("X-Linked-Etag", f'"{hub.checksum or hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.end_headers()
        if not is_head:
            self._send(content[start:])
        return None

    def _send(self, content):
        if self.hub.break_after:
            content = content[: self.hub.break_after.pop(0)]
            self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def _error(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
