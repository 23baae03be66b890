// Teach a new slider: faces that have something, faces that have it not.

import { t } from "./words.js";
import { ask } from "./wire.js";
import { learnTaught } from "./state.js";
import { able, by, doer, e, furnish, showPng, whenShown } from "./parts.js";

const COUNT = 40;
const LEAST = 4; // faces of each kind

export function buildTeach(home, { go, bringForward, say }) {
  const model = able("teach");
  const thumbs = e("div", { className: "thumbs" });
  const count = e("p", { className: "note" });
  const name = e("input", { type: "text", maxLength: 40, id: "teach-name", autocomplete: "off" });
  const marks = new Map();
  let next = 100000;

  const show = () => {
    const values = [...marks.values()];
    const having = values.filter((mark) => mark === "with").length;
    count.textContent = t("marked", having, values.length - having);
  };
  const face = (seed, text) => {
    const image = e("img", { alt: "" });
    showPng(image, text);
    const words = e("span", { className: "mark" });
    const button = e("button", {}, image, words);
    const label = () => {
      const mark = marks.get(seed);
      button.dataset.mark = mark ?? "";
      words.textContent = mark ? t(mark) : "";
      button.setAttribute("aria-label", `${t("face", seed)}${mark ? `: ${t(mark)}` : ""}`);
    };
    button.addEventListener("click", () => {
      const mark = { undefined: "with", with: "without", without: undefined }[marks.get(seed)];
      if (mark) marks.set(seed, mark);
      else marks.delete(seed);
      label();
      show();
    });
    document.addEventListener("language", label);
    label();
    return button;
  };
  const more = doer("moreFaces", say, async () => {
    const told = await ask("sample", { model: model.name, count: COUNT, seed: next });
    thumbs.append(...told.pictures.map((text, number) => face(next + number, text)));
    next += COUNT;
  });
  const teach = doer("teachIt", say, async () => {
    const chosen = (mark) => [...marks].filter(([, each]) => each === mark).map(([seed]) => ({ seed }));
    const [having, lacking] = [chosen("with"), chosen("without")];
    if (!name.value.trim()) throw new Error(t("teachNoName"));
    if (Math.min(having.length, lacking.length) < LEAST) throw new Error(t("teachFew", having.length, lacking.length));
    const told = await ask("teach", { model: model.name, name: name.value, with: having, without: lacking });
    await learnTaught();
    marks.clear();
    name.value = "";
    for (const button of thumbs.children) {
      button.dataset.mark = "";
      button.querySelector(".mark").textContent = "";
    }
    show();
    go("edit");
    bringForward(model.name);
    return told.sentence;
  }, "strong");
  furnish(
    home,
    e("p", { className: "note", data: { word: "teachHelp" } }),
    e("div", { className: "bar" }, e("label", { htmlFor: "teach-name", data: { word: "teachName" } }), name, teach, more),
    by(model),
    count,
    thumbs,
  );
  document.addEventListener("language", show);
  whenShown(home, () => {
    show();
    more.click();
  });
}
