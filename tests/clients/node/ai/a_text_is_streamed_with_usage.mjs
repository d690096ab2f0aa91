import assert from 'node:assert/strict';
import { streamText } from 'ai';
import { CAPITAL } from '../subjects.mjs';
import { model } from './client.mjs';

const result = streamText({ model, prompt: CAPITAL, temperature: 0 });
const pieces = [];
for await (const piece of result.textStream) pieces.push(piece);
assert.ok(pieces.length > 1);
assert.match(pieces.join(''), /Paris/);
assert.ok((await result.usage).outputTokens > 0);
