// Random faces, with attributes held; a click on one edits it.

import { t } from "./words.js";
import { ask } from "./wire.js";
import { shown } from "./view.js";
import { able, by, chips, doer, e, furnish, showPng, whenShown } from "./parts.js";

const COUNT = 24;

export function buildFaces(home, { begin, go, bringForward, say }) {
  const model = able("sample");
  const held = chips(model);
  const thumbs = e("div", { className: "thumbs" });
  const draw = async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const changes = { ...held.held };
    const told = await ask("sample", { model: model.name, count: COUNT, seed, changes });
    thumbs.replaceChildren(
      ...told.pictures.map((text, number) => {
        const image = e("img", { alt: t("face", number + 1) });
        showPng(image, text);
        const button = e("button", {}, image);
        button.addEventListener("click", () => {
          if (shown[0] !== model.name) bringForward(model.name);
          begin({ seed: seed + number, held: changes, of: model.name }, t("face", number + 1));
          go("edit");
        });
        return button;
      }),
    );
  };
  const again = doer("newFaces", say, draw, "strong");
  furnish(
    home,
    e("p", { className: "note", data: { word: "heldHelp" } }),
    held.box,
    e("div", { className: "bar" }, again),
    by(model),
    thumbs,
  );
  whenShown(home, () => again.click());
}
