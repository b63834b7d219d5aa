import test from 'node:test';
import assert from 'node:assert/strict';
import { compare, fromUnread, reduce, merge, totals, dropped, holes } from './state.js';

const unread = (over = {}) => ({ rev: 1, guilds: [{ id: '1', name: 'g', icon: '', roles: ['50'], channels: [
  { id: '10', name: 'a', type: 0, parent: null, unread: 2, mentions: 1, first_unread: '101', read_id: '100', last_id: '102', version: 5, muted: false, complete_since: null, ...over },
  { id: '11', name: 'b', type: 0, parent: null, unread: 0, mentions: 0, first_unread: null, read_id: '100', last_id: '90', version: 1, muted: true, complete_since: null },
] }] });
const start = (over) => fromUnread('7', unread(over));
const none = { u: [], r: [], e: false };
const create = (v, id, over = {}) => ({ op: 'delta', c: '10', g: '1', v, k: 'create', id, a: '8', n: 1, m: none, ...over });
/** feed applies frames and returns the state with all that was asked. */
function feed(s, ...frames) {
  const sync = [];
  let refetch = false;
  for (const f of frames) {
    const r = reduce(s, f);
    s = r.state;
    sync.push(...r.sync);
    refetch ||= r.refetch;
  }
  return { s, c: s.channels['10'], sync, refetch };
}

test('ids are ordered by value, not by text', () => {
  assert.ok(compare('99', '100') < 0);
  assert.ok(compare('200', '100') > 0);
  assert.equal(compare('5', '5'), 0);
  assert.ok(compare(null, '1') < 0);
});

test('a create above the position counts once', () => {
  const { c, sync } = feed(start(), create(6, '103'), create(6, '103'), create(5, '102'));
  assert.equal(c.unread, 3);
  assert.equal(c.mentions, 1);
  assert.equal(c.version, 6);
  assert.equal(c.last_id, '103');
  assert.deepEqual(sync, []);
});

test('own messages, late arrivals below the position and uncountable ones do not count', () => {
  const { c } = feed(start(), create(6, '103', { a: '7' }), create(7, '99'), create(8, '104', { n: 0 }));
  assert.equal(c.unread, 2);
  assert.equal(c.version, 8);
});

test('a mention is by name, by role, or of everyone', () => {
  const { c } = feed(start(), create(6, '103', { m: { ...none, u: ['7'] } }), create(7, '104', { m: { ...none, r: ['50'] } }),
    create(8, '105', { m: { ...none, e: true } }), create(9, '106', { m: { u: ['9'], r: ['51'], e: false } }));
  assert.equal(c.mentions, 4);
  assert.equal(c.unread, 6);
});

test('a hole asks once, and the answer closes it', () => {
  let r = feed(start(), create(7, '104'), create(8, '105'));
  assert.deepEqual(r.sync, ['10']);
  assert.equal(r.c.unread, 2, 'nothing is guessed');
  r = feed(r.s, { op: 'count', c: '10', v: 8, unread: 5, mentions: 1, first_unread: '101', read_id: '100', last_id: '105' }, create(9, '106'));
  assert.deepEqual(r.sync, []);
  assert.equal(r.c.unread, 6);
  assert.equal(r.c.version, 9);
});

test('an answer that is older than what was heard asks again', () => {
  let r = feed(start(), create(7, '104'), create(9, '106'));
  r = feed(r.s, { op: 'count', c: '10', v: 8, unread: 5, mentions: 1, first_unread: '101', read_id: '100', last_id: '105' });
  assert.deepEqual(r.sync, ['10']);
  assert.equal(r.c.version, 8);
});

test('an answer that is older than what is known asks again and changes nothing', () => {
  const r = feed(start(), create(6, '103'), { op: 'read', rev: 2, channels: [{ c: '10', v: 5, read_id: '102', unread: 0, mentions: 0, first_unread: null }] });
  assert.deepEqual(r.sync, ['10']);
  assert.equal(r.c.unread, 3);
  assert.equal(r.s.rev, 2);
});

test('frames out of order end in the same counts', () => {
  let r = feed(start(), create(7, '104'), create(6, '103'));
  assert.deepEqual(r.sync, ['10']);
  r = feed(r.s, { op: 'count', c: '10', v: 7, unread: 4, mentions: 1, first_unread: '101', read_id: '100', last_id: '104' });
  assert.equal(r.c.unread, 4);
  assert.equal(r.c.asked, false);
});

