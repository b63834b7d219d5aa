import test from 'node:test';
import assert from 'node:assert/strict';
import { Tabs } from './tabs.js';
import { Link } from './link.js';
import { Problem, Unread } from './unread.js';
import { adopt, fromUnread } from './state.js';

const unread = (version, n, rev = 1, more = {}) => ({ rev, ignored: [], guilds: [{ id: '9', name: 'G', icon: '', roles: [], channels: [
  { id: '5', name: 'a', type: 0, parent: null, unread: n, mentions: 0, first_unread: null, read_id: '10', last_id: '20', version, muted: false, muted_until: null, complete_since: null, ...more }] }] });
const hello = { op: 'hello', user: '7', heartbeat_ms: 1000, resumed: false, cursor: 'c1' };
const create = (v, id) => ({ op: 'delta', c: '5', g: '9', v, k: 'create', id, a: '8', n: 1, m: { u: [], r: [], e: false } });

// FakeLive is a connection of which only the outside is looked at.
class FakeLive {
  static all = [];
  constructor(handlers) {
    Object.assign(this, { handlers, started: false, stopped: false, watched: [], synced: [], looked: [], sent: [], woken: 0 });
    FakeLive.all.push(this);
  }
  start() { this.started = true; }
  stop() { this.stopped = true; }
  wake() { this.woken++; }
  watch(w) { this.watched.push(w); }
  sync(c) { if (c.length) this.synced.push(c); }
  here(on) { this.looked.push(on); }
  send(f) { this.sent.push(f); }
}

function setup(answers = []) {
  FakeLive.all = [];
  const tabs = new Tabs({ url: 'ws://x', user: '7', live: (h) => new FakeLive(h), unread: { fetch: async () => {
    const a = answers.shift();
    if (a instanceof Error) throw a;
    return a;
  } } });
  const heard = { a: [], b: [], c: [] };
  return { tabs, heard, join: (id) => tabs.join(id, (m) => heard[id].push(m)), live: () => FakeLive.all.at(-1) };
}

test('tabs share one connection, and one that opens later has the state at once', () => {
  const { tabs, heard, join, live } = setup();
  join('a');
  assert.equal(FakeLive.all.length, 1);
  assert.ok(live().started);
  assert.deepEqual(heard.a, [{ joined: true, status: 'connecting', state: null }]);
  live().handlers.onStatus('live');
  for (const f of [hello, { op: 'snapshot', unread: unread(3, 4) }, create(4, '30')]) live().handlers.onFrame(f);
  join('b');
  assert.equal(FakeLive.all.length, 1);
  assert.equal(heard.b[0].status, 'live');
  assert.equal(heard.b[0].state.channels['5'].unread, 5);
  live().handlers.onFrame(create(5, '31'));
  assert.deepEqual(heard.a.at(-1), { frame: create(5, '31') });
  assert.deepEqual(heard.b.at(-1), { frame: create(5, '31') });
  tabs.leave('a');
  assert.ok(!live().stopped);
  tabs.leave('b');
  assert.ok(FakeLive.all[0].stopped);
  join('c');
  assert.equal(heard.c[0].state, null); // nobody has kept it up to date
  assert.ok(live().started && live() !== FakeLive.all[0]);
});

test('what is watched is what any tab watches, and somebody looks when they look at any', () => {
  const { tabs, join, live } = setup();
  for (const id of ['a', 'b']) join(id);
  tabs.hear('a', { watch: ['5'] });
  tabs.hear('b', { watch: ['6', '5'] });
  tabs.hear('b', { watch: ['5', '6'] });
  tabs.hear('a', { watch: 'all' });
  tabs.leave('a');
  assert.deepEqual(live().watched, [['5'], ['5', '6'], 'all', ['5', '6']]);
  tabs.hear('b', { here: true });
  tabs.hear('b', { here: false });
  assert.deepEqual(live().looked.slice(-2), [true, false]);
  tabs.hear('b', { send: { op: 'read' } });
  tabs.hear('b', { wake: true });
  assert.deepEqual(live().sent, [{ op: 'read' }]);
  assert.equal(live().woken, 1);
  tabs.hear('stranger', { send: { op: 'x' } });
  assert.equal(live().sent.length, 1);
});

