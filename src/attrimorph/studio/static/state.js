// What is being edited: the whole state that every message carries, and the photographs that it names.

import { ask } from "./wire.js";
import { get, put } from "./history.js";

export const state = {
  source: { seed: 0, held: {} },
  changes: {},
  locks: [],
};

/** Models as the studio tells of them; the first is the one that the sliders are of. */
export const models = [];
/** Taught sliders, {model, name, axis}; the studio has them as long as it runs. */
export const taught = [];

/** Ask the studio for its taught sliders; tells whether they are others than before. */
export async function learnTaught() {
  const before = JSON.stringify(taught);
  taught.splice(0, taught.length, ...(await ask("taught")));
  return JSON.stringify(taught) !== before;
}

// Names of photographs: ours stay, the studio's are lost when it is started again.
const blobs = new Map();
const opened = new Map();

/** Keep a photograph and open it in the studio. */
export async function openPhoto(blob) {
  const told = await ask("open", blob);
  const local = crypto.randomUUID();
  blobs.set(local, blob);
  opened.set(local, told.photo);
  await put(`photo ${local}`, blob);
  return { local };
}

/** Return a source as the API takes it; photographs that the studio has forgotten are opened again. */
export async function resolved(source) {
  if (source.local === undefined) return { seed: source.seed, held: source.held };
  if (!opened.has(source.local)) {
    const blob = blobs.get(source.local) ?? (await get(`photo ${source.local}`));
    if (!blob) throw new Error("the photograph is gone");
    blobs.set(source.local, blob);
    opened.set(source.local, (await ask("open", blob)).photo);
  }
  return { photo: opened.get(source.local) };
}

/** The same without waiting: null where a photograph must be opened first. */
export function resolvedNow(source) {
  if (source.local === undefined) return { seed: source.seed, held: source.held };
  return opened.has(source.local) ? { photo: opened.get(source.local) } : null;
}

/** The studio does not know its names any more. */
export function forgetOpened() {
  opened.clear();
}

/** Return what of the state a model understands. */
export function wished(model, now = state) {
  const own = new Set(model.sliders.map((slider) => slider.name));
  const axes = taught.filter((axis) => axis.model === model.name && now.changes[axis.name]);
  const names = new Set([...own, ...axes.map((axis) => axis.name)]);
  const changes = Object.entries(now.changes).filter(([name, strength]) => strength && names.has(name));
  const whole = new Map(model.sliders.map((slider) => [slider.name, slider.step === 1]));
  return {
    model: model.name,
    changes: Object.fromEntries(changes.map(([name, far]) => [name, whole.get(name) ? Math.round(far) : far])),
    locks: now.locks.filter((name) => model.locks.includes(name)),
    axes: axes.map((axis) => axis.axis),
  };
}

/** Ask the API about a source; what the studio has forgotten is sent again. */
export async function askOf(path, source, words) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask(path, { ...words, source: await resolved(source) });
    } catch (error) {
      if (error.status !== 410 || tries) throw error;
      forgetOpened();
    }
  }
}
