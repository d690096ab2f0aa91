import assert from 'node:assert/strict';
import { FOLDER_MODEL, MODEL } from '../subjects.mjs';
import { client } from './client.mjs';

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
assert.ok(ids.includes(MODEL));
assert.equal((await client.models.retrieve(FOLDER_MODEL)).id, FOLDER_MODEL);
