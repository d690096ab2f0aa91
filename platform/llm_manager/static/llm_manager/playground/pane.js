// One model and its conversation.

import * as api from "./api.js";
import { Answer } from "./answer.js";
import { button, element } from "./elements.js";
import { contentOf, imagesOf, shortened } from "./images.js";
import { AnswerMessage, userMessage } from "./messages.js";
import { requestOf, templatePart } from "./settings.js";
import { LANGUAGES } from "./snippets.js";

const LOOK_EVERY_MS = 1000;
const NEAR_PX = 40;
const STATES = {
  unloaded: "not loaded; the first message loads it",
  failed: "its last load failed; a message tries again",
};

export class Pane {
  #form;
  #page;
  #root;
  #log;
  #select;
  #models = [];
  // Messages of the conversation, each with its element and the model that wrote it.
  #entries = [];
  #pending = null;
  #stopping = null;
  #language = "curl";

  // page: onEdit(number, content) → whether it was sent, onChange(), usageUrl.
  constructor(root, form, number, page) {
    this.#root = root;
    this.#form = form;
    this.#page = page;
    this.#log = this.#part("log");
    this.#select = this.#part("model");
    root.setAttribute("aria-label", `Model ${number}`);
    for (const [index, label] of root.querySelectorAll("label[data-for]").entries()) {
      const field = this.#part(label.dataset.for);
      field.id = label.htmlFor = `pg-${number}-${index}`;
    }
    this.#part("code").id = `pg-${number}-code`;
    this.#part("copy").dataset.copy = `pg-${number}-code`;
    this.#select.addEventListener("change", () => {
      this.#showState();
      page.onChange();
    });
    for (const name of Object.keys(LANGUAGES)) this.#addLanguage(name);
    this.#part("request").addEventListener("toggle", () => this.showRequest());
    this.#part("prompt").addEventListener("toggle", () => this.#showPrompt());
    this.#part("again").addEventListener("click", () => this.#showPrompt());
  }

  get isRunning() {
    return this.#stopping !== null;
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  get model() {
    return this.#models.find((each) => each.id === this.#select.value);
  }

  // Offers models; keeps the choice, or else takes `wanted`, or else one that is ready.
  offer(models, wanted) {
    const before = this.#select.value || wanted;
    this.#models = models;
    this.#select.replaceChildren(
      ...models.map(({ id }) => element("option", { value: id }, id)),
    );
    const ready = models.find(({ state }) => state === "ready");
    const isThere = models.some(({ id }) => id === before);
    this.#select.value = isThere ? before : (ready ?? models[0])?.id;
    this.#showState();
  }

  // Takes the conversation of another pane over, with calls that wait for results.
  copy(other) {
    let last = null;
    for (const { message, model } of other.#entries) last = this.#add(message, model);
    if (!other.#pending) return;
    const { calls, view } = other.#pending;
    this.#askForResults(calls, last);
    last.write(view.results(calls));
  }

  clear() {
    this.#truncate(0);
    this.#say("");
  }

  // Returns the request after one more message. Throws FieldError.
  requestWith(content) {
    const said = content ? [...this.#results(), { role: "user", content }] : [];
    return this.#request(said);
  }

  // Goes back to before a message of the person; the first one is number 0.
  backTo(number) {
    const isUser = ({ message }) => message.role === "user";
    const index = this.#entries.findIndex(
      (entry, i) => isUser(entry) && this.#entries.slice(0, i).filter(isUser).length === number,
    );
    if (index >= 0) this.#truncate(index);
  }

  async ask(content) {
    this.#takeResults();
    this.#add({ role: "user", content });
    await this.run();
  }

  stop() {
    this.#stopping?.abort();
  }

  // Answers the conversation as it is.
  async run() {
    let request;
    try {
      request = this.#request([]);
    } catch (error) {
      this.#say(error.message);
      return;
    }
    const view = new AnswerMessage(request.model, this.#page.usageUrl);
    const answer = new Answer();
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    this.#say("");
    this.#log.append(view.node);
    this.#follow(true);
    this.#page.onChange();
    const isLoaded = this.#watchLoad(request.model, answer, signal);
    let error = null;
    try {
      await api.chat(request, {
        signal,
        onStart: (headers) => answer.begin(headers),
        onChunk: (chunk) => {
          answer.take(chunk);
          if (!answer.isEmpty) this.#part("loading").hidden = true;
          view.update(answer, () => this.#follow());
        },
      });
    } catch (thrown) {
      error = thrown;
    }
    answer.isStopped = signal.aborted;
    this.#stopping = null;
    isLoaded.end();
    this.#finish(answer, view, signal.aborted ? null : error, request.model);
    this.#page.onChange();
    if (this.#part("prompt").open) await this.#showPrompt();
  }

  #finish(answer, view, error, model) {
    view.finish(answer);
    if (answer.isEmpty && (error || answer.isStopped)) view.node.remove();
    else this.#entries.push({ message: answer.message(), node: view.node, model });
    if (answer.isEmpty && answer.isStopped) this.#say("Stopped before the first token.");
    if (error) this.#fail(error);
    else if (answer.calls.length && !answer.isStopped) {
      this.#askForResults(answer.calls, view);
    }
    this.#follow(true);
  }

  #askForResults(calls, view) {
    this.#pending = { calls, view };
    view.askForResults(() => {
      if (this.#page.isBusy()) return;
      this.#takeResults();
      this.run();
    });
  }

  showRequest() {
    if (!this.#part("request").open) return;
    const place = this.#part("code");
    try {
      const draft = this.#page.draft();
      const request = draft || this.isEmpty ? this.requestWith(draft) : this.#lastRequest();
      const shown = shortened(request);
      place.textContent = LANGUAGES[this.#language](shown, `${location.origin}/v1`);
    } catch (error) {
      place.textContent = error.message;
    }
  }

  async #showPrompt() {
    if (!this.#part("prompt").open) return;
    const place = this.#part("rendered");
    try {
      const draft = this.#page.draft();
      const request = draft || this.isEmpty ? this.requestWith(draft) : this.#lastRequest();
      if (request.messages.length) {
        place.textContent = await api.renderedPrompt(templatePart(request));
      } else place.textContent = "Write a message first.";
    } catch (error) {
      place.textContent = sentence(error);
    }
  }

  #addLanguage(name) {
    const choose = () => {
      this.#language = name;
      for (const each of this.#part("languages").children) {
        each.setAttribute("aria-pressed", String(each.textContent === name));
      }
      this.showRequest();
    };
    const made = button(name, choose);
    made.setAttribute("aria-pressed", String(name === this.#language));
    this.#part("languages").append(made);
  }

  #request(more) {
    const messages = this.#entries.map(({ message }) => message);
    return requestOf(this.#form, this.#select.value, [...messages, ...more]);
  }

  // Returns the request whose answer is the last message.
  #lastRequest() {
    const messages = this.#entries.map(({ message }) => message);
    if (messages.at(-1)?.role === "assistant") messages.pop();
    return requestOf(this.#form, this.#select.value, messages);
  }

  #results() {
    return this.#pending ? this.#pending.view.results(this.#pending.calls) : [];
  }

  #takeResults() {
    const results = this.#results();
    this.#pending?.view.close();
    this.#pending = null;
    for (const message of results) this.#add(message);
  }

  // Returns the view of an answer, or null.
  #add(message, model = "") {
    let node = null;
    let view = null;
    if (message.role === "user") {
      const number = this.#entries.filter((each) => each.message.role === "user").length;
      const urls = imagesOf(message.content);
      node = userMessage(message.content, (text) =>
        this.#page.onEdit(number, contentOf(text, urls)),
      );
    } else if (message.role === "assistant") {
      const answer = new Answer();
      answer.content = message.content ?? "";
      answer.reasoning = message.reasoning_content ?? "";
      answer.calls = (message.tool_calls ?? []).map(({ id, function: f }) => ({ id, ...f }));
      view = new AnswerMessage(model, "");
      view.finish(answer);
      view.close();
      node = view.node;
    }
    this.#entries.push({ message, node, model });
    if (node) this.#log.append(node);
    return view;
  }

  #truncate(length) {
    for (const { node } of this.#entries.splice(length)) node?.remove();
    this.#pending = null;
    this.#say("");
  }

  // Follows the model while it loads, until the first token.
  #watchLoad(id, answer, signal) {
    let timer;
    const look = async () => {
      try {
        const model = await api.model(id);
        if (isOver()) return;
        if (model.state !== "ready") answer.isAfterLoad = true;
        this.#know(model);
        this.#showLoad(model);
      } catch {
        // The request itself says what is wrong.
      }
      if (!isOver()) timer = setTimeout(look, LOOK_EVERY_MS);
    };
    const isOver = () => signal.aborted || !answer.isEmpty || !this.isRunning;
    look();
    return {
      end: () => {
        clearTimeout(timer);
        this.#part("loading").hidden = true;
        this.#refreshState(id);
      },
    };
  }

  #showLoad({ state, progress }) {
    const place = this.#part("loading");
    place.hidden = false;
    const bar = place.querySelector("progress");
    if (state === "loading") bar.value = progress;
    else bar.removeAttribute("value");
    place.querySelector("span").textContent =
      state === "loading"
        ? `Loading the model: ${Math.round(progress * 100)} %`
        : state === "ready"
          ? "Waiting for the first token"
          : "Waiting for the model to load";
  }

  async #refreshState(id) {
    try {
      this.#know(await api.model(id));
    } catch {
      // Said where the request failed.
    }
  }

  #know(fresh) {
    this.#models = this.#models.map((each) => (each.id === fresh.id ? fresh : each));
    this.#showState();
  }

  #showState() {
    const state = this.model?.state ?? "";
    this.#part("state").textContent = STATES[state] ?? state;
  }

  #fail(error) {
    this.#say(sentence(error));
    const again = button("Try again", () => {
      if (!this.#page.isBusy()) this.run();
    });
    // An answer that was begun is continued by nobody: the conversation has it.
    if (this.#entries.at(-1)?.message.role !== "assistant") {
      this.#part("error").append(" ", again);
    }
    if (error.code === "session_ended") {
      this.#part("error").append(
        " ",
        element("a", { href: this.#page.loginUrl, target: "_blank", className: "lm-link" }, "Sign in"),
      );
    }
  }

  #say(text) {
    const place = this.#part("error");
    place.textContent = text;
    place.hidden = !text;
  }

  // Keeps the newest text in view, unless the reader has scrolled up.
  #follow(always = false) {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    if (always || scrollHeight - scrollTop - clientHeight < NEAR_PX) {
      this.#log.scrollTop = scrollHeight;
    }
  }

  #part(name) {
    return this.#root.querySelector(`[data-part="${name}"]`);
  }
}

// Returns an error of the API as people read it.
export const sentence = (error) => {
  const about = [error.code, error.status].filter(Boolean).join(", ");
  return about ? `${error.message} (${about})` : error.message;
};
