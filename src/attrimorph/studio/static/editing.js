// The picture that is edited: its state goes out while a slider moves, its frames come in and are painted.

import { t } from "./words.js";
import { HERE, Live, png } from "./wire.js";
import { askOf, forgetOpened, learnTaught, modelOf, openedAs, resolved, resolvedNow, state, wished } from "./state.js";
import { buildPanel, showAttributes, showState } from "./panel.js";
import { describe, forgetPictures, isWhole, nearView, screenView, showAfter, showBefore, showFrames, showNear, shown, viewOf } from "./view.js";
import { commit, remember, rememberAnew, showThumb, showVisited } from "./tree.js";
import { warn } from "./warnings.js";
import { say } from "./said.js";

const $ = (id) => document.getElementById(id);
const RESTING = 160; // milliseconds without a change after which the exact picture is asked for
const WATCHED = 6; // every so many pictures of a drag are looked at for side effects: that takes the judge's time
const BARE = 128; // pixels a side up to which a picture comes as bare bytes, painted without decoding; HERE larger ones too
let live = null;
let settling = 0;
let moving = 0;
let meeting = 0; // how many pictures of before are under way

// What was asked for last, and what is painted, by stream.
const newest = new Map();
const painted = new Map();

/** Send the state of every shown picture: quickly while a slider moves, exactly once it rests. */
export function show(exact = false) {
  if (!state.source) return;
  const seen = shown.map(modelOf);
  const sources = seen.map((model) => resolvedNow(state.source, model));
  if (sources.includes(null)) {
    const { source } = state;
    Promise.all(seen.map((model) => resolved(source, model))).then(() => show(exact), (error) => say(error.message, true));
    return;
  }
  const watch = exact || moving++ % WATCHED === 0;
  seen.forEach((model, stream) => {
    const source = sources[stream];
    const format = exact ? "png" : (isWhole() ? HERE : model.image_size <= BARE) ? "rgba" : "jpeg";
    const view = viewOf(model.name) ?? undefined;
    newest.set(stream, { number: live.send(stream, { ...wished(model), source, format, watch, view }), exact });
  });
  clearTimeout(settling);
  if (exact) describe();
  else settling = setTimeout(() => show(true), RESTING);
}

// For whoever watches the page: whether the exact picture of the present state is painted in all views.
window.studioAtRest = () =>
  !asked && !meeting &&
  (!state.source ||
    (newest.size > 0 && [...newest].every(([stream, { number, exact }]) => exact && painted.get(stream) === number)));

// For the benchmark: what it times.
window.studioBench = () => ({ live });

let asked = false;
let late = false;
/** A slider or a lock has changed the state. */
export function changed() {
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

/** Go to a step of the history. */
export function visit(node) {
  if (!node) return;
  const moved = JSON.stringify(node.state.source) !== JSON.stringify(state.source);
  Object.assign(state, structuredClone(node.state));
  showState();
  showStage();
  showVisited();
  if (moved) {
    forgetPictures();
    meet();
  } else show();
}

/** Begin with another picture, in a history of its own, or where `keep` says as the next step of this one. */
export async function begin(source, words, keep = rememberAnew) {
  Object.assign(state, { source, changes: {}, locks: state.locks });
  showState();
  showStage();
  forgetPictures();
  keep(words);
  await meet();
}

/** Another face of the photograph is edited. */
function choose(face) {
  begin({ ...state.source, face }, t("face", face), remember).catch((error) => say(error.message, true));
}

/** Show the pictures and what is done with them, or, while nothing is open, how to begin. */
export function showStage() {
  const empty = !state.source;
  $("pictures").hidden = empty;
  $("empty").hidden = !empty;
  $("empty").firstElementChild.textContent = t("nothingOpen", shown.join(", "));
  for (const id of ["save", "before", "split", "reset"]) $(id).disabled = empty;
}

/** Learn how the shown models see the picture, and show it. */
export async function meet() {
  const source = state.source;
  if (!source) return;
  meeting += 1;
  for (const name of [...shown]) {
    try {
      const model = modelOf(name);
      if (model.can.search && resolvedNow(source, model)?.seed === undefined) say(t("searching", name));
      await resolved(source, model);
      const opened = openedAs(source, model);
      const view = opened && screenView(opened);
      const told = await askOf("reconstruct", source, { model: name, ...(view && { view }) });
      if (JSON.stringify(source) !== JSON.stringify(state.source)) break;
      // Of a whole photograph the frame tells what the model was shown.
      await showBefore(name, png(told.screen ?? told.picture), told.screen ? null : told.input && png(told.input), told.screen ? view : null, told.said);
      showFrames(name, told.frame, opened, choose);
      if (name === shown[0]) showAttributes(told.attributes);
    } catch (error) {
      say(error.message, true);
    }
  }
  meeting -= 1;
  show();
}

/** A photograph has come closer, or was moved: show the pixels of what is seen of it. */
export async function near(name) {
  const view = nearView(name);
  const { source } = state;
  if (view === viewOf(name)) return;
  meeting += 1;
  try {
    const told = view?.box && (await askOf("reconstruct", source, { model: name, view }));
    if (source === state.source && JSON.stringify(view) === JSON.stringify(nearView(name))) {
      await showNear(name, view, told && png(told.screen));
      show(true);
    }
  } catch (error) {
    say(error.message, true);
  }
  meeting -= 1;
}

/** Build the sliders. */
export function buildSliders() {
  buildPanel(changed, commit);
}

/** Build the sliders again: the first model is another, or something was taught. */
export function rebuild() {
  buildSliders();
  meet();
}

function onFrame(stream, picture, besides, number, box, view) {
  showAfter(shown[stream], picture, box, view);
  window.studioFrames = (window.studioFrames ?? 0) + 1;
  painted.set(stream, number);
  if (stream) return;
  if (besides) warn(besides);
  showThumb(!live.streams.get(0)?.under.length);
}

async function onFault(told) {
  if (told.status !== 410) {
    say(told.error, true);
    return;
  }
  forgetOpened();
  await catchUp();
  show();
}

/** Learn which taught sliders the studio has: it may have been started again, or another page may have taught it. */
async function catchUp() {
  try {
    if (await learnTaught()) rebuild();
  } catch (error) {
    say(error.message, true);
  }
}

/** Open the line to the studio. */
export function connect() {
  live = new Live({
    onFrame,
    onFault,
    onOpen: async () => {
      $("offline").hidden = true;
      await catchUp();
      show(true);
    },
    onClose: async (code) => {
      $("offline").hidden = false;
      $("offline").textContent = t(code === 1013 ? "crowded" : "offline");
      forgetOpened();
      // A browser does not say why a line was refused.
      const told = await fetch("/api/studio").catch(() => null);
      if (told?.status === 401) $("offline").textContent = t("strange");
    },
  });
}
