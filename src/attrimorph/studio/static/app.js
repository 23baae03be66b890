// The page: what is done first, and what the buttons around the picture do.

import { t } from "./words.js";
import { ask } from "./wire.js";
import { learnTaught, modelOf, models, newFace, openedAs, resolved, sampler, state } from "./state.js";
import { search, showState } from "./panel.js";
import { buildViews, divide, hold, shown, splitView } from "./view.js";
import { listenToZoom } from "./zoom.js";
import { begin, buildSliders, changed, connect, meet, near, showStage, visit } from "./editing.js";
import { readHistory, redo, remember, undo } from "./tree.js";
import { bringForward, buildModels, fit, listenToChoices, recallChoices, retranslate, tellLabels } from "./choices.js";
import { listenToFiles, openFile } from "./files.js";
import { buildTabs, go } from "./tabs.js";
import { say } from "./said.js";

const $ = (id) => document.getElementById(id);

function listen(example) {
  $("sample").hidden = !sampler();
  $("sample").addEventListener("click", () => {
    const by = sampler(...shown.map(modelOf));
    if (example && by.drawn) fit(by.name);
    begin(newFace(by), t("sampleFace"));
  });
  $("undo").addEventListener("click", () => visit(undo()));
  $("redo").addEventListener("click", () => visit(redo()));
  $("search").addEventListener("input", search);
  $("reset").addEventListener("click", () => {
    state.changes = {};
    showState();
    changed();
    remember(t("resetAll"));
  });
  $("panel").addEventListener("submit", (event) => event.preventDefault());
  const before = $("before");
  for (const kind of ["pointerdown", "keydown"])
    before.addEventListener(kind, (event) => (event.key ?? " ") === " " && hold(true));
  for (const kind of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"])
    before.addEventListener(kind, () => hold(false));
  for (const kind of ["keydown", "keyup"])
    document.addEventListener(kind, (event) => {
      const typing = event.target.matches?.("input[type=search], input[type=text]");
      if (event.key.toLowerCase() === "o" && !event.ctrlKey && !event.metaKey && !typing) hold(kind === "keydown");
    });
  listenToZoom(near);
  $("split").addEventListener("change", () => {
    $("divide").hidden = !$("split").checked;
    splitView($("split").checked);
  });
  $("divide").addEventListener("input", () => divide($("divide").valueAsNumber));
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    if (event.target.matches?.("input[type=search], input[type=text]")) return;
    event.preventDefault();
    visit(event.shiftKey ? redo() : undo());
  });
}

async function main() {
  recallChoices();
  models.push(...(await ask("models")).filter((each) => each.can.edit || each.can.sample));
  shown.push(models[0].name);
  const { trains, labels, signs, films, example } = await ask("studio");
  tellLabels({ labels, signs });
  buildTabs({ begin, go, bringForward, say, trains, films });
  retranslate();
  buildModels();
  buildViews();
  await learnTaught();
  buildSliders();
  showStage();
  listen(example);
  listenToFiles();
  listenToChoices();
  const last = await readHistory(visit);
  connect();
  const usable = last?.state.source && (await resolved(last.state.source, models[0]).then(() => true, () => false));
  if (usable) fit(openedAs(last.state.source, models[0])?.fits), visit(last);
  else if (example && !models[0].drawn) {
    const woman = await (await fetch("/example.jpg")).blob();
    await openFile(new File([woman], "woman.jpg"), t("example"));
  } else if (sampler()) await begin(newFace(sampler(models[0]), 12), t("sampleFace"));
  if (usable) await meet();
  document.documentElement.dataset.ready = "yes";
}

main().catch((error) => say(error.message, true));
