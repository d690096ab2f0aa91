import assert from 'node:assert/strict';
import { FOLDER_MODEL, MODEL } from '../subjects.mjs';
import { client } from './client.mjs';

const ids = [];
for await (const model of client.models.list({ limit: 1 })) ids.push(model.id);
assert.ok(ids.includes(MODEL) && ids.includes(FOLDER_MODEL));
assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
