"""Who may ask the studio, and how much."""

import asyncio
import io
import resource
import socket
import struct
import subprocess
import sys
import webbrowser
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from attrimorph.errors import AttrimorphError
from attrimorph.studio.access import checked_token, is_loopback
from attrimorph.studio.connections import listen
from attrimorph.studio.model_store import ContentStore, Gone, Limits, LRUCache
from attrimorph.studio.server import create_app, open_page
from tests.studio.conftest import HOME, LIVE, SMALL, face_png, let_in, opened

TOKEN = "0123456789abcdef"
BYTES = {"content-type": "application/octet-stream"}


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "", "10.0.0.1:8710", "[::2]", "a:b:c", "[::1"])
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    """A site whose name is made to point to this machine (DNS rebinding) says its own name."""
    for path in ("/", "/api/models", "/static/index.html", "/nothing"):
        assert client.get(path, headers={"host": host}).status_code == 421, path


@pytest.mark.parametrize("host", ["localhost", "localhost:8710", "127.0.0.1:1", "[::1]:8710", "LOCALHOST"])
def test_this_machine_is_let_in(client: TestClient, host: str) -> None:
    assert client.get("/api/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "https://127.0.0.1:9", "file://", "http://127.0.0.1.evil"]
)
def test_foreign_pages_are_refused(client: TestClient, origin: str) -> None:
    assert client.post("/api/sample", json={"model": "tiny"}, headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(LIVE, headers={"origin": origin, "host": "127.0.0.1"}),
    ):
        pass
    assert refused.value.status_code == 403


