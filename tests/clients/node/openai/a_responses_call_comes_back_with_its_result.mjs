import assert from 'node:assert/strict';
import { zodResponsesFunction } from 'openai/helpers/zod';
import { MODEL, Place, WEATHER, said } from '../subjects.mjs';
import { client } from './client.mjs';

const asked = {
  model: MODEL,
  temperature: 0,
  max_output_tokens: 64,
  tools: [zodResponsesFunction({ name: 'get_weather', parameters: Place })],
};
const first = await client.responses.parse({
  ...asked,
  input: said(WEATHER),
  tool_choice: { type: 'function', name: 'get_weather' },
  parallel_tool_calls: false,
});
const [call] = first.output.filter((item) => item.type === 'function_call');
assert.ok(Place.safeParse(call.parsed_arguments).success);
const second = await client.responses.create({
  ...asked,
  tool_choice: 'none',
  previous_response_id: first.id,
  input: [{ type: 'function_call_output', call_id: call.call_id, output: 'It is sunny.' }],
});
assert.ok(second.output_text);
