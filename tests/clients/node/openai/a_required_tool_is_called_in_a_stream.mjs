import assert from 'node:assert/strict';
import { zodFunction } from 'openai/helpers/zod';
import { MODEL, Place, WEATHER, said } from '../subjects.mjs';
import { client } from './client.mjs';

const runner = client.chat.completions.stream({
  model: MODEL,
  messages: said(WEATHER),
  tools: [zodFunction({ name: 'get_weather', parameters: Place })],
  tool_choice: 'required',
  parallel_tool_calls: false,
  temperature: 0,
});
const [call] = (await runner.finalMessage()).tool_calls;
assert.equal(call.function.name, 'get_weather');
assert.ok(Place.safeParse(call.function.parsed_arguments).success);