test('a reset asks and counts nothing', () => {
  const r = feed(start(), { op: 'delta', c: '10', g: '1', v: 6, k: 'reset' }, create(7, '104'));
  assert.deepEqual(r.sync, ['10']);
  assert.equal(r.c.version, 5);
});

test('a delete mirrors a create', () => {
  const mine = { ...none, u: ['7'] };
  let r = feed(start(), create(6, '103', { m: mine }), { op: 'delta', c: '10', g: '1', v: 7, k: 'delete', id: '103', a: '8', n: -1, m: mine });
  assert.equal(r.c.unread, 2);
  assert.equal(r.c.mentions, 1);
  assert.deepEqual(r.sync, ['10'], 'the newest is gone: ask which is now');
  r = feed(start(), { op: 'delta', c: '10', g: '1', v: 6, k: 'delete', id: '99', a: '8', n: -1, m: none });
  assert.equal(r.c.unread, 2, 'read ones change nothing');
});

test('a bulk delete names what is gone', () => {
  const r = feed(start({ unread: 4, last_id: '110' }), { op: 'delta', c: '10', g: '1', v: 6, k: 'delete', n: -3,
    ids: [['103', '8', none], ['104', '7', none], ['99', '8', none]] });
  assert.equal(r.c.unread, 3);
});

test('an edit moves mentions and never unread', () => {
  const mine = { ...none, u: ['7'] };
  const r = feed(start(), { op: 'delta', c: '10', g: '1', v: 6, k: 'update', id: '102', a: '8', n: 0, m: mine, m0: none },
    { op: 'delta', c: '10', g: '1', v: 7, k: 'update', id: '101', a: '8', n: 0, m: none });
  assert.equal(r.c.mentions, 2);
  assert.equal(r.c.unread, 2);
  assert.equal(feed(r.s, { op: 'delta', c: '10', g: '1', v: 8, k: 'update', id: '102', a: '8', n: 0, m: none, m0: mine }).c.mentions, 1);
});

test('a read frame takes over the counts, also when it is ahead', () => {
  const r = feed(start(), { op: 'read', rev: 3, channels: [{ c: '10', v: 8, read_id: '110', unread: 0, mentions: 0, first_unread: null }] }, create(7, '104'));
  assert.equal(r.c.unread, 0);
  assert.equal(r.c.version, 8);
  assert.equal(r.s.rev, 3);
  assert.deepEqual(r.sync, []);
});

test('an unknown channel fetches the whole', () => {
  assert.equal(feed(start(), { ...create(1, '5'), c: '99' }).refetch, true);
});

test('lost channels vanish at once, new roles apply at once', () => {
  const r = feed(start(), { op: 'access', epoch: 2, gained: [], lost: ['11'], roles: { 1: ['60'] } });
  assert.equal(r.s.channels['11'], undefined);
  assert.deepEqual(r.s.guilds['1'].roles, ['60']);
  assert.equal(r.refetch, true);
  assert.equal(feed(r.s, create(6, '103', { m: { ...none, r: ['60'] } })).c.mentions, 2);
});

test('a fetched whole does not undo newer frames', () => {
  const { s } = feed(start(), create(6, '103'));
  let r = merge(s, unread());
  assert.equal(r.state.channels['10'].unread, 3);
  assert.deepEqual(r.sync, ['10']);
  r = merge(s, unread({ version: 9, unread: 6 }));
  assert.equal(r.state.channels['10'].unread, 6);
  assert.deepEqual(r.sync, []);
});

test('a snapshot replaces everything, a broken connection forgets what it asked', () => {
  let r = feed(start(), create(9, '105'));
  assert.deepEqual(holes(r.s), []);
  assert.deepEqual(holes(dropped(r.s)), ['10']);
  r = feed(r.s, { op: 'snapshot', unread: unread({ unread: 9, version: 20 }) });
  assert.equal(r.c.unread, 9);
  assert.equal(r.c.asked, false);
});

test('totals leave muted channels out, mentions do not', () => {
  const s = fromUnread('7', { ...unread(), guilds: [{ ...unread().guilds[0], channels: unread().guilds[0].channels.map((c) => ({ ...c, unread: 3, mentions: 1 })) }] });
  assert.deepEqual(totals(s), { unread: 3, mentions: 2 });
});

