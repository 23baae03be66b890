// Parts that several tabs are made of. Words are named, not written: `translate` puts them in.

import { plain, t, translate } from "./words.js";
import { png } from "./wire.js";
import { askOf, models, newFace, openPhoto, sampler, state } from "./state.js";

/** Make an element: e("button", {className: "strong", data: {word: "open"}}, child, ...). */
export function e(tag, fields = {}, ...children) {
  const { data = {}, ...rest } = fields;
  const element = Object.assign(document.createElement(tag), tag === "button" ? { type: "button" } : {}, rest);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

/** A button that does something slow: disabled meanwhile, errors told. */
export function doer(word, say, work, className = "") {
  const button = e("button", { className, data: { word } });
  button.addEventListener("click", async () => {
    button.disabled = true;
    say(t("working"));
    try {
      const words = await work();
      say(words ?? "");
    } catch (error) {
      say(error.message, true);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/** The model that a tab works with: the first one that can. */
export function able(ability) {
  return models.find((model) => model.can[ability]);
}

/** A note that names the model that a tab works with, where there are several. */
export function by(model) {
  const note = e("p", { className: "note", hidden: models.length < 2 });
  const show = () => { note.textContent = t("by", model.name); };
  document.addEventListener("language", show);
  show();
  return note;
}

/** Show a PNG of the API in an image. */
export function showPng(image, text) {
  const address = URL.createObjectURL(png(text));
  image.onload = () => URL.revokeObjectURL(address);
  image.src = address;
}

/** A place for one picture: the edited one, a file, or a sample. `slot.source` is what it holds. */
export function slot(word, ability, say, { sampled = false } = {}) {
  const image = e("img", { alt: "", width: 64, height: 64 });
  const file = e("input", { type: "file", accept: "image/*", className: "unseen", tabIndex: -1, data: { label: word } });
  const box = e("fieldset", { className: "slot" }, e("legend", { data: { word } }), image);
  const found = { box, source: null, onChange: () => {} };
  found.take = async (source) => {
    found.source = source;
    const told = await askOf("reconstruct", source, { model: able(ability).name });
    if (found.source !== source) return;
    showPng(image, told.input ?? told.picture);
    image.alt = t(word);
    found.onChange(told);
  };
  const taking = (source) =>
    source ? found.take(source).catch((error) => say(error.message, true)) : say(t("nothingOpen", able(ability).name), true);
  const current = e("button", { data: { word: "current" } });
  current.addEventListener("click", () => taking(state.source));
  const choose = e("button", { data: { word: "choose" } });
  choose.addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    if (!file.files[0]) return;
    try {
      await found.take(await openPhoto(file.files[0]));
    } catch (error) {
      say(error.message, true);
    }
    file.value = "";
  });
  const buttons = e("div", { className: "bar" }, current, choose, file);
  const drawing = sampler(able(ability));
  if (drawing) {
    const sample = e("button", { data: { word: "another" } });
    sample.addEventListener("click", () => taking(newFace(drawing)));
    buttons.append(sample);
  }
  box.append(buttons);
  if (sampled && drawing) taking(newFace(drawing, 10));
  else if (state.source) taking(state.source);
  return found;
}

/** Attributes to hold: a click goes from any to with to without. `chips.held` is {name: 1 or -1}. */
export function chips(model) {
  const home = e("div", { className: "chips" });
  const found = { box: home, held: {} };
  const build = () =>
    home.replaceChildren(
      ...model.sliders
        .filter((slider) => slider.kind !== "real")
        .map(({ name }) => {
          const chip = e("button");
          const show = () => {
            const held = found.held[name];
            chip.dataset.held = held ?? "0";
            chip.textContent = held ? `${t(held > 0 ? "with" : "without")}: ${plain(name)}` : plain(name);
            chip.setAttribute("aria-label", `${plain(name)}: ${t(held ? (held > 0 ? "with" : "without") : "any")}`);
          };
          chip.addEventListener("click", () => {
            const next = { undefined: 1, 1: -1, "-1": undefined }[found.held[name]];
            if (next) found.held[name] = next;
            else delete found.held[name];
            show();
          });
          show();
          return chip;
        }),
    );
  build();
  document.addEventListener("language", build);
  return found;
}

/** Put a room into its tab, in the language that is spoken. */
export function furnish(home, ...children) {
  home.replaceChildren(e("div", { className: "room" }, ...children));
  translate(home);
}

/** Call something the first time that a tab is shown. */
export function whenShown(home, work) {
  new MutationObserver((_, watcher) => {
    if (home.hidden) return;
    watcher.disconnect();
    work();
  }).observe(home, { attributes: true, attributeFilter: ["hidden"] });
}
