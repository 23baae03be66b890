// A folder of the user's: find the pictures most like a face, or put the sliders on all of them.

import { t } from "./words.js";
import { ask, bytesOf, download } from "./wire.js";
import { models, resolved, state, wished } from "./state.js";
import { able, by, chips, doer, e, furnish, slot, whenShown } from "./parts.js";
import { zip } from "./zip.js";

const LARGE = 1024; // pixels: larger pictures are made smaller before they are sent
const MOST = 4000;

/** Make a large picture smaller; what is small goes as it is. */
async function slim(file) {
  if (file.size < 400000) return file;
  const picture = await createImageBitmap(file);
  const scale = LARGE / Math.max(picture.width, picture.height);
  if (scale >= 1) return file;
  const canvas = new OffscreenCanvas(Math.round(picture.width * scale), Math.round(picture.height * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}

export function buildFolder(home, { say }) {
  const model = able("encode");
  const input = e("input", { type: "file", multiple: true, className: "unseen", tabIndex: -1, data: { label: "chooseFolder" } });
  input.webkitdirectory = true;
  const choose = e("button", { className: "strong", data: { word: "chooseFolder" } });
  choose.addEventListener("click", () => input.click());
  const told = e("p", { className: "note", role: "status" });
  const results = e("div", { className: "thumbs" });
  let files = [];

  input.addEventListener("change", async () => {
    const chosen = [...input.files].filter((file) => file.type.startsWith("image/"));
    chosen.sort((one, other) => one.webkitRelativePath.localeCompare(other.webkitRelativePath));
    chosen.splice(MOST);
    files = [];
    find.disabled = batch.disabled = true;
    for (const [place, file] of chosen.entries()) {
      try {
        files.push({ file, photo: (await ask("open", await slim(file))).photo });
      } catch (error) {
        say(`${file.name}: ${error.message}`, true);
      }
      told.textContent = t("read", place + 1, chosen.length);
    }
    find.disabled = batch.disabled = !files.length;
  });

  let face = null;
  const wanted = chips(model);
  const find = doer("findThem", say, async () => {
    if (!face.source) throw new Error(t("nothingOpen", model.name));
    const answer = await ask("retrieve", {
      model: model.name, source: await resolved(face.source, model), among: files.map((each) => each.photo), wanted: wanted.held,
      count: Math.min(12, files.length),
    });
    const byName = new Map(files.map((each) => [each.photo, each.file]));
    results.replaceChildren(
      ...answer.found.map(({ photo }, place) => {
        const file = byName.get(photo);
        const image = e("img", { alt: file.name });
        image.src = URL.createObjectURL(file);
        return e("figure", {}, image, e("figcaption", {}, `${place + 1}. ${file.name}`));
      }),
    );
  }, "strong");
  const batch = doer("batchIt", say, async () => {
    const words = wished(models[0]);
    if (!Object.keys(words.changes).length) throw new Error(t("nothingMoved"));
    const edited = [];
    for (const [place, { file, photo }] of files.entries()) {
      const answer = await ask("edit", { ...words, source: { photo } });
      const name = `${String(place + 1).padStart(4, "0")}-${file.name.replace(/\.\w+$/, "")}${answer.suffix}`;
      edited.push({ name, bytes: bytesOf(answer.picture) });
      say(t("done", place + 1, files.length));
    }
    download(zip(edited), "edited.zip");
    return t("done", edited.length, files.length);
  });
  find.disabled = batch.disabled = true;

  whenShown(home, () => {
    face = slot("face_", "encode", say);
    furnish(
      home,
      e("p", { className: "note", data: { word: "folderHelp" } }),
      e("div", { className: "bar" }, choose, input),
      told,
      e("h2", { data: { word: "findHelp" } }),
      e("div", { className: "slots" }, face.box, e("div", {}, e("p", { className: "note", data: { word: "wanted" } }), wanted.box)),
      e("div", { className: "bar" }, find),
      by(model),
      results,
      e("h2", { data: { word: "batchHelp" } }),
      e("div", { className: "bar" }, batch),
    );
  });
}
