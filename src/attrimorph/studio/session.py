"""The websocket of live edits: states in, newest pictures out. Nothing of an edit is remembered here."""

import asyncio
import itertools
import json
import struct
from collections.abc import Callable
from contextlib import suppress

from fastapi import WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from attrimorph.applications.subject import Wish
from attrimorph.errors import AttrimorphError
from attrimorph.studio.caches import Gone
from attrimorph.studio.faults import fault_of, sentence_of
from attrimorph.studio.messages import LiveEdit
from attrimorph.studio.model_store import ModelStore
from attrimorph.studio.render_queue import Frame, Live, RenderQueue

_sessions = itertools.count()


class Session:
    """One open page.

    Args:
        socket: accepted.
        store, queue: of the studio.
        streams: how many pictures it may move at a time.
    """

    def __init__(self, socket: WebSocket, store: ModelStore, queue: RenderQueue, streams: int) -> None:
        self.socket, self.store, self.queue, self.streams = socket, store, queue, streams
        self.name = next(_sessions)
        self._loop = asyncio.get_running_loop()
        # One place for each stream: a page that reads slowly gets the newest picture, not all of them.
        self._ready: dict[int, bytes | str] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Serve until the page goes."""
        sender = asyncio.create_task(self._send())
        try:
            # Until the page has gone, or has sent bytes where words belong.
            with suppress(WebSocketDisconnect, KeyError):
                while True:
                    await self._hear(await self.socket.receive_text())
        finally:
            self.queue.forget(self.name)
            sender.cancel()

    async def _hear(self, text: str) -> None:
        try:
            edit = LiveEdit.model_validate_json(text)
        except ValidationError as error:
            self._put(-1, json.dumps({"status": 422, "error": sentence_of(error.errors())}))
            return
        if edit.stream >= self.streams:
            self._fault(
                edit, AttrimorphError(f"a page moves at most {self.streams} pictures; got stream {edit.stream}")
            )
            return
        try:
            photo = None
            if edit.source.image is not None:
                # A small message may hold a large photograph: other pages are not kept waiting.
                photo = await asyncio.to_thread(self.store.open_base64, edit.source.image)
            wish = Wish(edit.changes, tuple(edit.locks), self.store.taught(edit.axes))
            live = Live(self.store.served(edit.model), edit.source.origin(photo), wish, edit.format, edit.watch)
        except (AttrimorphError, Gone) as error:
            self._fault(edit, error)
            return
        self.queue.submit((self.name, edit.stream), live, self._answer(edit))

    def _answer(self, edit: LiveEdit) -> Callable[[Frame | Exception], None]:
        def answer(found: Frame | Exception) -> None:
            with suppress(RuntimeError):  # the server is closing
                self._loop.call_soon_threadsafe(self._frame, edit, found)

        return answer

    def _frame(self, edit: LiveEdit, found: Frame | Exception) -> None:
        if isinstance(found, Exception):
            self._fault(edit, found)
            return
        told = {"stream": edit.stream, "number": edit.number, "format": edit.format, "besides": found.besides}
        head = json.dumps(told).encode()
        self._put(edit.stream, struct.pack("<I", len(head)) + head + found.picture)

    def _fault(self, edit: LiveEdit, error: Exception) -> None:
        status, sentence = fault_of(error)
        told = {"stream": edit.stream, "number": edit.number, "status": status, "error": sentence}
        self._put(edit.stream, json.dumps(told))

    def _put(self, stream: int, message: bytes | str) -> None:
        self._ready[stream] = message
        self._wake.set()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready:
                message = self._ready.pop(next(iter(self._ready)))
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    await self.socket.send_text(message)