test('recovered messages are told until the channel is read', () => {
  let r = feed(start(), { op: 'recovered', c: '10', from: '50', to: '60', n: 4 });
  assert.equal(r.c.recovered, 4);
  r = feed(r.s, { op: 'read', rev: 3, channels: [{ c: '10', v: 5, read_id: '110', unread: 0, mentions: 0, first_unread: null }] });
  assert.equal(r.c.recovered, 0);
});

test('random orders with repeats and losses end in the truth once syncs are answered', () => {
  let seed = 42;
  const rand = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  for (let round = 0; round < 300; round++) {
    let truth = 2, v = 5;
    const frames = [];
    for (let i = 0; i < 30; i++) {
      if (truth > 0 && rand(3) === 0) {
        truth--;
        frames.push({ op: 'delta', c: '10', g: '1', v: ++v, k: 'delete', id: '500', a: '8', n: -1, m: none });
      } else {
        truth++;
        frames.push(create(++v, String(200 + i)));
      }
    }
    for (let i = 0; i < 20; i++) {
      const at = rand(frames.length), f = frames[at];
      if (rand(2)) frames.splice(at, 1);
      frames.splice(rand(frames.length + 1), 0, ...(rand(3) ? [f] : []));
    }
    // The last frame may be lost too; the hub's sweep then says reset.
    frames.push({ op: 'delta', c: '10', g: '1', v, k: 'reset' });
    let r = feed(start(), ...frames);
    if (r.c.version !== v) {
      assert.ok(r.sync.length > 0, `round ${round}: a hole was not noticed`);
      r = feed(r.s, { op: 'count', c: '10', v, unread: truth, mentions: 1, first_unread: '101', read_id: '100', last_id: '300' });
    }
    assert.equal(r.c.unread, truth, `round ${round}`);
    assert.equal(r.c.version, v);
  }
});

test('ignored authors count for nothing, and whoever is ignored or muted may change', () => {
  const s = fromUnread('7', { ...unread(), ignored: ['66'] });
  let r = feed(s, create(6, '200', { a: '66', m: { u: ['7'], r: [], e: false } }));
  assert.deepEqual([r.c.unread, r.c.mentions, r.c.version], [2, 1, 6]);
  assert.deepEqual(totals(r.s, 0), { unread: 2, mentions: 1 });
  const all = [{ c: '10', v: 6, read_id: '100', unread: 3, mentions: 2, first_unread: '101' }, { c: '11', v: 1, read_id: '90', unread: 4, mentions: 0, first_unread: '91' }];
  r = feed(r.s, { op: 'read', rev: 2, channels: all, ignored: ['8'], muted: { 10: '2030-01-01T00:00:00Z' } });
  assert.deepEqual(totals(r.s, Date.parse('2029-01-01')), { unread: 4, mentions: 2 });
  assert.deepEqual(totals(r.s, Date.parse('2030-01-01')), { unread: 7, mentions: 2 });
  r = feed(r.s, create(7, '201'), create(8, '202', { a: '66' }));
  assert.equal(r.c.unread, 4);
});

test('what the person suppresses does not mention them', () => {
  const quiet = fromUnread('7', { ...unread(), guilds: [{ ...unread().guilds[0], suppress_everyone: true, suppress_roles: false }] });
  let r = feed(quiet, create(6, '200', { m: { ...none, e: true } }), create(7, '201', { m: { ...none, r: ['50'] } }));
  assert.equal(r.c.mentions, 2);
  const all = [{ c: '10', v: 7, read_id: '100', unread: 4, mentions: 1, first_unread: '101' }];
  r = feed(r.s, { op: 'read', rev: 2, channels: all, ignored: [], muted: {}, suppressed: { 1: { suppress_everyone: false, suppress_roles: true } } });
  r = feed(r.s, create(8, '202', { m: { ...none, r: ['50'] } }), create(9, '203', { m: { ...none, e: true } }), create(10, '204', { m: { ...none, u: ['7'], r: ['50'] } }));
  assert.equal(r.c.mentions, 3);
  r = feed(r.s, { op: 'read', rev: 3, channels: [], ignored: [], muted: {}, suppressed: {} }, create(11, '205', { m: { ...none, r: ['50'] } }));
  assert.equal(r.c.mentions, 4);
});
