// The page: what is done first, and what every button of the Edit tab does.

import { LANGUAGES, plain, speak, spoken, t, translate } from "./words.js";
import { Live, ask, download, png } from "./wire.js";
import { History, get, put } from "./history.js";
import { askOf, forgetOpened, models, openPhoto, resolved, resolvedNow, state, wished } from "./state.js";
import { buildPanel, search, showAttributes, showBesides, showState, toggleLock } from "./panel.js";
import { buildViews, describe, divide, hold, showAfter, showBefore, shown, splitView, thumb } from "./view.js";
import { TABS, buildTabs } from "./tabs.js";

const $ = (id) => document.getElementById(id);
let history = new History();
let live = null;
let settling = 0;
let thumbFor = null;
let besidesShown = {};
let meeting = 0;
let saying = 0;
let labelled = "labelled"; // the word that says what saved pictures tell, or none

/** Tell the person something; errors too. */
export function say(words, bad = false) {
  $("said").textContent = words;
  $("said").classList.toggle("bad", bad);
  clearTimeout(saying);
  // Long enough to read it; what went wrong stays, and so does what goes on.
  if (!bad && words !== t("working")) saying = setTimeout(() => say(""), 4000 + 60 * words.length);
}

const model = (name) => models.find((each) => each.name === name);

/** Send the state of every shown picture: quickly while a slider moves, exactly once it rests. */
function show(format = "jpeg") {
  const source = resolvedNow(state.source);
  if (!source) {
    resolved(state.source).then(() => show(format)).catch((error) => say(error.message, true));
    return;
  }
  shown.forEach((name, stream) => {
    newest.set(stream, { number: live.send(stream, { ...wished(model(name)), source, format }), format });
  });
  clearTimeout(settling);
  if (format !== "png") settling = setTimeout(() => show("png"), 160);
  describe();
}

// For whoever watches the page: whether the exact picture of the present state is painted in all views.
const newest = new Map();
const painted = new Map();
window.studioAtRest = () =>
  !asked && !meeting && newest.size > 0 &&
  [...newest].every(([stream, { number, format }]) => format === "png" && painted.get(stream) === number);

// For the benchmark: what it times.
window.studioBench = () => ({ live });

let asked = false;
let late = false;
function changed() {
  // At once, but no more than once a frame of the screen, however often the slider says that it moved.
  late = asked;
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    if (late) changed();
  });
  show();
}

function commit(name) {
  const last = history.node?.state;
  if (last && same(last.changes, state.changes) && same(last.locks, state.locks)) return;
  const far = state.changes[name];
  const lockChanged = last && !same(last.locks, state.locks);
  let words = plain(name);
  if (lockChanged) words = t(state.locks.includes(name) ? "locked" : "unlocked", words);
  else words += far ? ` ${far > 0 ? "+" : "−"}${Math.round(Math.abs(far) * 100)} %` : " 0";
  // One slider nudged again and again is one step.
  const now = performance.now();
  const again = !lockChanged && nudged.name === name && nudged.node === history.current && now - nudged.at < TOGETHER;
  if (again && !history.children(history.current).length) {
    Object.assign(history.node, { state: structuredClone(state), words });
    thumbFor = history.current;
    showTree();
    keep();
  } else remember(words);
  nudged = { name: lockChanged ? null : name, node: history.current, at: now };
}

const TOGETHER = 1500; // milliseconds
let nudged = {};

const same = (one, other) => JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());

function remember(words) {
  history.add(state, words);
  thumbFor = history.current;
  showTree();
  keep();
}

let keeping = 0;
function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(() => put("history", history.toJSON()), 400);
}

function showTree() {
  const tree = $("tree");
  const placed = history.placed();
  const focused = document.activeElement?.closest?.("#tree") !== null && document.activeElement !== document.body;
  tree.replaceChildren(
    ...placed.map(({ node, column, row }, place) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "step" });
      button.style.gridColumn = column + 1;
      button.style.gridRow = row + 1;
      button.setAttribute("aria-label", t("step", place + 1, node.words));
      button.title = node.words;
      if (node.id === history.current) button.setAttribute("aria-current", "step");
      if (node.thumb) button.append(Object.assign(new Image(), { src: node.thumb, alt: "" }));
      button.addEventListener("click", () => visit(history.go(node.id)));
      return button;
    }),
  );
  const here = tree.querySelector("[aria-current]");
  if (here) {
    tree.scrollLeft = here.offsetLeft - tree.clientWidth / 2;
    if (focused) here.focus({ preventScroll: true });
  }
  $("undo").disabled = !history.node || history.node.parent === null;
  $("redo").disabled = !history.children(history.current).length;
}

