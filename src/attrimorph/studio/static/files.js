// Pictures in and out: opened, dropped, pasted, taken, saved.

import { t } from "./words.js";
import { download, png } from "./wire.js";
import { askOf, openPhoto, state, wished } from "./state.js";
import { begin, modelOf } from "./editing.js";
import { shown } from "./view.js";
import { go } from "./tabs.js";
import { shoot } from "./camera.js";
import { say } from "./said.js";

const $ = (id) => document.getElementById(id);

async function openFile(file) {
  if (!file) return;
  say(t("working"));
  try {
    const source = await openPhoto(file);
    go("edit");
    await begin(source, t("photograph"));
    say(t("opened"));
  } catch (error) {
    say(error.message, true);
  }
}

async function save() {
  say(t("working"));
  try {
    const told = await askOf("edit", state.source, wished(modelOf(shown[0])));
    const name = `face-${new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-")}.png`;
    download(png(told.picture), name);
    say(t("saved", name));
  } catch (error) {
    say(error.message, true);
  }
}

/** Listen to the buttons, to what is dropped and to what is pasted. */
export function listenToFiles() {
  $("open").addEventListener("click", () => $("file").click());
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
