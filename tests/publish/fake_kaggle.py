"""A server on this computer that speaks the part of Kaggle's API that the client uses here.

`FakeKaggle.faults` holds, by the name of a method, what its next calls answer instead.
"""

import base64
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USER = "ada"
KEY = "0123456789abcdef-the-secret-key"
TOKEN = "KGAT_the-secret-token"
ACCEPTED = {f"Bearer {TOKEN}", "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()}


@dataclass(frozen=True)
class Fault:
    """An answer that is none: a status with a body, or silence."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    is_silent: bool = False


def refusal(status: int, message: str, **headers: str) -> Fault:
    """An error as Kaggle words it."""
    body = json.dumps({"code": status, "message": message}).encode()
    return Fault(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class FakeKaggle:
    """What the server holds; a test reads and changes it."""

    def __init__(self) -> None:
        self.address = ""
        self.files: dict[str, bytes] = {}
        self.break_after: list[int] = []
        self.ranges: list[str] = []
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.datasets: dict[str, list[dict[str, bytes]]] = {}
        self.kernels: dict[str, dict[str, Any]] = {}
        self.run_kernel: Callable[[dict[str, Any]], tuple[str, dict[str, bytes], str]] = (
            lambda request: ("COMPLETE", {}, "")
        )
        self.versions: dict[str, int] = defaultdict(int)
        self.statuses: list[str] = []
        self.outcome: tuple[str, dict[str, bytes], str] = ("COMPLETE", {}, "")
        self.running = threading.Thread()
        self.submissions: list[dict[str, Any]] = []
        self.score: dict[str, Any] = {
            "status": "COMPLETE",
            "publicScore": "0.55",
            "privateScore": "0.61",
        }
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.calls: list[str] = []
        self.closing = threading.Event()

    # Each method of the API: its request as JSON to its reply as JSON.

    def IntrospectToken(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        is_known = request.get("token") == TOKEN
        return {"active": is_known, "username": USER if is_known else ""}

    def ListDataFiles(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"files": [{"name": n, "totalBytes": len(c)} for n, c in self.files.items()]}

    def GetDatasetStatus(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ref = f"{request['ownerSlug']}/{request['datasetSlug']}"
        if ref not in self.datasets:
            raise LookupError(ref)
        return {"status": "READY"}

    def CreateDataset(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ref = f"{request['ownerSlug']}/{request['slug']}"
        self.datasets[ref] = [self._collect(request["files"])]
        return {"ref": ref, "status": "ok", "url": f"http://localhost/datasets/{ref}"}

    def CreateDatasetVersion(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ref = f"{request['ownerSlug']}/{request['datasetSlug']}"
        self.datasets[ref].append(self._collect(request["body"]["files"]))
        return {"ref": ref, "status": "ok", "url": f"http://localhost/datasets/{ref}"}

    def StartBlobUpload(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._begin_upload(request["name"])

    def StartSubmissionUpload(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._begin_upload(request["fileName"])

    def SaveKernel(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.kernels[request["slug"]] = request
        self.versions[request["slug"]] += 1
        invalid = [ref for ref in request.get("datasetDataSources", []) if ref not in self.datasets]
        self.statuses = ["QUEUED", "RUNNING"]
        self.running = threading.Thread(target=self._run, args=[request])
        self.running.start()
        url = f"http://localhost/code/{request['slug']}"
        number = self.versions[request["slug"]]
        return {"url": url, "versionNumber": number, "invalidDatasetSources": invalid}

    def GetKernelSessionStatus(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Answer for the latest version; earlier ones ended well."""
        if not self._is_latest(request):
            return {"status": "COMPLETE"}
        if self.statuses:
            return {"status": self.statuses.pop(0)}
        if self.running.is_alive():
            self.running.join(1)
        if self.running.is_alive():
            return {"status": "RUNNING"}
        failure = "Your notebook\nfailed" if self.outcome[0] == "ERROR" else ""
        return {"status": self.outcome[0], "failureMessage": failure}

    def ListKernelSessionOutput(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Return one file a page; earlier versions left nothing."""
        _, files, log = self.outcome if self._is_latest(request) else ("COMPLETE", {}, "")
        names = sorted(files)
        page = int(request.get("pageToken") or 0)
        files_of_page = [
            {"fileName": n, "url": f"{self.address}/output/{n}"} for n in names[page:][:1]
        ]
        token = str(page + 1) if page + 1 < len(names) else ""
        return {"files": files_of_page, "log": log, "nextPageToken": token}

    def CreateSubmission(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name, content = self.blobs[request["blobFileTokens"]]
        number = 1000 + len(self.submissions)
        self.submissions.append(
            {"ref": number, "name": name, "content": content, "polls": 0}
            | {"description": request.get("submissionDescription")}
        )
        return {"message": "Successfully submitted", "ref": number}

    def ListSubmissions(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Score a submission at the second question."""
        listed = []
        for submission in self.submissions:
            submission["polls"] += 1
            verdict = self.score if submission["polls"] > 1 else {"status": "PENDING"}
            listed.append({"ref": submission["ref"], "fileName": submission["name"]} | verdict)
        return {"submissions": listed}

    def _is_latest(self, request: dict[str, Any]) -> bool:
        ref = f"{request['userName']}/{request['kernelSlug']}"
        label = request.get("versionLabel") or ""
        if label and not re.fullmatch(r"v[1-9]\d*", label):
            raise LookupError(label)
        return not label or not self.versions[ref] or label == f"v{self.versions[ref]}"

    def _run(self, request: dict[str, Any]) -> None:
        self.outcome = ("ERROR", {}, "the machine broke down")
        self.outcome = self.run_kernel(request)

    def _begin_upload(self, name: str) -> dict[str, Any]:
        token = f"blob-{len(self.blobs)}"
        self.blobs[token] = (name, b"")
        return {"token": token, "createUrl": f"{self.address}/upload/{token}"}

    def _collect(self, files: list[dict[str, Any]]) -> dict[str, bytes]:
        return dict(self.blobs[file["token"]] for file in files)


class Handler(BaseHTTPRequestHandler):
    """Answers for the `FakeKaggle` of its server."""

    protocol_version = "HTTP/1.1"

    @property
    def fake(self) -> FakeKaggle:
        return self.server.fake  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        method = self.path.rpartition("/")[2]
        self.fake.calls.append(method)
        request = json.loads(self._read_body() or b"{}")
        if self.fake.faults[method]:
            self._answer_fault(self.fake.faults[method].pop(0))
        elif method != "IntrospectToken" and self.headers.get("Authorization") not in ACCEPTED:
            self._answer_fault(refusal(401, "Unauthorized"))
        elif method == "DownloadDataFiles":
            self._answer(
                302, b"", Location=f"{self.fake.address}/storage/data-science-bowl-2018.zip"
            )
        else:
            self._answer_json(getattr(self.fake, method), request)

    def do_PUT(self) -> None:
        token = self.path.rpartition("/")[2]
        body = self._read_body()
        if self.fake.faults["upload"]:
            self._answer_fault(self.fake.faults["upload"].pop(0))
            return
        self.fake.blobs[token] = (self.fake.blobs[token][0], body)
        self._answer(200, b"{}")

    def do_GET(self) -> None:
        kind, _, name = self.path.lstrip("/").partition("/")
        self.fake.calls.append(f"GET {kind}")
        held = self.fake.outcome[1] if kind == "output" else self.fake.files
        if self.fake.faults[f"GET {kind}"]:
            self._answer_fault(self.fake.faults[f"GET {kind}"].pop(0))
        elif name not in held:
            self._answer(404, b"no such file")
        else:
            self._answer_file(held[name])

    def _answer_file(self, content: bytes) -> None:
        version = f'"{len(content)}-{sum(content[:4096])}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") == version else 0
        self.fake.ranges += [self.headers["Range"]] if asked else []
        if start >= len(content):
            self._answer(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", version)
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        if self.fake.break_after:
            self.wfile.write(content[start : start + self.fake.break_after.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(content[start:])

    def _answer_json(
        self, method: Callable[[dict[str, Any]], dict[str, Any]], request: dict[str, Any]
    ) -> None:
        try:
            self._answer(200, json.dumps(method(request)).encode())
        except LookupError:
            self._answer_fault(refusal(404, "Not found"))

    def _answer_fault(self, fault: Fault) -> None:
        if fault.is_silent:
            self.fake.closing.wait(10)
            self.close_connection = True
        else:
            self._answer(fault.status, fault.body, **fault.headers)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class Server(ThreadingHTTPServer):
    """Serves one `FakeKaggle`."""

    daemon_threads = True

    def __init__(self, fake: FakeKaggle, port: int) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that a client closed."""


def start_server(fake: FakeKaggle, port: int = 0) -> Server:
    """Serve in a thread of its own, by default at any free port; `stop_server` ends it."""
    server = Server(fake, port)
    fake.address = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    return server


def stop_server(server: Server) -> None:
    """Stop serving, and let silent answers go."""
    server.fake.closing.set()
    server.shutdown()
    server.server_close()


def read_secrets_in(folder: Path) -> list[str]:
    """List the files of a folder that hold a secret, packed ones too."""
    import zipfile

    secrets = [KEY.encode(), TOKEN.encode()]
    leaking = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                contents += [packed.read(name) for name in packed.namelist()]
        if any(secret in content for secret in secrets for content in contents):
            leaking.append(str(path))
    return leaking
