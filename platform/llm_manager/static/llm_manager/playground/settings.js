// The form beside the conversation, as members of a request.

// A field whose text cannot be used; the field gets the focus.
export class FieldError extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

const json = (field) => {
  const text = field.value.trim();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FieldError(field, `“${field.dataset.name}” is no JSON: ${error.message}.`);
  }
};

const number = (field) => {
  const text = field.value.trim();
  if (!text && !field.validity.badInput) return undefined;
  const value = Number(text);
  if (field.validity.badInput || Number.isNaN(value)) {
    throw new FieldError(field, `“${field.dataset.name}” is no number.`);
  }
  return value;
};

const lines = (field) => {
  const found = field.value.split("\n").filter((line) => line !== "");
  return found.length ? found : undefined;
};

const READERS = { number, lines, json, text: (field) => field.value || undefined };

const parameters = (form) => {
  const found = {};
  for (const field of form.querySelectorAll("[data-parameter]")) {
    const value = READERS[field.dataset.reads](field);
    if (value !== undefined) found[field.dataset.parameter] = value;
  }
  // It means something beside tools only.
  if (!found.tools) delete found.tool_choice;
  return found;
};

const responseFormat = (form) => {
  const kind = form.elements.response_format.value;
  if (kind === "text") return {};
  if (kind === "json_object") return { response_format: { type: kind } };
  const field = form.elements.schema;
  const schema = json(field);
  if (schema === undefined) throw new FieldError(field, "Write the JSON schema.");
  return { response_format: { type: kind, json_schema: { name: "answer", schema } } };
};

const others = (form) => {
  const field = form.elements.others;
  const value = json(field) ?? {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FieldError(field, "“Other members” is no JSON object.");
  }
  return value;
};

// Returns the request that a form asks for. Throws FieldError.
export const requestOf = (form, model, messages) => {
  const system = form.elements.system.value;
  const first = system.trim() ? [{ role: "system", content: system }] : [];
  return {
    model,
    messages: [...first, ...messages],
    ...parameters(form),
    ...responseFormat(form),
    ...others(form),
    stream: true,
    stream_options: { include_usage: true },
  };
};

// Returns what the model's template renders of a request.
export const templatePart = (request) => {
  const { model, messages, tools, reasoning_effort, chat_template_kwargs } = request;
  const shown = request.tool_choice === "none" ? undefined : tools;
  // Members that are undefined are not sent.
  return { model, messages, tools: shown, reasoning_effort, chat_template_kwargs };
};

// Shows the defaults of models where a field is empty.
export const showDefaults = (form, models) => {
  for (const field of form.querySelectorAll("[data-default]")) {
    const name = field.dataset.parameter;
    const values = models.map((model) => model?.defaults?.[name] ?? field.dataset.default);
    field.placeholder = [...new Set(values)].join(" | ");
  }
};
