import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { EMBEDDER, KEY, MODEL, SERVER } from '../subjects.mjs';

export const server = createOpenAICompatible({
  name: 'llm-manager',
  baseURL: `${SERVER}/v1`,
  apiKey: KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
export const model = server(MODEL);
export const embedder = server.embeddingModel(EMBEDDER);
