import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { Output, generateText, streamText } from 'ai';
import { CAPITAL, KEY, MODEL, PERSON, Person, SERVER } from '../subjects.mjs';

// `.chat`, because without it this provider speaks OpenAI's other API.
const model = createOpenAI({ baseURL: `${SERVER}/v1`, apiKey: KEY }).chat(MODEL);
const result = streamText({ model, prompt: CAPITAL, temperature: 0 });
assert.match(await result.text, /Paris/);
assert.ok((await result.usage).outputTokens > 0);
const { output } = await generateText({
  model,
  prompt: PERSON,
  temperature: 0,
  output: Output.object({ schema: Person }),
});
assert.ok(Person.safeParse(output).success);
