// Images and sounds of a message: chosen, shown, and as a request has them.

import { button, element } from "./elements.js";

const read = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: file.name, url: reader.result });
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });

const SOUND = /^data:audio\/([\w.+-]+);base64,/;
const MPEG = ["mpeg", "mp3"];

const partOf = (url) => {
  const [header, kind] = SOUND.exec(url) ?? [];
  if (!header) return { type: "image_url", image_url: { url } };
  const format = MPEG.includes(kind) ? "mp3" : "wav";
  return { type: "input_audio", input_audio: { data: url.slice(header.length), format } };
};

const urlOf = ({ image_url, input_audio }) =>
  input_audio
    ? `data:audio/${input_audio.format === "mp3" ? "mpeg" : "wav"};base64,${input_audio.data}`
    : image_url?.url;

// Returns the content of a message: a text, or parts if it has images or sounds.
export const contentOf = (text, urls) => {
  if (!urls.length) return text;
  const parts = urls.map(partOf);
  return text ? [...parts, { type: "text", text }] : parts;
};

export const textOf = (content) =>
  Array.isArray(content)
    ? content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n")
    : content;

export const imagesOf = (content) =>
  Array.isArray(content) ? content.flatMap((part) => urlOf(part) ?? []) : [];

// Returns what shows an image, or plays a sound.
export const picture = (url, name) => {
  if (!SOUND.test(url)) return element("img", { className: "pg-picture", src: url, alt: name });
  const player = element("audio", { className: "pg-sound", src: url, controls: true });
  player.setAttribute("aria-label", name);
  return player;
};

// Returns a request without the data of its images and sounds, to be read.
export const shortened = (request) =>
  JSON.parse(
    JSON.stringify(request, (name, value) =>
      name === "url" && typeof value === "string" && value.startsWith("data:")
        ? value.replace(/,.*$/s, ",…")
        : name === "input_audio" && value?.data
          ? { ...value, data: "…" }
          : value,
    ),
  );

// The images and sounds that go with the next message.
export class Images {
  #chosen = [];
  #picker;
  #list;
  #onChange;

  constructor(picker, list, onChange) {
    this.#picker = picker;
    this.#list = list;
    this.#onChange = onChange;
    // Before the admin theme has it, which looks for fields of its own around a picker.
    const choose = (event) => {
      event.stopPropagation();
      this.#add([...picker.files]);
    };
    picker.parentElement.addEventListener("change", choose, { capture: true });
  }

  get urls() {
    return this.#chosen.map(({ url }) => url);
  }

  // Returns what is chosen; put gives it back.
  take() {
    const taken = this.#chosen;
    this.put([]);
    return taken;
  }

  put(chosen) {
    this.#chosen = chosen;
    this.#show();
  }

  async #add(files) {
    const found = await Promise.all(files.map(read));
    // The same file may be chosen again.
    this.#picker.value = "";
    this.put([...this.#chosen, ...found]);
  }

  #show() {
    this.#list.hidden = !this.#chosen.length;
    this.#list.replaceChildren(
      ...this.#chosen.map((each) => {
        const remove = button("Remove", () => {
          this.put(this.#chosen.filter((other) => other !== each));
          this.#picker.focus();
        });
        remove.setAttribute("aria-label", `Remove ${each.name}`);
        return element("li", {}, picture(each.url, each.name), remove);
      }),
    );
    this.#onChange();
  }
}
