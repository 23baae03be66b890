// The pictures: one canvas for each model, the picture before beside it, split or held.

import { plain, t } from "./words.js";
import { amount, models, state } from "./state.js";

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Names of the models that are shown. */
export const shown = [];
const views = new Map();
// Of a layer, whose canvas shows a view of a photograph, or all of a face: the picture before, and what was changed last.
const nothing = { view: null, before: null, after: null, box: null };
let divided = 50;
let held = false;
let split = false;

/** Make a figure for each shown model. */
export function buildViews() {
  const home = document.getElementById("pictures");
  home.replaceChildren();
  views.clear();
  for (const name of shown) {
    const figure = document.createElement("figure");
    const frame = Object.assign(document.createElement("div"), { className: "frame" });
    const pane = Object.assign(document.createElement("div"), { className: "pane" });
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    canvas.setAttribute("role", "img");
    const caption = document.createElement("figcaption");
    pane.addEventListener("pointerdown", (event) => isWhole() && event.target.matches("canvas") && hold(event.isPrimary)); // not while two fingers zoom
    for (const kind of ["pointerup", "pointerleave", "pointercancel"])
      pane.addEventListener(kind, () => held && hold(false));
    pane.append(canvas);
    frame.append(pane);
    figure.append(frame, caption);
    home.append(figure);
    figure.dataset.model = name;
    views.set(name, { figure, frame, pane, caption, said: [], whole: { canvas, ...nothing }, near: null });
  }
  home.classList.toggle("several", shown.length > 1);
  describe();
}

/** Say in words what each picture shows. */
export function describe() {
  const moved = Object.entries(state.changes).map(([name, far]) => `${plain(name)} ${amount(name, far)}`);
  const save = document.getElementById("save");
  save.textContent = shown.length > 1 ? t("saveAll") : t("save");
  save.title = t("saves", shown.join(", "));
  document.getElementById("before").title = t("beforeHelp");
  for (const [name, { whole: { canvas }, caption, said }] of views) {
    const words = t("edited", name);
    canvas.setAttribute("aria-label", moved.length ? `${words}: ${moved.join(", ")}` : words);
    const called = shown.length > 1 || models.length > 1 ? [name] : [];
    caption.textContent = held ? t("beforeWord") : [...called, ...said].join(": ");
    caption.classList.toggle("doubtful", said.length > 0);
  }
}

/** Whether the first model is shown a face of a whole photograph. */
export const isWhole = () => views.get(shown[0])?.figure.classList.contains("whole") ?? false;

/** Another picture comes: what is there belongs to the old one. */
export function forgetPictures() {
  for (const view of views.values()) {
    Object.assign(view.whole, nothing);
    view.near?.canvas.remove();
    view.near = view.told = null;
  }
}

/** What of its photograph a model shows, and how large, as the API takes it; null of a face alone. */
export function viewOf(name) {
  const { near, whole } = views.get(name);
  return near && !near.leaving ? near.view : whole.view;
}

/** The view of a whole photograph, {width, height}, that is as large as it is shown. */
export function screenView({ width, height }) {
  const room = document.getElementById("pictures").parentElement.clientWidth || innerWidth;
  return { width: Math.ceil(Math.min(width, devicePixelRatio * Math.min(room, (innerHeight / 2) * (width / height)))) };
}

/** The view that shows what is seen of a photograph pixel for pixel of the screen. */
export function nearView(name) {
  const { frame, pane, whole, near, told } = views.get(name);
  if (!told || !whole.before || pane.clientWidth * devicePixelRatio <= whole.before.width * 1.05) return whole.view;
  const scale = told.width / pane.clientWidth;
  const [left, upper] = [frame.scrollLeft, frame.scrollTop].map((side) => Math.floor(side * scale));
  const right = Math.min(told.width, Math.ceil((frame.scrollLeft + frame.clientWidth) * scale));
  const lower = Math.min(told.height, Math.ceil((frame.scrollTop + frame.clientHeight) * scale));
  const width = Math.min(right - left, Math.round(((right - left) / scale) * devicePixelRatio));
  const view = { box: [left, upper, right, lower], width };
  return same(view, near?.view) ? near.view : view;
}

/** Show a view over the whole photograph; `before` is its original. Of the whole: that alone, as soon as it is painted. */
export async function showNear(name, view, before) {
  const { pane, near, told } = views.get(name);
  if (!before) {
    if (near) near.leaving = true;
    return;
  }
  const picture = await createImageBitmap(before);
  if (views.get(name)?.told !== told) return;
  const canvas = Object.assign(document.createElement("canvas"), { className: "near" });
  const [left, upper, right, lower] = view.box;
  const place = { left: left / told.width, top: upper / told.height, width: (right - left) / told.width, height: (lower - upper) / told.height };
  for (const [side, share] of Object.entries(place)) canvas.style[side] = `${100 * share}%`;
  views.get(name).near = { ...nothing, canvas, view, before: picture, from: near?.canvas };
}

/** The newest picture of a model; of a whole photograph what changed, and where in which view of it that lies. */
export function showAfter(name, picture, box, seen) {
  const view = views.get(name);
  const layer = [view?.whole, view?.near].find((each) => each && same(each.view, seen));
  if (!layer) return;
  if (layer.after !== picture) layer.after?.close?.();
  Object.assign(layer, { after: picture, box });
  draw(layer, view);
  if (layer === view.near) {
    if (!layer.canvas.isConnected) view.whole.canvas.after(layer.canvas);
    layer.from?.remove();
    layer.from = null;
  } else if (view.near?.leaving) {
    view.near.canvas.remove();
    view.near = null;
  }
}

