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
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    canvas.setAttribute("role", "img");
    const caption = document.createElement("figcaption");
    frame.append(canvas);
    figure.append(frame, caption);
    home.append(figure);
    views.set(name, { figure, frame, canvas, caption, before: null, after: null });
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
  for (const [name, { canvas, caption }] of views) {
    const words = t("edited", name);
    canvas.setAttribute("aria-label", moved.length ? `${words}: ${moved.join(", ")}` : words);
    caption.textContent = held ? t("beforeWord") : shown.length > 1 || models.length > 1 ? name : "";
  }
}

/** The newest picture of a model. */
export function showAfter(name, picture) {
  const view = views.get(name);
  if (!view) return;
  if (view.after !== picture) view.after?.close?.();
  view.after = picture;
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

function draw({ canvas, before, after }) {
  const picture = held && before ? before : after ?? before;
  if (!picture) return;
  if (canvas.width !== picture.width) Object.assign(canvas, { width: picture.width, height: picture.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
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
