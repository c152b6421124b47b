"""A local HTTP server that behaves like Resend's POST /emails: idempotency keys, errors by script, slow answers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Reply:
    """One scripted answer. `is_accepted`: the mail is taken all the same, as when only the answer gets lost."""

    status: int = 200
    name: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0
    is_accepted: bool = False
    is_json: bool = True


class ResendServer:
    """What was asked and what was sent. `script` holds the next answers; without one it does what Resend does."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.mails: dict[str, dict[str, Any]] = {}
        self.script: list[Reply] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, headers: dict[str, str], body: dict[str, Any]) -> tuple[Reply, dict[str, Any]]:
        key = headers.get("idempotency-key", "")
        with self._lock:
            self.requests.append({"key": key, "headers": headers, "body": body})
            reply = self.script.pop(0) if self.script else Reply(is_accepted=True)
            known = self.mails.get(key)
            if reply.is_accepted and known and known["body"] != body:
                reply = Reply(409, "invalid_idempotent_request", "Same idempotency key used with a different request payload.")
            elif reply.is_accepted and not known:
                self.mails[key] = {"id": f"mail-{len(self.mails) + 1}", "body": body}
        if reply.delay_seconds:
            time.sleep(reply.delay_seconds)
        if reply.status == 200:
            return reply, {"id": self.mails[key]["id"]}
        return reply, {"statusCode": reply.status, "name": reply.name, "message": reply.message}


def _handler(resend: ResendServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply, answer = resend.answer({name.lower(): value for name, value in self.headers.items()}, body)
            content = json.dumps(answer).encode() if reply.is_json else b"<html>Bad gateway</html>"
            with suppress(BrokenPipeError, ConnectionResetError):  # the client gave up waiting, as the test wants
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json" if reply.is_json else "text/html")
                self.send_header("Content-Length", str(len(content)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def resend_server() -> Iterator[ResendServer]:
    server = ResendServer()
    yield server
    server.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
