import assert from 'node:assert/strict';
import { Output, generateText, streamText } from 'ai';
import { PERSON, Person } from '../subjects.mjs';
import { model } from './client.mjs';

const asked = { model, prompt: PERSON, temperature: 0, output: Output.object({ schema: Person }) };
const { output } = await generateText(asked);
assert.ok(Person.safeParse(output).success);

const parts = [];
const streamed = streamText(asked);
for await (const part of streamed.partialOutputStream) parts.push(part);
assert.ok(Person.safeParse(parts.at(-1)).success);
