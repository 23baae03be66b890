// The tabs: those that some model of this studio can fill, and no others.

import { models } from "./state.js";
import { buildFaces } from "./tab_faces.js";
import { buildMorph } from "./tab_morph.js";
import { buildFill } from "./tab_fill.js";
import { buildTeach } from "./tab_teach.js";
import { buildFolder } from "./tab_folder.js";
import { buildTraining } from "./tab_training.js";
import { buildBackdrop } from "./tab_backdrop.js";

const $ = (id) => document.getElementById(id);

/** Names of the tabs of this studio, in order. */
export const TABS = [];

const some = (ability) => () => models.some((model) => model.can[ability]);

/** Which tabs there are, when, and what builds each: (home, tools). */
const ROOMS = {
  edit: { needs: () => true, build: () => {} },
  faces: { needs: some("sample"), build: buildFaces },
  morph: { needs: some("encode"), build: buildMorph },
  fill: { needs: some("encode"), build: buildFill },
  teach: { needs: some("teach"), build: buildTeach },
  folder: { needs: some("encode"), build: buildFolder },
  backdrop: { needs: some("layers"), build: buildBackdrop },
  training: { needs: (_, tools) => tools.trains, build: buildTraining },
};

/** Build the tabs; `tools` are what they may ask of the page: begin, go, rebuild, say, whether it trains and films. */
export function buildTabs(tools) {
  const bar = document.querySelector(".tabs");
  TABS.splice(0, TABS.length, ...Object.keys(ROOMS).filter((name) => ROOMS[name].needs(models, tools)));
  for (const name of TABS) {
    const button = Object.assign(document.createElement("button"), { type: "button", id: `for-${name}` });
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", `tab-${name}`);
    button.dataset.word = name;
    button.addEventListener("click", () => go(name));
    bar.append(button);
    ROOMS[name].build($(`tab-${name}`), tools);
  }
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = TABS.findIndex((name) => $(`for-${name}`) === document.activeElement);
    const next = TABS[(place + step + TABS.length) % TABS.length];
    go(next);
    $(`for-${next}`).focus();
  });
  go("edit");
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