def test_foreign_requests_without_an_origin_are_refused(client: TestClient) -> None:
    assert client.get("/api/models", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


def test_the_own_page_is_let_in(client: TestClient) -> None:
    assert client.get("/api/models", headers={"origin": HOME, "host": "127.0.0.1"}).status_code == 200
    with client.websocket_connect(LIVE, headers={"origin": HOME, "host": "127.0.0.1"}) as page:
        page.send_text("{}")
        assert "422" in page.receive_text()


def test_a_token_is_asked_for(models: list[str]) -> None:
    with TestClient(create_app(models[:1], token=TOKEN, host="0.0.0.0"), base_url="http://studio.lan:8710") as client:
        assert client.get("/api/models").status_code == 401
        assert client.get("/").status_code == 401
        assert client.get("/?token=0123456789abcdee").status_code == 401
        assert client.get(f"/api/models?token={TOKEN}").status_code == 401
        assert client.get("/api/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/api/models", headers={"authorization": "Bearer "}).status_code == 401
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(LIVE):
            pass
        entered = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert {"httponly", "samesite=lax"} <= {*entered.headers["set-cookie"].lower().split("; ")}
        # Browsers send a cookie to all ports of a host: that of one studio is no other's.
        assert entered.headers["set-cookie"].startswith(f"attrimorph-token-8710={TOKEN};")
        assert client.get("/api/models").status_code == 200
        with client.websocket_connect("ws://studio.lan:8710/live") as page:
            page.send_text("{}")
            assert page.receive_text()


def test_another_account_gets_nothing_but_401(models: list[str], tmp_path: Path) -> None:
    """Whatever it asks a default studio for, by whatever name and from whatever page."""
    app = create_app(models[:1], runs=tmp_path)
    assert len(app.token) >= 16
    assert app.token != create_app(models[:1]).token
    with TestClient(app, base_url=HOME) as client:
        paths = ["/", "/?token=", "/static/index.html", "/nothing", "/live", "/?token=0123456789abcdef"]
        for path in [*paths, *let_in(app).get("/api/openapi.json").json()["paths"]]:
            for method in ("GET", "POST", "HEAD", "PUT", "OPTIONS"):
                for headers in ({}, {"host": "evil.com"}, {"origin": "http://evil.com"}, {"authorization": "Bearer é"}):
                    told = client.request(method, path, headers={name: word.encode() for name, word in headers.items()})
                    assert told.status_code == 401, (method, path, headers)
                    assert app.token not in told.text
        with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(LIVE):
            pass
        assert refused.value.status_code == 401


def test_a_token_is_the_environments_or_a_new_one() -> None:
    environment = {"ATTRIMORPH_TOKEN": TOKEN}
    assert checked_token(environment) == TOKEN
    assert environment == {}  # no process that is started later is told
    assert checked_token({}) != checked_token({})
    for word in ("short", "fifteen letters!", "0123456789abcdeé"):
        with pytest.raises(AttrimorphError, match="at least 16 letters and digits"):
            checked_token({"ATTRIMORPH_TOKEN": word})


def test_what_means_this_machine_alone() -> None:
    assert [is_loopback(name) for name in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(name) for name in ("0.0.0.0", "", "localhost.evil.com", "192.168.0.1")] == [False] * 4


def test_large_bodies_are_refused(models: list[str]) -> None:
    with let_in(create_app(models[:1], limits=SMALL)) as client:
        told = client.post("/api/open", content=b"x" * (2**20 + 1), headers=BYTES)
        assert (told.status_code, "at most 1 MiB" in told.json()["error"]) == (413, True)
        parts = (b"x" * 2**16 for _ in range(20))
        assert client.post("/api/open", content=parts, headers=BYTES).status_code == 413
        assert client.get("/api/models").status_code == 200


def bomb(side: int) -> bytes:
    """Return a PNG of few bytes that would decode to side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def test_many_pixels_are_refused_before_they_are_decoded(models: list[str]) -> None:
    with let_in(create_app(models[:1], limits=SMALL)) as client:
        for content in (bomb(60_000), bomb(1_100)):
            told = client.post("/api/open", content=content, headers=BYTES)
            assert told.status_code == 400
            assert any(word in told.json()["error"] for word in ("megapixels", "exceeds limit"))
        assert opened(client, face_png(1))


def test_the_longest_unused_photographs_are_forgotten(models: list[str]) -> None:
    with let_in(create_app(models[:1], limits=SMALL)) as client:
        names = [opened(client, face_png(seed)) for seed in range(5)]
        states = [
            client.post("/api/reconstruct", json={"model": "tiny", "source": {"photo": name}}).status_code
            for name in names
        ]
        assert states == [410, 200, 200, 200, 200]
        assert opened(client, face_png(0)) == names[0]


def test_too_many_sessions_are_turned_away(models: list[str]) -> None:
    with let_in(create_app(models[:1], limits=SMALL)) as client:
        with client.websocket_connect(LIVE), client.websocket_connect(LIVE):
            with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(LIVE) as third:
                third.receive_text()
            assert closed.value.code == 1013
        with client.websocket_connect(LIVE) as page:
            page.send_text("{}")
            assert page.receive_text()


def test_requests_at_the_same_time_are_limited_and_slow_ones_given_up(models: list[str]) -> None:
    """Two bodies that never arrive take both places; a third request is told to come again, then there is room."""
    app = create_app(models[:1], limits=SMALL)
    scope = {
        "type": "http", "method": "POST", "path": "/api/open", "query_string": b"", "http_version": "1.1",
        "headers": [
            (b"host", b"localhost"), (b"content-type", b"application/octet-stream"),
            (b"authorization", f"Bearer {app.token}".encode()),
        ],
    }  # fmt: skip

    async def status(receive: Callable[[], Awaitable[Any]]) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app(dict(scope), receive, send)
        return int(sent[0]["status"])

    async def never() -> Any:
        await asyncio.sleep(60)

    async def at_once() -> Any:
        return {"type": "http.request", "body": b"no picture", "more_body": False}

    async def all_of_it() -> tuple[list[int], int, int]:
        slow = [asyncio.create_task(status(never)) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await status(at_once)
        return [await each for each in slow], refused, await status(at_once)

    assert asyncio.run(all_of_it()) == ([408, 408], 503, 400)


def test_many_bodies_at_once_are_refused(models: list[str]) -> None:
    few = Limits(bodies=2**20)
    with let_in(create_app(models[:1], limits=few)) as client:
        assert client.post("/api/open", content=b"x" * (2**20 + 1), headers=BYTES).status_code == 503
        assert client.post("/api/open", content=face_png(1), headers=BYTES).status_code == 200


def test_a_browser_is_not_told_the_token_where_others_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    open_page(f"http://127.0.0.1:8710/?token={TOKEN}", tmp_path)
    assert opened == [(tmp_path / "studio.html").as_uri()]
    assert f"url=http://127.0.0.1:8710/?token={TOKEN}" in (tmp_path / "studio.html").read_text()


def test_nothing_is_written(models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with let_in(create_app(models[:1])) as client:
        name = opened(client, face_png(1))
        client.post("/api/edit", json={"model": "tiny", "source": {"photo": name}, "changes": {"Bald": 1}})
    assert not list(tmp_path.iterdir())


def test_the_page_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    headers = client.get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/static/../server.py").status_code == 404
    assert client.get("/static/%2e%2e/server.py").status_code == 404


def test_the_label_can_be_switched_off_by_the_owner(models: list[str]) -> None:
    import base64

    for label in (True, False):
        with let_in(create_app(models[:1], label=label)) as client:
            for path in ("edit", "reconstruct"):
                told = client.post(f"/api/{path}", json={"model": "tiny", "source": {"seed": 1}}).json()
                with Image.open(io.BytesIO(base64.b64decode(told["picture"]))) as image:
                    assert ("attrimorph" in image.info) == label


def test_a_keeper_forgets_the_longest_unused() -> None:
    keeper: ContentStore[int] = ContentStore(3, 10)
    names = [keeper.keep(bytes([number]) * 3, number) for number in range(3)]
    assert keeper.get(names[0]) == 0
    assert keeper.keep(b"\x00" * 3, 7) == names[0]
    keeper.keep(b"abc", 3)
    assert keeper.get(names[0]) == 0
    with pytest.raises(Gone):
        keeper.get(names[1])
    assert keeper.bytes == 9
    keeper.keep(b"x" * 11, 4)
    assert len(keeper) == 1
    assert ContentStore[int](3, 10).keep(b"abc", 1) != ContentStore[int](3, 10).keep(b"abc", 1)


def test_remembered_is_found_once() -> None:
    calls: list[str] = []
    memory: LRUCache[str] = LRUCache(2)
    for key in ("a", "b", "a", "c", "b"):
        memory.get(key, lambda key=key: calls.append(key) or key)  # type: ignore[misc]
    assert calls == ["a", "b", "c", "b"]


async def delays(at: socket.socket) -> bool:
    """Return whether the system may hold back what a server on this socket sends."""
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    server = await asyncio.start_server(connected, sock=at)
    _, writer = await asyncio.open_connection(*at.getsockname())
    delay = not await asyncio.wait_for(found, 10)
    writer.close()
    server.close()
    return delay


def test_pictures_are_sent_at_once() -> None:
    # With Nagle's algorithm on, the pictures of a drag came a frame late, now and then for seconds.
    assert not asyncio.run(delays(listen("127.0.0.1", 0)))


def test_a_taken_port_gets_a_sentence() -> None:
    first = listen("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    with pytest.raises(AttrimorphError, match=f"cannot listen on 127.0.0.1:{port}"):
        listen("127.0.0.1", port)
    first.close()


SERVING = """
import sys
from attrimorph.studio.connections import listen, serve
from attrimorph.studio.model_store import Limits
from attrimorph.studio.server import create_app
at = listen("127.0.0.1", 0)
app = create_app(sys.argv[2:], token="0123456789abcdef", limits=eval(f"Limits({sys.argv[1]})"))
serve(app, at, lambda: print(at.getsockname()[1], flush=True))
"""


@contextmanager
def serving(model: str, limits: str, *, files: int | None = None, lines: int = 0) -> Iterator[int]:
    """Serve a model on a real port, with so many open files at most; it may complain in so many lines."""

    def fewer() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with subprocess.Popen(
        [sys.executable, "-c", SERVING, limits, model], text=True, preexec_fn=fewer,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
            process.terminate()
            assert process.stderr is not None
            assert len(process.stderr.read().splitlines()) <= lines
        finally:
            process.kill()


@pytest.fixture(scope="module")
def impatient(models: list[str]) -> Iterator[int]:
    with serving(models[0], "silent_seconds=1, connections=20") as port:
        yield port


@pytest.fixture(scope="module")
def narrow(models: list[str]) -> Iterator[int]:
    with serving(models[0], "message=500", files=48, lines=1) as port:
        yield port


ASKED = f"GET /api/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()


def answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(ASKED)
        return line.recv(15) == b"HTTP/1.1 200 OK"


def closed(line: socket.socket) -> bool:
    """Read until the server hangs up; return whether it did within a long time."""
    line.settimeout(60)
    try:
        while line.recv(2**20):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_silent_connections_have_to_go_and_others_are_served(impatient: int) -> None:
    lines = [socket.create_connection(("127.0.0.1", impatient)) for _ in range(60)]
    for line in lines[::2]:
        with suppress(OSError):  # there were too many already
            line.sendall(b"GET / HTTP/1.1\r\nHost: ")
    assert answers(impatient)
    assert all(closed(line) for line in lines)


def never_read(line: socket.socket) -> None:
    """Ask and ask, and read none of the answers."""
    while True:
        line.sendall(ASKED)


def test_who_never_reads_has_to_go(impatient: int) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", impatient))
        line.settimeout(60)
        with pytest.raises(OSError, match=r"reset|[Bb]roken|abort"):
            never_read(line)
    assert answers(impatient)


def test_too_many_open_files_are_a_line_at_most(narrow: int) -> None:
    lines = []
    for _ in range(100):
        lines.append(socket.socket())
        lines[-1].settimeout(0.05)
        with suppress(OSError):
            lines[-1].connect(("127.0.0.1", narrow))
    for line in lines:
        line.close()
    assert answers(narrow)


def test_the_limit_of_messages_is_the_one_that_was_asked_for(narrow: int) -> None:
    from websockets.exceptions import ConnectionClosedError
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{narrow}/live", additional_headers={"authorization": f"Bearer {TOKEN}"}) as page:
        page.send('{"stream": 0}')
        assert "422" in str(page.recv())
        page.send(" " * 501)
        with pytest.raises(ConnectionClosedError) as closed:
            page.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
