import assert from 'node:assert/strict';
import { generateText, isStepCount, tool } from 'ai';
import { Place, WEATHER } from '../subjects.mjs';
import { model } from './client.mjs';

const cities = [];
const { steps, text } = await generateText({
  model,
  prompt: WEATHER,
  temperature: 0,
  maxOutputTokens: 64,
  tools: {
    get_weather: tool({
      description: 'Tells the weather of a city.',
      inputSchema: Place,
      execute: async ({ city }) => {
        cities.push(city);
        return 'It is sunny.';
      },
    }),
  },
  // Only the first step has to call.
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
  stopWhen: isStepCount(2),
});
assert.ok(cities.length >= 1);
assert.equal(steps.length, 2);
assert.equal(steps[0].finishReason, 'tool-calls');
assert.ok(text);
