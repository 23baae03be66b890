// The sliders: grouped, in plain words, each with its lock.

import { grouped, plain, t } from "./words.js";
import { amount, models, state, taught } from "./state.js";

const rows = new Map();
let changed = () => {};
let committed = () => {};

/** Build the panel; `onChange` is called while a slider moves, `onCommit(name)` when it is let go. */
export function buildPanel(onChange, onCommit) {
  changed = onChange;
  committed = onCommit;
  const model = models[0];
  const home = document.getElementById("groups");
  home.replaceChildren();
  rows.clear();
  const sliders = new Map(model.sliders.map((slider) => [slider.name, slider]));
  const mine = taught.filter((axis) => axis.model === model.name);
  for (const axis of mine) sliders.set(axis.name, { name: axis.name, kind: "binary", least: -1, most: 1, step: 0.01 });
  const groups = grouped(model.sliders);
  if (mine.length) groups.unshift({ id: "taught", title: t("taught"), names: mine.map((axis) => axis.name) });
  for (const group of groups) {
    const box = document.createElement("fieldset");
    box.className = "group";
    const legend = document.createElement("legend");
    legend.textContent = group.title;
    box.append(legend, ...group.names.map((name) => row(sliders.get(name), model.locks.includes(name))));
    home.append(box);
  }
  const note = !sliders.size ? "noSliders" : !model.locks.length ? "noLocks" : null;
  if (note) home.append(Object.assign(document.createElement("p"), { className: "note", textContent: t(note, model.name) }));
  for (const id of ["search", "reset"]) document.getElementById(id).hidden = !sliders.size;
  showState();
  search();
}

function row(slider, lockable) {
  const { name } = slider;
  const line = document.createElement("div");
  line.className = "row";
  line.dataset.name = name;
  const label = document.createElement("label");
  label.textContent = label.title = plain(name);
  if (label.title !== name) label.title += ` (${name})`;
  if (slider.kind === "real") label.title += `. ${t("spread")}`;
  label.htmlFor = `slider ${name}`;
  const output = document.createElement("output");
  const input = Object.assign(document.createElement("input"), {
    type: "range", min: slider.least, max: slider.most, step: slider.step, value: 0, id: `slider ${name}`,
  });
  const set = (value, done) => {
    state.changes[name] = Math.max(slider.least, Math.min(slider.most, Math.round(value * 100) / 100));
    if (!state.changes[name]) delete state.changes[name];
    showRow(name);
    changed();
    if (done) committed(name);
  };
  input.addEventListener("input", () => set(input.valueAsNumber, false));
  input.addEventListener("change", () => committed(name));
  for (const part of [input, label, output]) part.addEventListener("dblclick", () => set(0, true));
  const step = slider.step === 1 ? 1 : (slider.most - slider.least) / 20;
  const nudge = (word, sign, way) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "nudge" });
    button.textContent = sign;
    button.setAttribute("aria-label", t(word, plain(name)));
    button.addEventListener("click", () => set((state.changes[name] ?? 0) + way * step, true));
    return button;
  };
  line.append(label, output, nudge("less", "−", -1), input, nudge("more", "+", 1));
  if (lockable) line.append(lockButton(name));
  rows.set(name, { line, input, output, slider });
  return line;
}

function lockButton(name) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "lock" });
  button.setAttribute("aria-label", t("lock", plain(name)));
  button.title = t("lockHelp", plain(name));
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => toggleLock(name));
  return button;
}

export function toggleLock(name) {
  const locked = state.locks.includes(name);
  state.locks = locked ? state.locks.filter((each) => each !== name) : [...state.locks, name];
  showRow(name);
  changed();
  committed(name);
}

function showRow(name) {
  const found = rows.get(name);
  if (!found) return;
  const { line, input, output, slider } = found;
  const value = state.changes[name] ?? 0;
  if (input.valueAsNumber !== value) input.value = value;
  input.style.setProperty("--at", `${(100 * (value - slider.least)) / (slider.most - slider.least)}%`);
  output.textContent = amount(name, value);
  input.setAttribute("aria-valuetext", output.textContent);
  line.classList.toggle("moved", Boolean(value));
  line.querySelector(".lock")?.setAttribute("aria-pressed", String(state.locks.includes(name)));
}

/** Show the state in all rows. */
export function showState() {
  for (const name of rows.keys()) showRow(name);
}

/** Mark the side of each slider to which the face cannot go because it is so already. */
export function showAttributes(attributes) {
  for (const [name, { line, input, slider }] of rows) {
    const value = slider.kind === "real" ? undefined : attributes[name];
    const side = value === undefined ? "" : value >= 0.99 ? "more" : value <= 0.01 ? "less" : "";
    line.dataset.already = side;
    input.title = side ? t("already") : "";
  }
}

/** Mark the attributes that an edit drags along. */
export function showBesides(besides) {
  for (const [name, { line }] of rows) line.classList.toggle("dragged", name in besides);
}

/** Leave only what the search names. */
export function search() {
  const words = document.getElementById("search").value.trim().toLowerCase();
  for (const box of document.querySelectorAll("#groups .group")) {
    let some = false;
    const all = box.querySelector("legend").textContent.toLowerCase().includes(words);
    for (const line of box.querySelectorAll(".row")) {
      const name = line.dataset.name;
      line.hidden = !(all || plain(name).toLowerCase().includes(words) || name.toLowerCase().includes(words));
      some ||= !line.hidden;
    }
    box.hidden = !some;
  }
}
