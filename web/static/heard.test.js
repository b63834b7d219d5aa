import test from 'node:test';
import assert from 'node:assert/strict';
import { Gone, Heard } from './heard.js';

test('a list lacks what it was not told of, until it was or is fetched', () => {
  const h = new Heard();
  assert.equal(h.lacks('5', 0), true); // nothing was fetched yet
  h.fetched('5', 10);
  assert.equal(h.lacks('5', 10), false);
  assert.equal(h.heard('5', 11), true);
  assert.equal(h.lacks('5', 11), false);
  // 12 came as a delta alone: its message went to nobody.
  assert.equal(h.heard('5', 13), true);
  assert.equal(h.lacks('5', 12), true);
  assert.equal(h.lacks('5', 13), true);
  assert.equal(h.heard('5', 12), true);
  assert.equal(h.lacks('5', 13), false);
  h.heard('5', 16);
  h.fetched('5', 15);
  assert.equal(h.lacks('5', 16), false);
  h.fetched('5', 3); // an older answer takes nothing back
  assert.equal(h.lacks('5', 16), false);
});

test('what a resumed connection repeats is no news', () => {
  const h = new Heard();
  h.fetched('5', 10);
  assert.equal(h.heard('5', 10), false);
  assert.equal(h.heard('5', 12), true);
  assert.equal(h.heard('5', 12), false);
  assert.equal(h.heard('5', 11), true);
  assert.equal(h.heard('5', 12), false);
});

test('a hole that never closes costs no more than so much', () => {
  const h = new Heard();
  h.fetched('5', 0);
  for (let v = 2; v < 100_000; v++) h.heard('5', v);
  assert.ok((h.beyond.get('5')?.size ?? 0) <= 300);
  assert.equal(h.lacks('5', 99_999), true);
  h.fetched('5', 99_999);
  assert.equal(h.lacks('5', 99_999), false);
  assert.equal(h.beyond.size, 0);
});

test('what was deleted is remembered, the last of it', () => {
  const g = new Gone();
  for (let n = 0; n < 5000; n++) g.add([String(n)]);
  assert.equal(g.has('4999'), true);
  assert.equal(g.has('3000'), true);
  assert.equal(g.has('5'), false);
});
