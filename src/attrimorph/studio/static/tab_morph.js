// From one picture to another: scrub along the way, export it as an animation or a film.

import { t } from "./words.js";
import { ask, download, png } from "./wire.js";
import { resolved } from "./state.js";
import { able, by, doer, e, furnish, slot, whenShown } from "./parts.js";

const STEPS = 32;

export function buildMorph(home, { say, films }) {
  const model = able("encode");
  const canvas = e("canvas", { width: model.image_size, height: model.image_size });
  canvas.setAttribute("role", "img");
  const along = e("input", { type: "range", min: 0, max: STEPS - 1, value: 0, disabled: true, data: { label: "along" } });
  let frames = [];
  const show = () => {
    const place = along.valueAsNumber;
    if (frames[place]) canvas.getContext("2d").drawImage(frames[place], 0, 0);
    canvas.setAttribute("aria-label", `${t("along")}: ${Math.round((100 * place) / (STEPS - 1))} %`);
    along.setAttribute("aria-valuetext", `${Math.round((100 * place) / (STEPS - 1))} %`);
  };
  along.addEventListener("input", show);
  whenShown(home, () => {
    const first = slot("first", "encode", say);
    const second = slot("second", "encode", say, { sampled: true });
    const words = async (also = {}) => ({
      model: model.name, first: await resolved(first.source, model), second: await resolved(second.source, model),
      steps: STEPS, ...also,
    });
    const make = doer("makeMorph", say, async () => {
      if (!first.source || !second.source) throw new Error(t("nothingOpen", model.name));
      const told = await ask("morph", await words());
      frames = await Promise.all(told.pictures.map((text) => createImageBitmap(png(text))));
      for (const part of [along, ...exports]) part.disabled = false;
      show();
    }, "strong");
    const exporting = (word, kind, type) => doer(word, say, async () => {
      const told = await ask("morph", await words({ [kind]: true }));
      const bytes = Uint8Array.from(atob(told[kind]), (letter) => letter.charCodeAt(0));
      download(new Blob([bytes], { type }), `morph.${kind}`);
    });
    const exports = [exporting("exportGif", "gif", "image/gif")];
    if (films) exports.push(exporting("exportMp4", "mp4", "video/mp4"));
    for (const button of exports) button.disabled = true;
    const stale = () => {
      frames = [];
      for (const part of [along, ...exports]) part.disabled = true;
    };
    first.onChange = second.onChange = stale;
    furnish(
      home,
      e("div", { className: "beside" },
        e("div", { className: "room" },
          e("div", { className: "slots" }, first.box, second.box),
          e("div", { className: "bar" }, make, ...exports),
          by(model)),
        e("div", { className: "result" }, canvas, along)),
    );
    show();
  });
}