function visit(node) {
  if (!node) return;
  const moved = JSON.stringify(node.state.source) !== JSON.stringify(state.source);
  thumbFor = null;
  Object.assign(state, structuredClone(node.state));
  showState();
  showTree();
  keep();
  if (moved) meet();
  show();
}

/** Begin with another picture. */
export async function begin(source, words) {
  Object.assign(state, { source, changes: {}, locks: state.locks });
  history.current = null;
  showState();
  remember(words);
  await meet();
  show();
}

/** Learn how the shown models see the picture. */
async function meet() {
  const source = state.source;
  meeting += 1;
  for (const name of [...shown]) {
    try {
      const told = await askOf("reconstruct", source, { model: name });
      if (JSON.stringify(source) !== JSON.stringify(state.source)) break;
      await showBefore(name, png(told.picture), told.input && png(told.input));
      if (name === shown[0]) showAttributes(told.attributes);
    } catch (error) {
      say(error.message, true);
    }
  }
  meeting -= 1;
}

function warn(besides) {
  if (same(besides, besidesShown)) return;
  besidesShown = besides;
  showBesides(besides);
  const home = $("warnings");
  home.replaceChildren();
  const strongest = Object.entries(besides).slice(0, 4);
  if (!strongest.length) return;
  home.append(Object.assign(document.createElement("span"), { textContent: t("besides") }));
  for (const [name, amount] of strongest) {
    const words = `${plain(name)} ${amount > 0 ? "+" : "−"}${Math.round(Math.abs(amount) * 100)} %`;
    const lockable = models[0].locks.includes(name) && !state.locks.includes(name);
    const part = document.createElement(lockable ? "button" : "span");
    part.textContent = words;
    part.className = "warning";
    if (lockable) {
      part.type = "button";
      part.setAttribute("aria-label", t("lockIt", plain(name), words));
      part.addEventListener("click", () => toggleLock(name));
    }
    home.append(part);
  }
}

function onFrame(stream, bitmap, besides, number) {
  showAfter(shown[stream], bitmap);
  window.studioFrames = (window.studioFrames ?? 0) + 1;
  painted.set(stream, number);
  if (stream) return;
  warn(besides);
  if (thumbFor !== null && history.nodes.has(thumbFor)) {
    history.nodes.get(thumbFor).thumb = thumb();
    const place = history.placed().findIndex(({ node }) => node.id === thumbFor);
    const button = $("tree").children[place];
    button?.replaceChildren(Object.assign(new Image(), { src: history.nodes.get(thumbFor).thumb, alt: "" }));
    if (!live.streams.get(0)?.under.length) thumbFor = null;
    keep();
  }
}

function onFault(told) {
  if (told.status === 410) {
    forgetOpened();
    show();
  } else say(told.error, true);
}

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
    const told = await askOf("edit", state.source, wished(model(shown[0])));
    const name = `face-${new Date().toISOString().slice(0, 19).replaceAll(/[:T]/g, "-")}.png`;
    download(png(told.picture), name);
    say(t("saved", name));
  } catch (error) {
    say(error.message, true);
  }
}

async function shoot() {
  const booth = $("photo-booth");
  const lens = $("lens");
  try {
    lens.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch {
    say(t("noCamera"), true);
    return;
  }
  await lens.play();
  booth.showModal();
  const stop = () => lens.srcObject?.getTracks().forEach((track) => track.stop());
  booth.onclose = stop;
  $("leave").onclick = () => booth.close();
  $("shoot").onclick = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: lens.videoWidth, height: lens.videoHeight });
    canvas.getContext("2d").drawImage(lens, 0, 0);
    canvas.toBlob((blob) => openFile(blob), "image/png");
    booth.close();
  };
}

