// Makes elements of a page.

export const element = (tag, properties = {}, ...children) => {
  const { dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
};

export const button = (text, onclick, className = "lm-button") =>
  element("button", { type: "button", className, onclick }, text);

// Returns a text with its JSON set out, if it is JSON.
export const setOut = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};