test('counts are asked for once for all tabs', () => {
  const { tabs, join, live } = setup();
  for (const id of ['a', 'b']) join(id);
  for (const f of [hello, { op: 'snapshot', unread: unread(3, 4) }, create(6, '30')]) live().handlers.onFrame(f); // a hole
  for (const id of ['a', 'b']) tabs.hear(id, { sync: ['5'] });
  assert.deepEqual(live().synced, [['5']]);
  live().handlers.onFrame({ op: 'count', c: '5', v: 6, unread: 6, mentions: 0, first_unread: null, read_id: '10', last_id: '30' });
  tabs.hear('a', { sync: ['5'] });
  assert.equal(live().synced.length, 2);
  live().handlers.onFrame({ ...hello, resumed: true }); // the answer will not come
  tabs.hear('b', { sync: ['5'] });
  assert.equal(live().synced.length, 3);
});

test('who is signed out is told in every tab; whoever opens a page later begins anew', () => {
  const { heard, join, live } = setup();
  for (const id of ['a', 'b']) join(id);
  for (const f of [hello, { op: 'snapshot', unread: unread(3, 4) }]) live().handlers.onFrame(f);
  live().handlers.onStatus('out', 'over');
  for (const id of ['a', 'b']) assert.deepEqual(heard[id].at(-1), { status: 'out', detail: 'over' });
  const before = heard.a.length;
  join('c');
  assert.equal(FakeLive.all.length, 2);
  assert.deepEqual(heard.c, [{ joined: true, status: 'connecting', state: null }]);
  live().handlers.onFrame(hello);
  assert.equal(heard.a.length, before);
});

test('polling is for all tabs, and tells only what is new', async () => {
  const { heard, join, live } = setup([{ unread: unread(4, 7), fresh: true }, { unread: null, fresh: false }, new Problem(0, 'away'), new Problem(401, 'no')]);
  for (const id of ['a', 'b']) join(id);
  await live().handlers.poll();
  assert.equal(heard.b.at(-1).unread.guilds[0].channels[0].unread, 7);
  join('c');
  assert.equal(heard.c[0].state.channels['5'].unread, 7);
  const n = heard.a.length;
  await live().handlers.poll();
  await live().handlers.poll();
  assert.equal(heard.a.length, n);
  await live().handlers.poll();
  assert.equal(heard.a.at(-1).status, 'out');
  assert.ok(live().stopped);
});

test('what has not changed is not sent twice', async () => {
  const asked = [];
  const answers = [
    { status: 200, ok: true, headers: new Map([['ETag', '"x"']]), json: async () => ({ rev: 1 }) },
    { status: 304, ok: false }, { status: 401, ok: false, json: async () => ({ detail: 'sign in' }) },
  ];
  const u = new Unread(async (_, init) => {
    asked.push(init.headers['If-None-Match']);
    if (!answers.length) throw new TypeError('no network');
    return answers.shift();
  });
  assert.deepEqual(await u.fetch(), { unread: { rev: 1 }, fresh: true });
  assert.deepEqual(await u.fetch(), { unread: { rev: 1 }, fresh: false });
  await assert.rejects(() => u.fetch(), (e) => e.status === 401 && e.message === 'sign in');
  await assert.rejects(() => u.fetch(), (e) => e.status === 0);
  assert.deepEqual(asked.slice(0, 2), [undefined, '"x"']);
});

