// Paint over a part of the picture; the model makes it anew.

import { t } from "./words.js";
import { download, pictureName, png } from "./wire.js";
import { askOf, openPhoto } from "./state.js";
import { able, by, doer, e, furnish, showPng, slot, whenShown } from "./parts.js";

export function buildFill(home, { begin, go, say }) {
  const model = able("encode");
  const side = model.image_size;
  const below = e("canvas", { width: side, height: side });
  const above = e("canvas", { width: side, height: side, className: "mask", tabIndex: 0, data: { label: "canvas" } });
  above.setAttribute("role", "application");
  const size = e("input", { type: "range", min: 1, max: Math.round(side / 4), value: Math.round(side / 12), data: { label: "brush" } });
  const pen = above.getContext("2d");
  let at = { x: side / 2, y: side / 2 };
  let painted = false;
  let result = null;

  const dab = (from, to) => {
    pen.strokeStyle = pen.fillStyle = "#ff2d55";
    pen.lineCap = "round";
    pen.lineWidth = 2 * size.valueAsNumber;
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x + 0.01, to.y);
    pen.stroke();
    painted = true;
  };
  const place = (event) => {
    const box = above.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * side) / box.width, y: ((event.clientY - box.top) * side) / box.height };
  };
  above.addEventListener("pointerdown", (event) => {
    above.setPointerCapture(event.pointerId);
    at = place(event);
    dab(at, at);
  });
  above.addEventListener("pointermove", (event) => {
    if (!above.hasPointerCapture(event.pointerId)) return;
    const next = place(event);
    dab(at, next);
    at = next;
  });
  above.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    const before = at;
    if (step) {
      const far = Math.max(1, Math.round(side / 32));
      at = { x: Math.max(0, Math.min(side, at.x + far * step[0])), y: Math.max(0, Math.min(side, at.y + far * step[1])) };
      say(`${Math.round((100 * at.x) / side)} %, ${Math.round((100 * at.y) / side)} %`);
    }
    if (event.key === " " || event.shiftKey) dab(before, at);
  });

  const clear = e("button", { data: { word: "clear" } });
  clear.addEventListener("click", () => {
    pen.clearRect(0, 0, side, side);
    painted = false;
  });

  /** What is painted as a mask: white where the hole is. */
  const mask = () => {
    const copy = e("canvas", { width: side, height: side });
    const brush = copy.getContext("2d");
    brush.drawImage(above, 0, 0);
    brush.globalCompositeOperation = "source-in";
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, side, side);
    brush.globalCompositeOperation = "destination-over";
    brush.fillStyle = "#000";
    brush.fillRect(0, 0, side, side);
    return copy.toDataURL("image/png");
  };

  whenShown(home, () => {
    const picture = slot("face_", "encode", say);
    picture.onChange = async (told) => {
      below.getContext("2d").drawImage(await createImageBitmap(png(told.input ?? told.picture)), 0, 0, side, side);
      clear.click();
    };
    const image = e("img", { alt: "", hidden: true });
    const keep = doer("keep", say, async () => {
      const source = await openPhoto(png(result));
      go("edit");
      await begin(source, t("result"));
    });
    const save = doer("save", say, async () => {
      const name = pictureName("fill", model);
      download(png(result), name);
      return t("saved", name);
    });
    keep.disabled = save.disabled = true;
    const fill = doer("fillIt", say, async () => {
      if (!picture.source) throw new Error(t("nothingOpen", model.name));
      if (!painted) throw new Error(t("brushHelp"));
      result = (await askOf("inpaint", picture.source, { model: model.name, mask: mask() })).picture;
      showPng(image, result);
      image.alt = t("result");
      image.hidden = keep.disabled = save.disabled = false;
    }, "strong");
    furnish(
      home,
      e("p", { className: "note", data: { word: "brushHelp" } }),
      e("div", { className: "slots" },
        e("div", {}, e("div", { className: "paint" }, below, above), e("label", {}, e("span", { data: { word: "brush" } }), size)),
        e("figure", { className: "result" }, image, e("figcaption", { data: { word: "result" } }))),
      e("div", { className: "bar" }, fill, clear, keep, save),
      by(model),
      picture.box,
    );
  });
}
