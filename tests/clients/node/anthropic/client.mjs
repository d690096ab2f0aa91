import Anthropic from '@anthropic-ai/sdk';
import { KEY, SERVER } from '../subjects.mjs';

export const client = new Anthropic({ baseURL: SERVER, apiKey: KEY });
export const GET_WEATHER = {
  name: 'get_weather',
  description: 'Tells the weather of a city.',
  input_schema: {
    type: 'object',
    properties: { city: { enum: ['Paris', 'London'] } },
    required: ['city'],
    additionalProperties: false,
  },
};
