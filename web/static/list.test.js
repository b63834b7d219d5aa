import test from 'node:test';
import assert from 'node:assert/strict';
import * as list from './list.js';

const m = (id, over = {}) => ({ id: String(id), author: { id: '8' }, ...over });
const ids = (l) => l.messages.map((x) => Number(x.id));
const of = (from, to, over = {}) => ({ ...list.none(), messages: Array.from({ length: to - from + 1 }, (_, i) => m(from + i)), ...over });

test('a message is put where its id says, or replaced there', () => {
  const l = of(10, 12);
  assert.deepEqual(ids(list.arrived(l, m(13))), [10, 11, 12, 13]);
  assert.deepEqual(ids(list.arrived(l, m(9))), [9, 10, 11, 12]);
  const edited = list.arrived(l, m(11, { content: 'x' }));
  assert.deepEqual(ids(edited), [10, 11, 12]);
  assert.equal(edited.messages[1].content, 'x');
});

test('what lies beyond the window is left to be fetched', () => {
  assert.deepEqual(ids(list.arrived(of(10, 12, { older: true }), m(9))), [10, 11, 12]);
  assert.deepEqual(ids(list.arrived(of(10, 12, { newer: true }), m(13))), [10, 11, 12]);
  assert.deepEqual(ids(list.arrived({ ...list.none(), newer: true }, m(13))), []);
});

test('the window stays small: what leaves at one end can be fetched again', () => {
  let l = list.grown(of(10, 19), 'older', of(4, 9).messages, 'c4', true, 12);
  assert.deepEqual(ids(l), [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  assert.deepEqual([l.older, l.olderCursor, l.newer, l.newerCursor], [true, 'c4', true, '']);
  l = list.grown(l, 'newer', of(16, 19).messages, '', false, 12);
  assert.deepEqual(ids(l), [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  assert.deepEqual([l.older, l.olderCursor, l.newer], [true, '', false]);
  l = list.arrived(l, m(20), true, 12);
  assert.deepEqual([ids(l)[0], ids(l).at(-1), l.messages.length, l.older], [9, 20, 12, true]);
});

test('who reads further up keeps what they read, however much comes', () => {
  let l = of(10, 13);
  for (let id = 14; id <= 400; id++) l = list.arrived(l, m(id), false, 6);
  assert.deepEqual(ids(l), [10, 11, 12, 13, 14, 15]);
  assert.deepEqual([l.older, l.newer, l.newerCursor], [false, true, '']);
});

test('pages that overlap make no doubles', () => {
  assert.deepEqual(ids(list.grown(of(10, 12), 'older', of(8, 11).messages, '', false)), [8, 9, 10, 11, 12]);
});

test('a year of pages in both directions shows every message once, in order', () => {
  const year = 3000, page = 50;
  let l = of(year - page + 1, year, { older: true });
  const seen = new Set(ids(l));
  while (l.older) {
    const first = ids(l)[0];
    l = list.grown(l, 'older', of(Math.max(1, first - page), first - 1).messages, '', first - page > 1);
    ids(l).forEach((id) => seen.add(id));
    assert.ok(l.messages.length <= list.most);
  }
  assert.equal(seen.size, year);
  while (l.newer) {
    const last = ids(l).at(-1);
    l = list.grown(l, 'newer', of(last + 1, Math.min(year, last + page)).messages, '', last + page < year);
    assert.deepEqual(ids(l), Array.from({ length: l.messages.length }, (_, i) => ids(l)[0] + i));
  }
  assert.equal(ids(l).at(-1), year);
});

test('a deleted message leaves, and its quotes with it', () => {
  const l = { ...of(10, 11), messages: [m(10), m(11, { reply: { id: '10', excerpt: 'secret', author: { name: 'a' } } })] };
  const after = list.without(l, ['10']);
  assert.deepEqual(ids(after), [11]);
  assert.deepEqual(after.messages[0].reply, { id: '10', excerpt: '', deleted: true });
  assert.equal(list.without(l, ['99']), l);
});
