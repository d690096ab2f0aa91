import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { Output, generateText, isStepCount, streamText, tool } from 'ai';
import { CAPITAL, KEY, MODEL, PERSON, Person, Place, SERVER, WEATHER } from '../subjects.mjs';

const model = createOpenAI({ baseURL: `${SERVER}/v1`, apiKey: KEY })(MODEL);
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
const { steps, text } = await generateText({
  model,
  prompt: WEATHER,
  temperature: 0,
  maxOutputTokens: 64,
  tools: { get_weather: tool({ inputSchema: Place, execute: async () => 'It is sunny.' }) },
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
  stopWhen: isStepCount(2),
});
assert.equal(steps[0].finishReason, 'tool-calls');
assert.ok(text);
