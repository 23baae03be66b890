"""The hub's layout, and a round trip through a hub that answers on this machine."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from attrimorph.errors import AttrimorphError
from attrimorph.hub import from_pretrained, save_pretrained
from attrimorph.loading import load
from tests.tiny_models import tiny_model

COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as an upload of small files and a download need."""

    files: dict[str, bytes]

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _answer(self, content: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = f"http://{self.headers['Host']}/owner/name"
        if self.path.endswith("/repos/create"):
            self._answer(json.dumps({"url": address, "id": "owner/name"}).encode())
        elif "/preupload/" in self.path:
            names = [entry["path"] for entry in json.loads(body)["files"]]
            entries = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            self._answer(json.dumps({"files": entries}).encode())
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            answer = {"success": True, "commitOid": COMMIT, "commitUrl": f"{address}/commit/{COMMIT}"}
            self._answer(json.dumps(answer).encode())
        else:
            self._answer(b"{}")

    def do_GET(self) -> None:
        found = re.fullmatch(r"/owner/name/resolve/[^/]+/(.+)", self.path)
        if found and found[1] in self.files:
            content = self.files[found[1]]
            tag = f'"{hashlib.sha1(content).hexdigest()}"'
            self._answer(content, "application/octet-stream", ETag=tag, X_Repo_Commit=COMMIT)
        elif found:
            self.send_error(404)
        else:
            self._answer(json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": []}).encode())

    do_HEAD = do_GET


def test_the_layout_loads_again(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "a")
    folder = save_pretrained(model, tmp_path / "b")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = from_pretrained(folder)
    assert again.hash == model.hash
    assert json.loads((folder / "config.json").read_text())["recipe"]["name"] == "tiny"
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: attrimorph")
    assert "Smiling" in card


def test_the_card_states_what_was_measured(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "a")
    model.card |= {"figures": {"edit.target_reached": 0.98}, "protocols": {"edit.target_reached": "judge x"}, "mine": 2}
    save_pretrained(model, tmp_path / "b")
    text = (tmp_path / "b" / "README.md").read_text()
    assert "| `edit.target_reached` | 0.98 | judge x |" in text
    assert "| `mine` | 2 |  |" in text


def test_the_card_of_an_older_model_is_told_by_todays_keys(tmp_path: Path) -> None:
    save_pretrained(load("drawn-faces-64"), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| `edit.target_reached` | 0.9883 | mean over attributes; judge drawn-faces-64; 25000 edits" in text
    assert "| `seed`" not in text


def test_a_model_goes_to_the_hub_and_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    model = tiny_model(tmp_path / "model")
    Hub.files = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = (
        "import attrimorph, sys\n"
        "model = attrimorph.load(sys.argv[1])\n"
        "attrimorph.push_to_hub(model, 'owner/name', token='hf_' + 'x' * 20)\n"
        "print(attrimorph.from_pretrained('owner/name').hash)\n"
    )
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "model")], capture_output=True, text=True, env=environment
        )
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == model.hash
    assert sorted(Hub.files) == ["README.md", "config.json", "model.safetensors"]


def test_a_word_that_is_neither_folder_nor_hub_name_is_told() -> None:
    with pytest.raises(AttrimorphError, match="no folder and no hub name"):
        from_pretrained("nowhere")


def test_loading_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    torch.save({"x": print}, path)
    with pytest.raises(AttrimorphError, match="no readable model file"):
        from_pretrained(path)
