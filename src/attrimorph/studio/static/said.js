// The line at the bottom of the page, which tells what was done and what went wrong.

import { t } from "./words.js";

let saying = 0;

/** Tell the person something; errors too. */
export function say(words, bad = false) {
  const line = document.getElementById("said");
  line.textContent = words;
  line.classList.toggle("bad", bad);
  clearTimeout(saying);
  // Long enough to read it; what went wrong stays, and so does what goes on.
  if (!bad && words !== t("working")) saying = setTimeout(() => say(""), 4000 + 60 * words.length);
}