/**
 * What it looked like before any edit, in a view of a photograph or null; `input` is the photograph as the model is
 * shown it, or null; `said` are sentences on why edits may not come out well.
 */
export async function showBefore(name, before, input, seen, said) {
  const view = views.get(name);
  if (!view) return;
  const picture = await createImageBitmap(before);
  // What came before its original is of another view.
  if (!same(view.whole.view, seen)) Object.assign(view.whole, nothing);
  Object.assign(view.whole, { before: picture, view: seen });
  view.said = said;
  describe();
  view.frame.querySelector(".input")?.remove();
  if (input) {
    const image = Object.assign(new Image(), { className: "input", alt: t("yours"), title: t("yours") });
    image.src = URL.createObjectURL(input);
    image.onload = () => URL.revokeObjectURL(image.src);
    view.frame.append(image);
  }
  draw(view.whole, view);
}

/** Show the frames of a photograph's faces, `frame` the edited one, `choose(number)` another; none where `frame` is null. */
export function showFrames(name, frame, told, choose) {
  const view = views.get(name);
  if (!view) return;
  view.pane.querySelector("svg")?.remove();
  view.figure.classList.toggle("whole", Boolean(frame));
  if (view.photo !== told?.photo) view.frame.style.setProperty("--zoom", (view.frame.dataset.zoom = 1));
  Object.assign(view, { told: frame && told, photo: told?.photo });
  if (!frame) return;
  const [low, high] = [Math.min, Math.max].map((most) => [0, 1].map((axis) => most(...frame.map((corner) => corner[axis]))));
  view.face = [...low, high[0] - low[0], high[1] - low[1]];
  view.figure.style.setProperty("--ratio", told.width / told.height);
  view.figure.dataset.width = told.width;
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", `0 0 ${told.width} ${told.height}`);
  // Each model has faces in its pictures where it will: the one whose middle is nearest.
  const middle = ([one, , other]) => [0, 1].map((axis) => (one[axis] + other[axis]) / 2);
  const [across, down] = middle(frame);
  const far = told.faces.map(middle).map(([x, y]) => Math.hypot(x - across, y - down));
  const own = Math.min(...far) < view.face[2] / 3 ? far.indexOf(Math.min(...far)) + 1 : 0;
  const add = (corners, number) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    shape.setAttribute("points", corners.map((corner) => corner.join()).join(" "));
    drawing.append(shape);
    if (!number) return;
    const words = t("face", number);
    for (const [key, value] of Object.entries({ role: "button", tabindex: 0, "aria-label": words })) shape.setAttribute(key, value);
    shape.setAttribute("aria-pressed", String(number === own));
    const take = () => number !== own && choose(number);
    shape.addEventListener("click", take);
    shape.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), take()));
  };
  told.faces.forEach((corners, place) => add(place + 1 === own ? frame : corners, place + 1));
  if (!own) add(frame);
  view.pane.append(drawing);
}

function draw({ canvas, before, after, box, view: seen }, { told }) {
  // Of a whole photograph only what changes comes anew.
  const picture = box || (held && before) ? before : after ?? before;
  if (!picture) return;
  if (canvas.width !== picture.width || canvas.height !== picture.height)
    Object.assign(canvas, { width: picture.width, height: picture.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  if (box && !held) pen.drawImage(after, box[0], box[1]);
  if (split && before && !held) {
    const [left, , right] = seen?.box ?? [0, 0, told?.width ?? 1];
    const share = ((divided / 100) * (told?.width ?? 1) - left) / (right - left);
    const across = Math.round(canvas.width * Math.min(1, share));
    if (across > 0) pen.drawImage(before, 0, 0, across, canvas.height, 0, 0, across, canvas.height);
  }
}

function drawAll() {
  for (const view of views.values()) for (const layer of [view.whole, view.near]) if (layer) draw(layer, view);
  describe();
}

export function hold(on) {
  held = on;
  drawAll();
}

export function splitView(on) {
  split = on;
  for (const { frame } of views.values()) frame.classList.toggle("split", on);
  divide(divided);
}

export function divide(percent) {
  divided = percent;
  document.getElementById("pictures").style.setProperty("--divide", `${percent}%`);
  drawAll();
}

/** A small picture of the first model's canvas, or of the face in it, for the history. */
export function thumb() {
  const view = views.get(shown[0]);
  const layer = view?.near ?? view?.whole;
  const { before, after, box } = layer ?? nothing;
  if (!after || (box && !before)) return "";
  const small = Object.assign(document.createElement("canvas"), { width: 56, height: 56 });
  const pen = small.getContext("2d");
  pen.imageSmoothingQuality = "high";
  const face = box && !view.near ? view.face.map((each) => each * before.width / view.told.width) : [0, 0, layer.canvas.width, layer.canvas.height];
  const side = Math.min(face[2], face[3]);
  const [left, upper] = [face[0] + (face[2] - side) / 2, face[1] + (face[3] - side) / 2];
  pen.setTransform(56 / side, 0, 0, 56 / side, (-56 * left) / side, (-56 * upper) / side);
  pen.drawImage(box ? before : after, 0, 0);
  if (box) pen.drawImage(after, box[0], box[1]);
  return small.toDataURL("image/jpeg", 0.8);
}
