import assert from 'node:assert/strict';
import { streamText, tool } from 'ai';
import { Place, WEATHER } from '../subjects.mjs';
import { model } from './client.mjs';

const result = streamText({
  model,
  prompt: WEATHER,
  temperature: 0,
  tools: { get_weather: tool({ inputSchema: Place }) },
  toolChoice: { type: 'tool', toolName: 'get_weather' },
});
const [call] = await result.toolCalls;
assert.equal(call.toolName, 'get_weather');
assert.ok(Place.safeParse(call.input).success);
