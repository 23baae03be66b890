// What an edit drags along: told below the picture, with a button that locks it.

import { plain, t } from "./words.js";
import { models, state } from "./state.js";
import { showBesides, toggleLock } from "./panel.js";

let told = "[]";

/** Tell side effects, {attribute: change of its probability}, the strongest four. */
export function warn(besides) {
  const now = JSON.stringify(Object.entries(besides).sort());
  if (now === told) return;
  told = now;
  showBesides(besides);
  const home = document.getElementById("warnings");
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
    part.title = t(lockable ? "besidesLock" : "besidesHelp", plain(name), Math.round(Math.abs(amount) * 100));
    if (lockable) {
      part.type = "button";
      part.setAttribute("aria-label", t("lockIt", plain(name), words));
      part.addEventListener("click", () => toggleLock(name));
    }
    home.append(part);
  }
}

/** Tell them again although they are the same: the language is another. */
export function forgetWarnings() {
  told = "[]";
}
