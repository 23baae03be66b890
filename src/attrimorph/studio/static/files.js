// Pictures in and out: opened, dropped, pasted, taken, saved.

import { t } from "./words.js";
import { bytesOf, download, pictureName } from "./wire.js";
import { askOf, fileName, modelOf, openedAs, openPhoto, state, wished } from "./state.js";
import { fit } from "./choices.js";
import { begin } from "./editing.js";
import { isWhole, shown } from "./view.js";
import { go } from "./tabs.js";
import { shoot } from "./camera.js";
import { say } from "./said.js";

const $ = (id) => document.getElementById(id);

/** Open a photograph, `words` in the history, with the model that fits it. */
export async function openFile(file, words = t("photograph")) {
  if (!file) return;
  say(t("working"));
  try {
    const source = await openPhoto(file);
    go("edit");
    const taken = fit(openedAs(source).fits);
    await begin(source, words);
    say(taken ? t("taken", taken) : t("opened"));
  } catch (error) {
    say(error.message, true);
  }
}

/** Save the picture of every shown model. */
async function save() {
  say(t("working"));
  const done = [];
  const told = () =>
    t(isWhole() ? "savedWhole" : "saved", done.length === 1 ? done[0].file : t("savedAll", done.length, done.map(({ by }) => by).join(", ")));
  try {
    for (const model of shown.map(modelOf)) {
      const { picture, suffix } = await askOf("edit", state.source, { ...wished(model), file: fileName(state.source) });
      const file = pictureName("face", model, suffix);
      download(new Blob([bytesOf(picture)]), file);
      done.push({ file, by: model.name });
    }
    say(told());
  } catch (error) {
    say(`${done.length ? told() : ""} ${error.message}`.trim(), true);
  }
}

/** Listen to the buttons, to what is dropped and to what is pasted. */
export function listenToFiles() {
  for (const id of ["open", "open-first"]) $(id).addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    openFile($("file").files[0]);
    $("file").value = "";
  });
  $("camera").hidden = !navigator.mediaDevices;
  $("camera").addEventListener("click", () => shoot(openFile));
  $("save").addEventListener("click", save);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const file = [...(event.dataTransfer?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (file) openFile(file);
    else say(t("noPicture"), true);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (file) openFile(file);
  });
}
