// To the studio and back: one websocket for sliders, of which only the newest matters, and requests for the rest.

/** Whether the studio runs on this machine: no network is between. */
export const HERE = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
const UNDER_WAY = HERE ? 1 : 2; // a second one hides the way of a network; where there is none it only waits, and is old

/** Ask the API. Throws an Error with `status` and the studio's sentence. */
export async function ask(path, body, tries = 8) {
  const options = body === undefined ? {} : { method: "POST", body, headers: {} };
  if (body !== undefined) {
    const raw = body instanceof Blob || body instanceof ArrayBuffer;
    options.headers["content-type"] = raw ? "application/octet-stream" : "application/json";
    if (!raw) options.body = JSON.stringify(body);
  }
  const answer = await fetch(`/api/${path}`, options);
  if (answer.status === 503 && tries > 1) {
    await new Promise((wake) => setTimeout(wake, 700));
    return ask(path, body, tries - 1);
  }
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw Object.assign(new Error(told.error || answer.statusText), { status: answer.status });
  return told;
}

export function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function png(text) {
  return new Blob([bytesOf(text)], { type: "image/png" });
}

/**
 * Live edits. Of a stream so many states are under way at most; while they are, only the newest other one is kept.
 * `onFrame(stream, picture, besides, number, box, view)` is called with pictures in order: none after a newer one;
 * `besides` is null where nobody looked; of a whole photograph `view` is the one that was asked for, and `box` [left,
 * upper, width, height] where in it the picture lies; else both are null.
 */
export class Live {
  constructor({ onFrame, onFault, onOpen, onClose }) {
    Object.assign(this, { onFrame, onFault, onOpen, onClose });
    this.number = 0;
    this.streams = new Map();
    this.wait = 250;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait = 250;
      this.streams.clear();
      this.onOpen();
    };
    this.socket.onmessage = (message) => this.heard(message.data);
    this.socket.onclose = (event) => {
      this.onClose(event.code);
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 2, 5000);
    };
  }

  /** Send a state of a stream; returns its number. */
  send(stream, state) {
    const number = ++this.number;
    const line = this.streams.get(stream) ?? { sent: 0, answered: 0, shown: 0, under: [], next: null };
    this.streams.set(stream, line);
    line.next = { ...state, stream, number };
    this.push(line);
    return number;
  }

  push(line) {
    if (!line.next || line.under.length >= UNDER_WAY || this.socket.readyState !== WebSocket.OPEN) return;
    line.under.push(line.next);
    this.socket.send(JSON.stringify(line.next));
    line.next = null;
  }

  settled(stream, number) {
    const line = this.streams.get(stream);
    if (!line) return {};
    const state = line.under.find((each) => each.number === number);
    // What was sent before the answered state has been answered or dropped.
    line.under = line.under.filter((each) => each.number > number);
    this.push(line);
    return { line, state };
  }

  async heard(data) {
    if (typeof data === "string") {
      const told = JSON.parse(data);
      if (told.stream !== undefined) this.settled(told.stream, told.number);
      this.onFault(told);
      return;
    }
    const length = new DataView(data).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const { line, state } = this.settled(head.stream, head.number);
    if (!state || head.number < line.shown) return;
    // Bare bytes are painted in the very task that brings them; no decoder is waited for.
    const picture =
      head.format === "rgba"
        ? bare(line, new Uint8ClampedArray(data, 4 + length), head.box)
        : await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)]));
    if (head.number < line.shown) return; // a newer one was decoded sooner
    line.shown = head.number;
    this.onFrame(head.stream, picture, head.besides, head.number, head.box, state.view ?? null);
  }
}

/** Put the bytes of a picture, square unless it has a box, on the stream's own canvas, for others to draw. */
function bare(line, bytes, box) {
  const width = box?.[2] ?? Math.sqrt(bytes.length / 4);
  const height = bytes.length / 4 / width;
  line.canvas ??= document.createElement("canvas");
  if (line.canvas.width !== width || line.canvas.height !== height) Object.assign(line.canvas, { width, height });
  line.canvas.getContext("2d").putImageData(new ImageData(bytes, width, height), 0, 0);
  return line.canvas;
}

/** The name of a saved picture: what it is, when, and by which model. */
export function pictureName(kind, model, suffix = ".png") {
  const now = new Date(Date.now() - 60000 * new Date().getTimezoneOffset()).toISOString();
  return `${kind}-${now.slice(0, 19).replaceAll(/[:T]/g, "-")}-${model.name.replaceAll(/[^\w.-]+/g, "-")}${suffix}`;
}

/** Offer bytes as a file. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
