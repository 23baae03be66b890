// What is being edited: the whole state that every message carries, and the photographs that it names.

import { t } from "./words.js";
import { ask, png } from "./wire.js";
import { get, put } from "./history.js";

export const state = {
  source: null, // {local, face} of a photograph and one of its faces, {seed, held, of} of a sample of the model `of`; null = nothing is open
  changes: {},
  locks: [],
};

/** Models as the studio tells of them; the first is the one that the sliders are of. */
export const models = [];
export const modelOf = (name) => models.find((each) => each.name === name);
/** The model that draws a face: one of these if it can, or else the first that can; undefined = none. */
export const sampler = (...first) => [...first, ...models].find((model) => model.can.sample);
/** A new face by a model. */
export const newFace = (model, seed = Math.floor(Math.random() * 2 ** 31)) => ({ seed, held: {}, of: model.name });

/** How far an attribute is moved, in words. */
export function amount(name, far) {
  if (!far) return "0";
  const size = Math.abs(far);
  const real = models[0].sliders.find((slider) => slider.name === name)?.kind === "real";
  return `${far > 0 ? "+" : "−"}${real ? `${size.toFixed(2)} σ` : `${Math.round(size * 100)} %`}`;
}

/** Taught sliders, {model, name, axis}; the studio has them as long as it runs. */
export const taught = [];

/** Ask the studio for its taught sliders; tells whether they are others than before. */
export async function learnTaught() {
  const before = JSON.stringify(taught);
  taught.splice(0, taught.length, ...(await ask("taught")));
  return JSON.stringify(taught) !== before;
}

// Photographs: our names of them stay; what the studio tells of them, its own names too, is lost when it starts again.
const blobs = new Map();
const opened = new Map();

/** Keep a photograph and open it in the studio. */
export async function openPhoto(blob) {
  const told = await ask("open", blob);
  const local = crypto.randomUUID();
  blobs.set(local, blob);
  opened.set(local, told);
  await put(`photo ${local}`, blob);
  return { local };
}

// A sample is drawn by one model; others are shown it as a photograph, so that all of them edit the same face.
const drawnBy = (source, model) => modelOf(source.of) ?? sampler(model);
const keyOf = (source, model) => source.local ?? JSON.stringify([source.seed, source.held, drawnBy(source, model)?.name]);
const ofItsOwn = (source, model) => source.local === undefined && drawnBy(source, model) === model;

/** What the file of a photograph is called; "" of a sample, and where nobody knows. */
export const fileName = (source) => blobs.get(source.local)?.name ?? "";

async function bytesOf(source, model) {
  if (source.local !== undefined) {
    const blob = blobs.get(source.local) ?? (await get(`photo ${source.local}`));
    if (!blob) throw new Error(t("gone"));
    blobs.set(source.local, blob);
    return blob;
  }
  const { seed, held } = source;
  const drawn = drawnBy(source, model);
  if (!drawn) throw new Error(t("gone"));
  return png((await ask("reconstruct", { model: drawn.name, source: { seed, held } })).picture);
}

/** Return a source as the API takes it for a model; photographs that the studio has forgotten are opened again. */
export async function resolved(source, model) {
  const key = keyOf(source, model);
  if (!ofItsOwn(source, model) && !opened.has(key)) opened.set(key, await ask("open", await bytesOf(source, model)));
  return resolvedNow(source, model);
}

/** The same without waiting: null where a photograph must be opened first. */
export function resolvedNow(source, model) {
  if (ofItsOwn(source, model)) return { seed: source.seed, held: source.held };
  const told = openedAs(source, model);
  return told ? { photo: told.photo, ...(source.face && { face: source.face }) } : null;
}

/** What the studio tells of a source that was opened: {photo, width, height, faces}. */
export function openedAs(source, model) {
  return opened.get(keyOf(source, model));
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
      return await ask(path, { ...words, source: await resolved(source, modelOf(words.model)) });
    } catch (error) {
      if (error.status !== 410 || tries) throw error;
      forgetOpened();
    }
  }
}
