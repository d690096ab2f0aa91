// How messages look: what a person wrote, and an answer as it arrives.

import { button, element, setOut } from "./elements.js";
import { imagesOf, picture, textOf } from "./images.js";

// Letters of a request's id that tell it from its neighbours.
const SHORT = 8;

const article = (role, name, ...children) =>
  element(
    "article",
    { className: "pg-message", dataset: { role } },
    element("p", { className: "pg-who" }, name),
    ...children,
  );

// Returns the message of a person. onEdit gets the changed text, to send it again.
export const userMessage = (content, onEdit) => {
  const text = textOf(content);
  const pictures = imagesOf(content).map((url) => picture(url, "A file of yours"));
  const shown = element("div", { className: "pg-text" }, text);
  const tools = element("div", { className: "pg-tools" });
  const node = article("user", "You", ...pictures, shown, tools);

  const show = () => {
    node.querySelector("form")?.remove();
    shown.hidden = tools.hidden = false;
  };
  const edit = () => {
    const field = element("textarea", { className: "pg-field", rows: 3, value: text });
    field.setAttribute("aria-label", "Message, to send it again");
    const form = element(
      "form",
      { className: "pg-edit" },
      field,
      element("button", { className: "lm-button lm-button-primary" }, "Send again"),
      button("Cancel", () => {
        show();
        tools.firstChild.focus();
      }),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim() && onEdit(field.value)) show();
    });
    shown.hidden = tools.hidden = true;
    node.append(form);
    field.focus();
  };
  tools.append(button("Edit", edit, "lm-link"));
  return node;
};

export class AnswerMessage {
  #thinking = element("details", { className: "pg-thinking", hidden: true });
  #thought = element("div", { className: "pg-text" });
  #text = element("div", { className: "pg-text" });
  #calls = element("div", { className: "pg-calls" });
  #facts = element("dl", { className: "pg-facts" });
  #usageUrl;
  #planned = null;

  constructor(name, usageUrl) {
    this.#usageUrl = usageUrl;
    this.#thinking.append(element("summary", {}, "Thinking"), this.#thought);
    this.node = article("assistant", name, this.#thinking, this.#text, this.#calls, this.#facts);
    this.node.setAttribute("aria-busy", "true");
  }

  // Shows what has arrived so far, once for each picture of the screen.
  update(answer, after) {
    this.#planned ??= requestAnimationFrame(() => {
      this.#show(answer);
      after();
    });
  }

  finish(answer) {
    cancelAnimationFrame(this.#planned);
    this.#show(answer);
    this.node.removeAttribute("aria-busy");
    for (const [name, text] of answer.facts()) this.#fact(name, text);
    if (answer.requestId) this.#fact("Request", this.#link(answer.requestId));
  }

  // Asks for the results of the calls; onSend sends them.
  askForResults(onSend) {
    for (const field of this.#fields) field.readOnly = false;
    this.#calls.append(button("Send results", onSend, "lm-button lm-button-primary"));
  }

  // Returns the results that were written, as messages.
  results(calls) {
    const fields = this.#fields;
    return calls.map(({ id }, index) => ({
      role: "tool",
      tool_call_id: id,
      content: fields[index]?.value ?? "",
    }));
  }

  // Writes results, messages, into the fields.
  write(results) {
    results.forEach(({ content }, index) => {
      this.#fields[index].value = content;
    });
  }

  close() {
    this.#calls.querySelector("button")?.remove();
    for (const field of this.#fields) field.readOnly = true;
  }

  get #fields() {
    return this.#calls.querySelectorAll("textarea");
  }

  #show(answer) {
    this.#planned = null;
    if (answer.reasoning) {
      // Open while there is nothing else to read; then it is the reader's.
      if (this.#thinking.hidden) this.#thinking.open = true;
      if (!this.#text.textContent && answer.content) this.#thinking.open = false;
      this.#thinking.hidden = false;
      this.#thought.textContent = answer.reasoning;
    }
    this.#text.textContent = answer.content;
    answer.calls.forEach((call, index) => this.#showCall(call, index));
  }

  #showCall({ name, arguments: text }, index) {
    let card = this.#calls.querySelectorAll(".pg-call")[index];
    if (!card) {
      const field = element("textarea", { className: "pg-field", rows: 2 });
      card = element(
        "div",
        { className: "pg-call" },
        element("b", {}),
        element("pre", { className: "lm-pre" }),
        element("label", {}, `Result of ${name}`, field),
      );
      this.#calls.append(card);
    }
    card.querySelector("b").textContent = `Calls ${name}`;
    card.querySelector("pre").textContent = setOut(text);
  }

  #fact(name, value) {
    this.#facts.append(
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    );
  }

  #link(requestId) {
    if (!this.#usageUrl) return requestId;
    const href = `${this.#usageUrl}?q=${encodeURIComponent(requestId)}`;
    const text = `${requestId.slice(0, SHORT)}…`;
    return element("a", { href, target: "_blank", rel: "noopener", title: requestId }, text);
  }
}
