// Trainings on this machine: how far they are, their curves and samples; start, stop, go on.

import { t } from "./words.js";
import { ask } from "./wire.js";
import { doer, e, furnish, whenShown } from "./parts.js";

const EVERY = 2000; // milliseconds between looks, while the tab is shown
const number = (value) => value.toLocaleString(document.documentElement.lang);

function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** One curve as a figure whose text says where it stands. */
function curve(name, points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, right, low, high] = [xs[0], xs.at(-1), Math.min(...ys), Math.max(...ys)];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svg.namespaceURI, "polyline");
  const at = ([x, y]) => `${(100 * (x - left)) / (right - left || 1)},${38 - (36 * (y - low)) / (high - low || 1)}`;
  line.setAttribute("points", points.map(at).join(" "));
  svg.append(line);
  const words = t("curve", name, ys.at(-1).toPrecision(4), number(right));
  return e("figure", {}, svg, e("figcaption", {}, words));
}

export function buildTraining(home, { say }) {
  const list = e("ul", { className: "runs" });
  const none = e("p", { className: "note", data: { word: "noRuns" } });
  const details = e("div", { className: "room", hidden: true });
  const data = e("input", { type: "text", id: "train-data", autocomplete: "off", spellcheck: false });
  let looked = null;
  let place = null; // of the sheet that is looked at; null = the newest

  const act = (word, path, body) => doer(word, say, async () => {
    await ask(path, body());
    await show();
  });

  function item(run) {
    const state = t({ runs: "runs", done: "finished", stopped: "stopped" }[run.state]);
    const words = [state];
    if (run.images) words.push(t("ofImages", number(run.images_seen), number(run.images)));
    if (run.seconds_left !== null) words.push(t("left", duration(run.seconds_left)));
    const bar = e("div", { className: "bar" }, e("strong", {}, run.name), e("span", {}, run.method), e("span", { className: "gap" }));
    const look = e("button", {}, t("look"));
    look.setAttribute("aria-label", t("lookAt", run.name));
    look.setAttribute("aria-expanded", String(looked === run.name));
    look.addEventListener("click", () => {
      looked = looked === run.name ? null : run.name;
      place = null;
      show();
    });
    bar.append(look);
    if (run.stoppable) bar.append(act("stop", `runs/${run.name}/stop`, () => ({})));
    else if (run.state === "stopped" && run.images)
      bar.append(act("resume", `runs/${run.name}/resume`, () => ({ data: data.value.trim() || null })));
    for (const button of bar.querySelectorAll("[data-word]")) button.textContent = t(button.dataset.word);
    const line = e("li", { data: { run: run.name, state: run.state } }, bar);
    if (run.images) {
      const progress = e("progress", { max: run.images, value: run.images_seen });
      progress.setAttribute("aria-label", run.name);
      line.append(progress);
    }
    line.append(e("span", { className: "note" }, words.join(", ")));
    if (run.said && run.state !== "done") line.append(e("span", { className: "note" }, run.said));
    return line;
  }

  async function showDetails() {
    details.hidden = looked === null;
    if (looked === null) return;
    const told = await ask(`runs/${encodeURIComponent(looked)}`);
    const curves = Object.entries(told.curves).filter(([, points]) => points.length > 1);
    const parts = [e("h2", {}, looked), e("div", { className: "curves" }, ...curves.map(([name, points]) => curve(name, points)))];
    if (told.sheets.length) {
      const at = place ?? told.sheets.length - 1;
      const seen = number(parseInt(told.sheets[at], 10));
      const image = e("img", { alt: t("sheetAt", seen) });
      image.src = `/api/runs/${encodeURIComponent(looked)}/sheets/${told.sheets[at]}`;
      const slide = e("input", { type: "range", min: 0, max: told.sheets.length - 1, value: at });
      slide.setAttribute("aria-label", t("sheet"));
      slide.addEventListener("change", () => {
        place = slide.valueAsNumber === told.sheets.length - 1 ? null : slide.valueAsNumber;
        showDetails();
      });
      parts.push(e("figure", { className: "sheet" }, image, e("figcaption", {}, t("sheetAt", seen)), slide));
    }
    details.replaceChildren(...parts);
  }

  let showing = "";
  async function show() {
    try {
      const runs = await ask("runs");
      const now = JSON.stringify([runs, looked, place, document.documentElement.lang]);
      if (now === showing) return;
      // What is focused stays focused: the list is only built anew when something changed.
      const focused = list.contains(document.activeElement) && document.activeElement.closest("li")?.dataset.run;
      const which = focused && [...document.activeElement.parentElement.children].indexOf(document.activeElement);
      showing = now;
      none.hidden = runs.length > 0;
      list.replaceChildren(...runs.map(item));
      if (focused) list.querySelector(`li[data-run="${CSS.escape(focused)}"] .bar`)?.children[which]?.focus();
      await showDetails();
    } catch (error) {
      say(error.message, true);
    }
  }

  const recipe = e("select", { id: "train-recipe" });
  const about = e("p", { className: "note" });
  const name = e("input", { type: "text", id: "train-name", maxLength: 64, autocomplete: "off", spellcheck: false });
  const images = e("input", { type: "text", id: "train-images", inputMode: "numeric", autocomplete: "off" });
  const start = doer("startIt", say, async () => {
    const fields = images.value.trim() ? { "training.images": images.value.trim() } : {};
    await ask("runs", { recipe: recipe.value, name: name.value.trim(), fields, data: data.value.trim() || null });
    await show();
    return t("begun");
  }, "strong");
  const field = (word, input) => e("label", {}, e("span", { data: { word } }), input);
  furnish(
    home,
    e("h2", { data: { word: "runsHere" } }),
    none,
    list,
    details,
    e("h2", { data: { word: "startNew" } }),
    e("div", { className: "form" }, field("recipe", recipe), about, field("runName", name), field("imagesSeen", images), field("dataFolder", data), e("div", { className: "bar" }, start)),
  );
  document.addEventListener("language", show);
  whenShown(home, async () => {
    const recipes = await ask("recipes");
    recipe.append(...recipes.map((each) => e("option", { value: each.name }, each.name)));
    const chosen = () => {
      about.textContent = recipes.find((each) => each.name === recipe.value).about;
      name.value = recipe.value;
    };
    recipe.addEventListener("change", chosen);
    chosen();
    await show();
    setInterval(() => {
      if (!home.hidden && !document.hidden) show();
    }, EVERY);
  });
}
