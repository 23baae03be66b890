// What the person chooses for the page: its language, its theme, the models that are shown.

import { LANGUAGES, speak, spoken, t, translate } from "./words.js";
import { models } from "./state.js";
import { buildViews, shown } from "./view.js";
import { buildSliders, meet, rebuild, showStage } from "./editing.js";
import { forgetWarnings } from "./warnings.js";

const $ = (id) => document.getElementById(id);
const THEMES = ["auto", "light", "dark"];
let chosen = false; // whether a person said which models are shown
let labelled = "labelled"; // the word that says what saved pictures tell, or none

/** Take the language and the theme that were chosen last. */
export function recallChoices() {
  speak(localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
  setTheme(localStorage.getItem("theme") ?? "auto");
  retranslate();
}

/** Say what saved pictures tell: whether they are labelled, and signed. */
export function tellLabels({ labels, signs }) {
  labelled = signs ? "signed" : labels && "labelled";
}

/** Put every word into the language that is spoken. */
export function retranslate() {
  translate();
  const other = LANGUAGES[1 - LANGUAGES.indexOf(spoken())];
  $("language").textContent = other === "zh" ? "中文" : "English";
  $("language").lang = other;
  const theme = document.documentElement.dataset.theme ?? "auto";
  $("theme").textContent = `${t("theme")}: ${t(theme)}`;
  tellAbout();
}

/** Say below the picture what is worth knowing of the first model, and of pictures. */
function tellAbout() {
  const model = models[0];
  const looks = model && (model.judge === null ? t("nobodyLooks") : model.own_judge && t("ownJudge"));
  const words = [model?.drawn && t("drawn"), looks, t("drop"), t("privacy"), labelled && t(labelled)];
  $("about").textContent = words.filter(Boolean).join(" ");
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
}

/** Make a box for each model, where there are several. */
export function buildModels() {
  const box = $("models");
  box.hidden = models.length < 2;
  for (const each of models) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "checkbox", checked: shown.includes(each.name) });
    input.addEventListener("change", () => {
      chosen = true;
      if (input.checked) shown.push(each.name);
      else if (shown.length > 1) shown.splice(shown.indexOf(each.name), 1);
      else input.checked = true;
      present();
    });
    label.append(input, ` ${each.name}`);
    box.append(label);
  }
}

/** Show the chosen models; the sliders are those of the first. */
function present() {
  const first = shown[0];
  models.sort((a, b) => (b.name === first) - (a.name === first));
  tellAbout();
  buildViews();
  showStage();
  rebuild();
}

/** Make a model the first of those that are shown. */
export function bringForward(name) {
  shown.splice(0, shown.length, name, ...shown.filter((each) => each !== name));
  for (const label of $("models").querySelectorAll("label"))
    label.firstElementChild.checked = shown.includes(label.textContent.trim());
  present();
}

/** Show the model that fits a picture, unless a person chose; returns its name where another was shown. */
export function fit(name) {
  if (chosen || !name || shown.includes(name)) return null;
  shown.length = 0;
  bringForward(name);
  return name;
}

/** Listen to the buttons at the top. */
export function listenToChoices() {
  $("language").addEventListener("click", () => {
    speak(LANGUAGES[1 - LANGUAGES.indexOf(spoken())]);
    localStorage.setItem("language", spoken());
    retranslate();
    buildSliders();
    forgetWarnings();
    document.dispatchEvent(new Event("language"));
    buildViews();
    showStage();
    meet();
  });
  $("theme").addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % 3]);
    retranslate();
  });
}
