"""What stores of objects say, spoken by a server on this machine that has one folder: S3, Google's, and the Hugging Face hub.

Each store's own client reads from it, told where it is by fsspec's configuration, as a user tells it of a store of one's own.
"""

import json
from email.utils import formatdate
from urllib.parse import unquote

from tests.data.server import BadServer, Handler

REVISION = "0" * 40
ADDRESSES = {
    "s3": "s3://bucket/set",
    "gs": "gs://bucket/set",
    "hf": "hf://datasets/owner/name/set",
    "memory": "memory://bucket/set",
}


class Buckets(Handler):
    """Objects lie in the folder `set`, whatever bucket or revision stands before it."""

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        there = "/set" in path
        if "/tree/" in path:
            files = sorted(self.server.folder.iterdir()) if there else []
            told = [{"type": "file", "path": f"set/{file.name}", "size": file.stat().st_size, "oid": REVISION} for file in files]
            return self._answer(200, json.dumps(told).encode())
        if path.startswith("/api/"):
            return self._answer(200, json.dumps({"id": "owner/name", "sha": REVISION}).encode())
        self.path = path
        return super().do_GET() if there else self._answer(404, b"")

    def do_HEAD(self) -> None:
        """S3 is asked of an object before it is read."""
        file = self.server.folder / self.path.rpartition("/")[2]
        there = "/set" in self.path and file.is_file()
        self.send_response(200 if there else 404)
        if there:
            self.send_header("Content-Length", str(file.stat().st_size))
            self.send_header("ETag", f'"{REVISION}"')
            self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()


def configuration(server: BadServer) -> dict[str, dict]:
    """Of fsspec, for each kind of store."""
    address = f"http://localhost:{server.server_port}"
    return {
        "s3": {"anon": True, "endpoint_url": address},
        "gs": {"token": "anon", "endpoint_url": address},
        "gcs": {"token": "anon", "endpoint_url": address},
        "hf": {"endpoint": address, "token": False},
    }