function buildModels() {
  const box = $("models");
  box.hidden = models.length < 2;
  for (const each of models) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "checkbox", checked: shown.includes(each.name) });
    input.addEventListener("change", () => {
      if (input.checked) shown.push(each.name);
      else if (shown.length > 1) shown.splice(shown.indexOf(each.name), 1);
      else input.checked = true;
      const first = shown[0];
      models.sort((a, b) => (b.name === first) - (a.name === first));
      buildViews();
      buildPanel(changed, commit);
      meet();
      show();
    });
    label.append(input, ` ${each.name}`);
    box.append(label);
  }
}

/** Show a tab. */
export function go(name) {
  for (const tab of TABS) {
    const button = $(`for-${tab}`);
    if (!button) continue;
    button.setAttribute("aria-selected", String(tab === name));
    button.tabIndex = tab === name ? 0 : -1;
    $(`tab-${tab}`).hidden = tab !== name;
  }
}

/** Rebuild the sliders: something was taught. */
export function rebuild() {
  buildPanel(changed, commit);
  meet();
  show();
}

function retranslate() {
  translate();
  const other = LANGUAGES[1 - LANGUAGES.indexOf(spoken())];
  $("language").textContent = other === "zh" ? "中文" : "English";
  $("language").lang = other;
  const theme = document.documentElement.dataset.theme ?? "auto";
  $("theme").textContent = `${t("theme")}: ${t(theme)}`;
  $("about").textContent = [models[0]?.drawn ? t("drawn") : "", t("drop"), t("privacy"), labelled && t(labelled)].filter(Boolean).join(" ");
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

function listen() {
  $("open").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    openFile($("file").files[0]);
    $("file").value = "";
  });
  $("camera").hidden = !navigator.mediaDevices;
  $("camera").addEventListener("click", shoot);
  $("sample").addEventListener("click", () =>
    begin({ seed: Math.floor(Math.random() * 2 ** 31), held: {} }, t("sampleFace")));
  $("undo").addEventListener("click", () => visit(history.undo()));
  $("redo").addEventListener("click", () => visit(history.redo()));
  $("save").addEventListener("click", save);
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
  $("split").addEventListener("change", () => {
    $("divide").hidden = !$("split").checked;
    splitView($("split").checked);
  });
  $("divide").addEventListener("input", () => divide($("divide").valueAsNumber));
  $("language").addEventListener("click", () => {
    speak(LANGUAGES[1 - LANGUAGES.indexOf(spoken())]);
    localStorage.setItem("language", spoken());
    retranslate();
    buildPanel(changed, commit);
    besidesShown = {};
    document.dispatchEvent(new Event("language"));
    buildViews();
    meet();
    show("png");
  });
  $("theme").addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    setTheme(order[(order.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % 3]);
    retranslate();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    if (event.target.matches?.("input[type=search], input[type=text]")) return;
    event.preventDefault();
    visit(event.shiftKey ? history.redo() : history.undo());
  });
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

async function main() {
  speak(localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
  setTheme(localStorage.getItem("theme") ?? "auto");
  retranslate();
  models.push(...(await ask("models")).filter((each) => each.can.edit || each.can.sample));
  shown.push(models[0].name);
  const { trains, labels, signs, films } = await ask("studio");
  labelled = signs ? "signed" : labels && "labelled";
  buildTabs({ begin, go, rebuild, say, trains, films });
  retranslate();
  buildModels();
  buildViews();
  buildPanel(changed, commit);
  listen();
  history = History.from(await get("history"));
  live = new Live({
    onFrame,
    onFault,
    onOpen: () => {
      $("offline").hidden = true;
      show("png");
    },
    onClose: (code) => {
      $("offline").hidden = false;
      $("offline").textContent = t(code === 1013 ? "crowded" : "offline");
      forgetOpened();
    },
  });
  const last = history.node;
  const usable = last && (await resolved(last.state.source).then(() => true, () => false));
  if (usable) visit(last);
  else if (models[0].can.sample) await begin({ seed: 12, held: {} }, t("sampleFace"));
  if (usable) await meet();
  document.documentElement.dataset.ready = "yes";
}

main().catch((error) => say(error.message, true));
