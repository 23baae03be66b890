// The history as the page shows it: a tree of steps, each with a small picture.

import { plain, t } from "./words.js";
import { History, get, put } from "./history.js";
import { amount, state } from "./state.js";
import { thumb } from "./view.js";

const $ = (id) => document.getElementById(id);
const TOGETHER = 1500; // milliseconds in which nudges of one slider are one step
let history = new History();
let visited = () => {};
let thumbFor = null;
let nudged = {};
let keeping = 0;

/** Read the history of this browser; `onVisit(node)` is called when a step is clicked. Returns where it stood. */
export async function readHistory(onVisit) {
  visited = onVisit;
  history = History.from(await get("history"));
  return history.node;
}

export const undo = () => history.undo();
export const redo = () => history.redo();

const same = (one, other) => JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());

/** A slider or a lock was let go: a step, unless nothing is other than before. */
export function commit(name) {
  const last = history.node?.state;
  if (last && same(last.changes, state.changes) && same(last.locks, state.locks)) return;
  const lockChanged = last && !same(last.locks, state.locks);
  let words = plain(name);
  if (lockChanged) words = t(state.locks.includes(name) ? "locked" : "unlocked", words);
  else words += ` ${amount(name, state.changes[name])}`;
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

/** Add the state as a step. */
export function remember(words) {
  history.add(state, words);
  thumbFor = history.current;
  showTree();
  keep();
}

/** Add the state as the first step of a tree of its own. */
export function rememberAnew(words) {
  history.current = null;
  remember(words);
}

/** Another step is the current one. */
export function showVisited() {
  thumbFor = null;
  showTree();
  keep();
}

/** A picture was painted; `last` of those under way: give it to the step that waits for one. */
export function showThumb(last) {
  if (thumbFor === null || !history.nodes.has(thumbFor)) return;
  history.nodes.get(thumbFor).thumb = thumb();
  const place = history.placed().findIndex(({ node }) => node.id === thumbFor);
  const button = $("tree").children[place];
  button?.replaceChildren(Object.assign(new Image(), { src: history.nodes.get(thumbFor).thumb, alt: "" }));
  if (last) thumbFor = null;
  keep();
}

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
      button.addEventListener("click", () => visited(history.go(node.id)));
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