test('of two states the newer channels stand, and what both know in part is asked for', () => {
  const at = (version, n, rev, more) => fromUnread('7', unread(version, n, rev, more));
  const one = (mine, other) => {
    const s = adopt(mine, other);
    return [s.state.channels['5'].unread, s.sync, s.state.rev, s.refetch];
  };
  assert.deepEqual(one(at(3, 1, 1), at(4, 2, 1)), [2, [], 1, false]);
  assert.deepEqual(one(at(4, 1, 1), at(3, 2, 1)), [1, [], 1, false]);
  assert.deepEqual(one(at(3, 1, 1), at(3, 0, 2)), [0, [], 2, false]); // read in another tab
  assert.deepEqual(one(at(3, 0, 2), at(3, 1, 1)), [0, [], 2, false]);
  assert.deepEqual(one(at(4, 5, 1), at(3, 0, 2)), [5, ['5'], 2, false]); // newer messages here, a newer mark there
  assert.equal(adopt(at(3, 1, 1), at(3, 1, 2, { muted: true })).state.channels['5'].muted, true);
  const gained = adopt(fromUnread('7', { rev: 1, guilds: [] }), at(3, 1, 1));
  assert.ok(gained.refetch && gained.state.channels['5'] && gained.state.guilds['9']);
});

function port() {
  return { said: [], closed: false, postMessage(m) { this.said.push(m); }, close() { this.closed = true; }, onmessage: null };
}

function linked(options = {}) {
  const p = port();
  const worker = { port: p, addEventListener: (_, f) => { worker.fail = f; } };
  FakeLive.all = [];
  const heard = [];
  const tell = (what) => (x) => heard.push([what, x]);
  const handlers = { onFrame: tell('frame'), onStatus: tell('status'), onState: tell('state'), onUnread: tell('unread'), poll: async () => {} };
  const link = new Link({ user: '7', url: 'ws://x', worker: () => worker, live: () => new FakeLive(handlers), ...options }, handlers);
  return { link, p, worker, heard };
}

test('a tab goes through the worker', async (t) => {
  t.mock.timers?.enable({ apis: ['setTimeout', 'setInterval'] });
  const { link, p, heard } = linked();
  link.watch(['5']);
  link.here(true);
  await link.start();
  assert.deepEqual(p.said.map((m) => Object.keys(m)[0]), ['join']);
  p.onmessage({ data: { joined: true, status: 'live', state: { x: 1 } } });
  assert.deepEqual(p.said.slice(1), [{ watch: ['5'] }, { here: true }]);
  p.onmessage({ data: { frame: { op: 'pong' } } });
  link.sync(['5']);
  link.wake();
  assert.deepEqual(p.said.slice(3), [{ sync: ['5'] }, { wake: true }]);
  assert.deepEqual(heard, [['state', { x: 1 }], ['status', 'live'], ['frame', { op: 'pong' }]]);
  link.pause();
  assert.deepEqual(p.said.at(-1), { leave: true });
  assert.ok(p.closed);
  link.resume();
  await Promise.resolve();
  assert.equal(Object.keys(p.said.at(-1))[0], 'join');
  p.onmessage({ data: { status: 'out' } });
  assert.deepEqual(heard.at(-1), ['status', 'out']);
  link.start();
  assert.deepEqual(p.said.at(-1), { leave: true });
  assert.equal(FakeLive.all.length, 0);
  link.stop();
});

test('without a worker a tab has a connection of its own', async (t) => {
  t.mock.timers?.enable({ apis: ['setTimeout', 'setInterval'] });
  for (const how of ['none', 'throws', 'fails', 'silent']) {
    const worker = { none: { worker: null }, throws: { worker: () => { throw new Error('no'); } } }[how] ?? {};
    const { link, worker: made } = linked(worker);
    link.watch(['5']);
    await link.start();
    if (how === 'fails') made.fail();
    if (how === 'silent') t.mock.timers.tick(10_000);
    assert.equal(FakeLive.all.length, 1, how);
    assert.ok(FakeLive.all[0].started, how);
    link.watch('all');
    assert.deepEqual(FakeLive.all[0].watched, [['5'], 'all'], how);
    link.wake();
    assert.equal(FakeLive.all[0].woken, 1);
    link.stop();
    assert.ok(FakeLive.all[0].stopped);
  }
});
