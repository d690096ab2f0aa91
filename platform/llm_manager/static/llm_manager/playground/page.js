// The playground: a form, one or two models, and what is written to them.

import * as api from "./api.js";
import { contentOf, Images } from "./images.js";
import { Pane, sentence } from "./pane.js";
import { FieldError, showDefaults } from "./settings.js";

const root = document.getElementById("playground");
const find = (name) => document.getElementById(`pg-${name}`);
const [settings, composer, text] = ["settings", "composer", "text"].map(find);
const [sendButton, stopButton, compareButton] = ["send", "stop", "compare"].map(find);
const problem = find("problem");
const hasKeyboard = matchMedia("(hover: hover)").matches;
const isWide = matchMedia("(min-width: 1024px)").matches;
const panes = [];
let models = [];

const say = (message) => {
  problem.textContent = message;
  problem.hidden = !message;
};

const IMAGES = "image/png,image/jpeg,image/webp,image/gif";
const SOUNDS = "audio/wav,audio/mpeg,.wav,.mp3";

const isBusy = () => panes.some((pane) => pane.isRunning);

// What all chosen models read, of what can be added to a message.
const offerFiles = () => {
  const all = (name) =>
    panes.length > 0 && panes.every(({ model }) => model?.capabilities?.includes(name));
  const [sees, hears] = [all("vision"), all("audio")];
  find("add").hidden = !(sees || hears);
  find("add-what").textContent = [sees && "images", hears && "sounds"].filter(Boolean).join(" or ");
  find("picker").accept = [sees && IMAGES, hears && SOUNDS].filter(Boolean).join(",");
};

const showAll = () => {
  const busy = isBusy();
  sendButton.hidden = busy;
  stopButton.hidden = !busy;
  compareButton.disabled = find("new").disabled = busy;
  offerFiles();
  showDefaults(settings, panes.map((pane) => pane.model));
  for (const pane of panes) pane.showRequest();
};

const images = new Images(find("picker"), find("images"), showAll);

// Sends a text, or parts, to all panes. Returns whether it was sent.
const send = (message, goBack = () => {}) => {
  if (isBusy()) return false;
  say("");
  try {
    for (const pane of panes) pane.requestWith(message);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    say(error.message);
    for (let at = error.field; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    error.field.focus();
    return false;
  }
  goBack();
  for (const pane of panes) pane.ask(message);
  return true;
};

const addPane = () => {
  const fresh = find("pane").content.cloneNode(true).firstElementChild;
  find("panes").append(fresh);
  const pane = new Pane(fresh, settings, panes.length + 1, {
    usageUrl: root.dataset.usageUrl,
    loginUrl: root.dataset.loginUrl,
    draft: () => contentOf(text.value.trim(), images.urls),
    isBusy,
    onChange: showAll,
    onEdit: (number, changed) =>
      send(changed, () => {
        for (const each of panes) each.backTo(number);
      }),
  });
  panes.push(pane);
  return { pane, node: fresh };
};

const compare = () => {
  const [first, second] = find("panes").children;
  if (second) {
    second.remove();
    panes.pop();
    first.querySelector("select").focus();
  } else {
    const { pane, node } = addPane();
    const other = models.find(({ id }) => id !== panes[0].model?.id);
    pane.offer(models, other?.id);
    pane.copy(panes[0]);
    node.querySelector("select").focus();
  }
  const isOn = panes.length === 2;
  compareButton.setAttribute("aria-pressed", String(isOn));
  root.dataset.panes = panes.length;
  showAll();
};

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const message = contentOf(text.value.trim(), images.urls);
  if (!message || !models.length || isBusy()) return;
  const draft = text.value;
  const chosen = images.take();
  text.value = "";
  if (send(message)) return;
  text.value = draft;
  images.put(chosen);
});
text.addEventListener("keydown", (event) => {
  // Enter also ends a word of an input method: that must not send.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || !hasKeyboard) return;
  event.preventDefault();
  composer.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isBusy()) stopButton.click();
});
stopButton.addEventListener("click", () => {
  for (const pane of panes) pane.stop();
  text.focus();
});
compareButton.addEventListener("click", compare);
find("new").addEventListener("click", () => {
  for (const pane of panes) pane.clear();
  say("");
  showAll();
  text.focus();
});
text.addEventListener("input", showAll);
settings.addEventListener("input", showAll);
settings.addEventListener("submit", (event) => event.preventDefault());
settings.elements.response_format.addEventListener("change", ({ target }) => {
  find("schema-field").hidden = target.value !== "json_schema";
});

try {
  models = (await api.models()).filter(({ capabilities }) => capabilities.includes("chat"));
  const wanted = root.dataset.model;
  if (!models.length) say("There is no model that chats, or none that you may use.");
  else if (wanted && !models.some(({ id }) => id === wanted)) {
    say(`The model “${wanted}” does not chat, or you may not use it.`);
  }
} catch (error) {
  say(sentence(error));
}
// On a narrow page they stand below the conversation, and would be most of it.
if (!isWide) for (const each of settings.querySelectorAll("details")) each.open = false;
addPane().pane.offer(models, root.dataset.model);
showAll();
// On a phone the keyboard would hide the page.
if (hasKeyboard) text.focus();
root.dataset.ready = "yes";
