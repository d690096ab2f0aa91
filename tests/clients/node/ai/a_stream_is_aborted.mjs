import assert from 'node:assert/strict';
import { streamText } from 'ai';
import { STORY } from '../subjects.mjs';
import { model } from './client.mjs';

const controller = new AbortController();
let aborted = false;
const result = streamText({
  model,
  prompt: STORY,
  maxOutputTokens: 1800,
  abortSignal: controller.signal,
  onAbort: () => {
    aborted = true;
  },
});
for await (const piece of result.textStream) {
  if (piece) controller.abort();
}
assert.ok(aborted);
