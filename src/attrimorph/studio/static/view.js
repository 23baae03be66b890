// The pictures: one canvas for each model, the picture before beside it, split or held.

import { plain, t } from "./words.js";
import { amount, models, state } from "./state.js";

/** Names of the models that are shown. */
export const shown = [];
const views = new Map();
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
    canvas.addEventListener("pointerdown", (event) => event.isPrimary && isWhole() && hold(true));
    for (const kind of ["pointerup", "pointerleave", "pointercancel"])
      canvas.addEventListener(kind, () => held && hold(false));
    pane.append(canvas);
    frame.append(pane);
    figure.append(frame, caption);
    home.append(figure);
    views.set(name, { figure, frame, pane, canvas, caption, before: null, after: null, box: null });
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
  for (const [name, { canvas, caption }] of views) {
    const words = t("edited", name);
    canvas.setAttribute("aria-label", moved.length ? `${words}: ${moved.join(", ")}` : words);
    caption.textContent = held ? t("beforeWord") : shown.length > 1 || models.length > 1 ? name : "";
  }
}

/** Whether the first model is shown a face of a whole photograph. */
export const isWhole = () => views.get(shown[0])?.figure.classList.contains("whole") ?? false;

/** Another picture comes: what is there belongs to the old one. */
export function forgetPictures() {
  for (const view of views.values()) Object.assign(view, { before: null, after: null, box: null });
}

/** The newest picture of a model, and where in a whole photograph it lies, or null. */
export function showAfter(name, picture, box) {
  const view = views.get(name);
  if (!view) return;
  if (view.after !== picture) view.after?.close?.();
  Object.assign(view, { after: picture, box });
  draw(view);
}

/** What it looked like before any edit; `input` is the photograph as the model is shown it, or null. */
export async function showBefore(name, before, input) {
  const view = views.get(name);
  if (!view) return;
  view.before = await createImageBitmap(before);
  view.frame.querySelector(".input")?.remove();
  if (input) {
    const image = Object.assign(new Image(), { className: "input", alt: t("yours"), title: t("yours") });
    image.src = URL.createObjectURL(input);
    image.onload = () => URL.revokeObjectURL(image.src);
    view.frame.append(image);
  }
  draw(view);
}

/** Show the frames of a photograph's faces, `frame` the edited one, `choose(number)` another; none where `frame` is null. */
export function showFrames(name, frame, told, choose) {
  const view = views.get(name);
  if (!view) return;
  view.pane.querySelector("svg")?.remove();
  view.figure.classList.toggle("whole", Boolean(frame));
  if (!frame) return;
  view.figure.style.setProperty("--ratio", told.width / told.height);
  view.figure.dataset.width = told.width;
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", `0 0 ${told.width} ${told.height}`);
  const isIt = (corners) => corners.every((corner, place) => Math.hypot(corner[0] - frame[place][0], corner[1] - frame[place][1]) < 1);
  const add = (corners, number) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    shape.setAttribute("points", corners.map((corner) => corner.join()).join(" "));
    drawing.append(shape);
    if (!number) return;
    const words = t("face", number);
    for (const [key, value] of Object.entries({ role: "button", tabindex: 0, "aria-label": words })) shape.setAttribute(key, value);
    shape.setAttribute("aria-pressed", String(isIt(corners)));
    const take = () => !isIt(corners) && choose(number);
    shape.addEventListener("click", take);
    shape.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), take()));
  };
  told.faces.forEach((corners, place) => add(corners, place + 1));
  if (!told.faces.some(isIt)) add(frame);
  view.pane.append(drawing);
}

function draw({ canvas, before, after, box }) {
  // Of a whole photograph only what lies about the frame comes anew.
  const picture = box || (held && before) ? before : after ?? before;
  if (!picture) return;
  if (canvas.width !== picture.width || canvas.height !== picture.height)
    Object.assign(canvas, { width: picture.width, height: picture.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  if (box && !held) pen.drawImage(after, box[0], box[1]);
  if (split && before && !held) {
    const across = Math.round((canvas.width * divided) / 100);
    if (across > 0) pen.drawImage(before, 0, 0, across, canvas.height, 0, 0, across, canvas.height);
  }
}

function drawAll() {
  for (const view of views.values()) draw(view);
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

/** A small picture of the first model's canvas, for the history. */
export function thumb() {
  const view = views.get(shown[0]);
  if (!view?.after) return "";
  const small = Object.assign(document.createElement("canvas"), { width: 56, height: 56 });
  const pen = small.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(view.after, 0, 0, 56, 56);
  return small.toDataURL("image/jpeg", 0.8);
}
