// One face in front of another picture's background, for models that paint in layers.

import { t } from "./words.js";
import { ask, download, pictureName, png } from "./wire.js";
import { openPhoto, resolved } from "./state.js";
import { able, by, doer, e, furnish, showPng, slot, whenShown } from "./parts.js";

export function buildBackdrop(home, { begin, go, say }) {
  const model = able("layers");
  whenShown(home, () => {
    const front = slot("face_", "layers", say);
    const behind = slot("behind", "layers", say, { sampled: true });
    const image = e("img", { alt: "", hidden: true });
    let result = null;
    const keep = doer("keep", say, async () => {
      const source = await openPhoto(png(result));
      go("edit");
      await begin(source, t("result"));
    });
    const save = doer("save", say, async () => {
      const name = pictureName("background", model);
      download(png(result), name);
      return t("saved", name);
    });
    keep.disabled = save.disabled = true;
    const compose = doer("compose", say, async () => {
      if (!front.source || !behind.source) throw new Error(t("nothingOpen", model.name));
      const told = await ask("layers", {
        model: model.name, source: await resolved(front.source, model), background: await resolved(behind.source, model),
      });
      result = told.picture;
      showPng(image, result);
      image.alt = t("result");
      image.hidden = keep.disabled = save.disabled = false;
    }, "strong");
    furnish(
      home,
      e("div", { className: "beside" },
        e("div", { className: "room" },
          e("div", { className: "slots" }, front.box, behind.box),
          e("div", { className: "bar" }, compose, keep, save), by(model)),
        e("figure", { className: "result" }, image, e("figcaption", { data: { word: "result" } }))),
    );
  });
}
