import test from 'node:test';
import assert from 'node:assert/strict';
import { byChannel, countsOf, definition, inPlaces, shareable, shared, shows } from './filters.js';

const channel = (id, over = {}) => ({ id, guild: '1', name: 'c' + id, type: 0, parent: null, unread: 0, mentions: 0, muted: false, muted_until: null, ...over });
const state = {
  user: '7', rev: 1, ignored: [], guilds: { 1: { id: '1', roles: ['50'] }, 2: { id: '2', roles: [] } },
  channels: {
    10: channel('10', { parent: '90', unread: 3, mentions: 1 }), 11: channel('11', { parent: '91', unread: 5 }),
    15: channel('15', { parent: '10', type: 11, unread: 2 }), 20: channel('20', { guild: '2', unread: 7, muted: true, mentions: 2 }),
  },
};
const parents = new Map([['90', { parent: null }], ['91', { parent: null }]]);
const say = (over = {}) => ({ id: '1', channel: '10', guild: '1', author: { id: '8' }, content: 'high tide at noon', mentions: { u: [], r: [], e: false }, attachments: [], embeds: [], ...over });

test('a view is about servers, categories and channels with their threads', () => {
  const places = (v) => Object.values(state.channels).filter((c) => inPlaces(v, c, state, parents)).map((c) => c.id);
  assert.deepEqual(places({}), ['10', '11', '15', '20']);
  assert.deepEqual(places({ guilds: ['2'] }), ['20']);
  assert.deepEqual(places({ channels: ['10'] }), ['10', '15']);
  assert.deepEqual(places({ categories: ['90'] }), ['10', '15']);
  assert.deepEqual(places({ categories: ['91'], guilds: ['2'] }), ['11', '20']);
});

test('counts leave muted channels out, mentions do not', () => {
  assert.deepEqual(countsOf({}, state, parents), { unread: 10, mentions: 3 });
  assert.deepEqual(countsOf({ guilds: ['2'] }, state, parents), { unread: 0, mentions: 2 });
  assert.deepEqual(countsOf({ mentions_only: true }, state, parents), { unread: 3, mentions: 3 });
  assert.equal(byChannel({ unread_only: true, guilds: ['1'] }), true);
  assert.equal(byChannel({ has: ['file'] }), false);
});

test('what arrives is shown where all of a view holds', () => {
  const see = (v, m, words = []) => shows(v, m, state, parents, words);
  assert.equal(see({}, say()), true);
  assert.equal(see({}, say({ system: 'x' })), false);
  assert.equal(see({}, say({ channel: '99' })), false);
  assert.equal(see({ authors: ['9'] }, say()), false);
  assert.equal(see({ has: ['file', 'image'] }, say({ attachments: [{ type: 'image/png' }] })), true);
  assert.equal(see({ has: ['file', 'video'] }, say({ attachments: [{ type: 'image/png' }] })), false);
  assert.equal(see({ mentions_only: true }, say({ mentions: { u: [], r: ['50'], e: false } })), true);
  assert.equal(see({ mentions_only: true }, say({ author: { id: '7' }, mentions: { u: ['7'], r: [], e: false } })), false);
  assert.equal(see({ keywords_only: true }, say(), ['high tide']), true);
  assert.equal(see({ keywords_only: true }, say(), ['ide']), false);
});

test('a view that is shared comes back as it was, and nonsense as nothing', () => {
  const v = { id: '3', name: 'Häfen ⚓', guilds: ['1'], channels: [], has: ['file'], unread_only: true, feed: true, unread: 4 };
  assert.deepEqual(definition(shared(shareable(v))), { name: 'Häfen ⚓', guilds: ['1'], has: ['file'], unread_only: true });
  assert.equal(shared('%%%'), null);
  assert.equal(shared(''), null);
  const odd = shared(btoa(JSON.stringify({ name: 5, guilds: ['<b>', 4, '12'], has: ['wings', 'constructor'], mentions_only: 'yes' })));
  assert.deepEqual(definition(odd), { name: '5', guilds: ['12'] });
});
