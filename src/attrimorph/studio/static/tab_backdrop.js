// One face in front of another picture's background, for models that paint in layers.

import { t } from "./words.js";
import { ask, png } from "./wire.js";
import { openPhoto, resolved } from "./state.js";
import { able, doer, e, furnish, showPng, slot, whenShown } from "./parts.js";

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
    keep.disabled = true;
    const compose = doer("compose", say, async () => {
      const told = await ask("layers", {
        model: model.name, source: await resolved(front.source), background: await resolved(behind.source),
      });
      result = told.picture;
      showPng(image, result);
      image.alt = t("result");
      image.hidden = keep.disabled = false;
    }, "strong");
    furnish(
      home,
      e("div", { className: "beside" },
        e("div", { className: "room" },
          e("div", { className: "slots" }, front.box, behind.box),
          e("div", { className: "bar" }, compose, keep)),
        e("figure", { className: "result" }, image, e("figcaption", { data: { word: "result" } }))),
    );
  });
}
