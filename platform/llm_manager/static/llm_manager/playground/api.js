// Requests to the API under the session of who is signed in: the cookie goes by itself,
// the CSRF token beside it says that this page asks.

const BASE = "/v1";

// An error of the API, or of the way to it: a sentence, and its code.
export class ApiError extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

const headers = () => {
  // Read each time: signing in again in another tab makes a new one.
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";
  return { "Content-Type": "application/json", "X-CSRFToken": token };
};

const errorOf = ({ message, code }, status) => new ApiError(message, code, status);

const refusal = async (response) => {
  const text = await response.text();
  try {
    return errorOf(JSON.parse(text).error, response.status);
  } catch {
    // A proxy in between has words of its own.
    return new ApiError(`The server answered ${response.status}.`, null, response.status);
  }
};

const send = async (path, options) => {
  let response;
  try {
    response = await fetch(BASE + path, {
      credentials: "same-origin",
      cache: "no-store",
      headers: headers(),
      ...options,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it running?", "not_connected");
  }
  if (!response.ok) throw await refusal(response);
  return response;
};

const post = (path, body, signal) =>
  send(path, { method: "POST", body: JSON.stringify(body), signal });

// Yields the payloads of a stream of server-sent events, to its end.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield part.slice("data: ".length);
    }
  }
}

export const models = async () => (await (await send("/models")).json()).data;

export const model = async (id) =>
  (await send(`/models/${id.split("/").map(encodeURIComponent).join("/")}`)).json();

export const renderedPrompt = async (body) =>
  (await (await post("/apply-template", body)).json()).prompt;

// Sends a chat. Calls onStart with the answer's headers, then onChunk with each chunk.
export const chat = async (body, { signal, onStart, onChunk }) => {
  const response = await post("/chat/completions", body, signal);
  onStart(response.headers);
  for await (const payload of events(response)) {
    if (payload === "[DONE]") return;
    const chunk = JSON.parse(payload);
    if (chunk.error) throw errorOf(chunk.error, null);
    onChunk(chunk);
  }
  throw new ApiError("The connection ended before the answer did.", "not_connected");
};
