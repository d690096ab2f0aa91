// One answer while it arrives: its parts, and what it took.

const S = 1000;

export class Answer {
  content = "";
  reasoning = "";
  calls = [];
  finishReason = null;
  usage = null;
  requestId = "";
  leftOut = "";
  isStopped = false;
  // Whether the model was loaded before its first token.
  isAfterLoad = false;
  #sentAt = performance.now();
  #firstAt = null;
  #lastAt = null;
  #pieces = 0;

  begin(headers) {
    this.requestId = headers.get("x-request-id") ?? "";
    this.leftOut = headers.get("x-llm-manager-left-out") ?? "";
  }

  take(chunk) {
    if (chunk.usage) this.usage = chunk.usage;
    const choice = chunk.choices[0];
    if (!choice) return;
    const { content, reasoning_content: thought, tool_calls: calls } = choice.delta;
    if (content) this.content += content;
    if (thought) this.reasoning += thought;
    for (const call of calls ?? []) this.#takeCall(call);
    if (content || thought || calls) this.#count();
    if (choice.finish_reason) this.finishReason = choice.finish_reason;
  }

  #takeCall({ index, id, function: { name, arguments: text } }) {
    const call = (this.calls[index] ??= { id, name, arguments: "" });
    call.arguments += text ?? "";
  }

  #count() {
    this.#lastAt = performance.now();
    this.#firstAt ??= this.#lastAt;
    this.#pieces += 1;
  }

  get isEmpty() {
    return !(this.content || this.reasoning || this.calls.length);
  }

  // Seconds to the first token, or null.
  get firstTokenS() {
    return this.#firstAt === null ? null : (this.#firstAt - this.#sentAt) / S;
  }

  // Tokens a second after the first one, by the engine's count; null without one.
  get tokensPerSecond() {
    const seconds = (this.#lastAt - this.#firstAt) / S;
    const tokens = (this.usage?.completion_tokens ?? 0) - 1;
    return tokens > 0 && seconds > 0 ? tokens / seconds : null;
  }

  // What the answer took, as names and texts.
  facts() {
    const found = [];
    const first = this.firstTokenS;
    if (first !== null) {
      const name = this.isAfterLoad ? "First token, with the load" : "First token";
      found.push([name, `${first.toFixed(2)} s`]);
    }
    if (this.tokensPerSecond !== null) {
      found.push(["Speed", `${this.tokensPerSecond.toFixed(1)} tokens/s`]);
    }
    if (this.usage) {
      const { prompt_tokens: prompt, completion_tokens: completion } = this.usage;
      const cached = this.usage.prompt_tokens_details?.cached_tokens ?? 0;
      const thought = this.usage.completion_tokens_details?.reasoning_tokens ?? 0;
      found.push(["Prompt", `${prompt} tokens, ${cached} cached`]);
      const thinking = thought ? `, ${thought} of them thinking` : "";
      found.push(["Completion", `${completion} tokens${thinking}`]);
    } else if (this.isStopped) {
      found.push(["Received", `${this.#pieces} pieces`]);
    }
    if (this.isStopped) found.push(["End", "stopped by you"]);
    else if (this.finishReason) found.push(["End", this.finishReason]);
    if (this.leftOut) found.push(["Left out", this.leftOut]);
    return found;
  }

  // The answer as a message of the conversation that goes on.
  message() {
    const message = { role: "assistant", content: this.content || null };
    if (this.reasoning) message.reasoning_content = this.reasoning;
    // A call that was cut off has no arguments that anyone can read.
    if (this.calls.length && this.finishReason) {
      message.tool_calls = this.calls.map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      }));
    } else {
      message.content = this.content;
    }
    return message;
  }
}
