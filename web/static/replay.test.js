// The socket's protocol against a model of the server: whatever a network and restarts may do to frames, the client ends with
// the counts that a recount gives.

import test from 'node:test';
import assert from 'node:assert/strict';
import { dropped, fromUnread, holes, merge, reduce, totals } from './state.js';

const me = '7', myRole = '50';

/** chance is a small generator of numbers, so that a seed repeats a run. */
function chance(seed) {
  let n = seed >>> 0;
  return () => {
    n = (n + 0x6d2b79f5) >>> 0;
    let t = Math.imul(n ^ (n >>> 15), n | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Server is what the truth is: channels with messages, positions, versions, and the frames that tell of changes. */
class Server {
  constructor(random, channels) {
    this.random = random;
    this.rev = 1;
    this.next = 1000;
    this.ignored = [];
    this.channels = Object.fromEntries(channels.map((id) => [id, { id, v: 1, read: 1000, live: new Map() }]));
  }

  pick(list) { return list[Math.floor(this.random() * list.length)]; }
  mentions() {
    const r = this.random();
    return { u: r < 0.1 ? [me] : [], r: r > 0.9 ? [myRole] : [], e: r > 0.5 && r < 0.52 };
  }
  mine(m) { return m.u.includes(me) || m.r.includes(myRole) || m.e; }
  count(c) {
    let unread = 0, mentions = 0, first = null, last = null;
    for (const [id, m] of [...c.live].sort((a, b) => a[0] - b[0])) {
      last = String(id);
      if (id <= c.read || m.a === me || this.ignored.includes(m.a)) continue;
      unread++;
      if (this.mine(m.m)) mentions++;
      first ??= String(id);
    }
    return { unread, mentions, first_unread: first, read_id: String(c.read), last_id: last };
  }
  counted(c) { return { op: 'count', c: c.id, v: c.v, ...this.count(c) }; }
  whole() {
    return { rev: this.rev, ignored: this.ignored, guilds: [{ id: '1', name: 'g', icon: '', roles: [myRole],
      channels: Object.values(this.channels).map((c) => ({ id: c.id, name: c.id, type: 0, parent: null, version: c.v, muted: false, muted_until: null, complete_since: null, ...this.count(c) })) }] };
  }
  delta(c, over) { return { op: 'delta', c: c.id, g: '1', v: ++c.v, ...over }; }

  /** act changes something and returns the frame that tells of it. */
  act() {
    const c = this.pick(Object.values(this.channels)), r = this.random(), live = [...c.live.keys()];
    if (r < 0.55 || live.length === 0) {
      const id = this.next++, m = { a: this.pick([me, '8', '9', '10']), m: this.mentions() };
      c.live.set(id, m);
      return this.delta(c, { k: 'create', id: String(id), a: m.a, n: 1, m: m.m });
    }
    if (r < 0.7) {
      const id = this.pick(live), m = c.live.get(id);
      c.live.delete(id);
      return this.delta(c, { k: 'delete', id: String(id), a: m.a, n: -1, m: m.m });
    }
    if (r < 0.75) {
      const ids = live.filter(() => this.random() < 0.3).map((id) => [String(id), c.live.get(id).a, c.live.get(id).m]);
      ids.forEach(([id]) => c.live.delete(Number(id)));
      return this.delta(c, { k: 'delete', n: -1, ids });
    }
    if (r < 0.85) {
      const id = this.pick(live), m = c.live.get(id), m0 = m.m;
      m.m = this.mentions();
      return this.delta(c, { k: 'update', id: String(id), a: m.a, n: 0, m: m.m, m0 });
    }
    if (r < 0.88) {
      c.live.delete(this.pick(live));
      return this.delta(c, { k: 'reset' });
    }
    if (r < 0.97) {
      c.read = this.pick([...live, this.next - 1]);
      this.rev++;
      return { op: 'read', rev: this.rev, channels: [{ c: c.id, v: c.v, ...this.count(c) }] };
    }
    this.ignored = this.ignored.length ? [] : ['9'];
    this.rev++;
    return { op: 'read', rev: this.rev, ignored: this.ignored, muted: {}, channels: Object.values(this.channels).map((x) => ({ c: x.id, v: x.v, ...this.count(x) })) };
  }
}

/** run lets a server and a client live through some thousand frames over a bad line and returns both. */
function run(seed, { lose, repeat, reorder, breaks }) {
  const random = chance(seed), server = new Server(random, ['10', '11', '12', '13']);
  let state = fromUnread(me, server.whole());
  /** @type {any[]} */
  let line = [], asked = [];
  const take = (step) => {
    state = step.state;
    asked.push(...step.sync);
    if (step.refetch) state = merge(state, server.whole()).state;
  };
  for (let i = 0; i < 3000; i++) {
    line.push(server.act());
    // Deltas carry versions and reads carry revs, by which a client puts them in order; an answer to sync has neither an
    // order of its own nor a way to come twice.
    const at = Math.floor(random() * line.length), may = line[at]?.op !== 'count';
    if (random() < lose) line.splice(at, 1);
    else if (may && random() < repeat) line.push(line[at]);
    else if (may && random() < reorder) line.push(...line.splice(at, 1));
    while (line.length > 5 * random()) take(reduce(state, line.shift()));
    // Answers to sync come late, and the truth has moved on by then.
    if (asked.length && random() < 0.5) line.push(...asked.splice(0).map((c) => server.counted(server.channels[c])));
    if (random() < breaks) { // a new connection: what was under way is gone
      line = [];
      asked = [];
      state = dropped(state);
      if (random() < 0.5) take(reduce(state, { op: 'snapshot', unread: server.whole() }));
      else asked.push(...holes(state));
    }
    if (random() < 0.01) take(merge(state, server.whole())); // somebody fetched the whole meanwhile
  }
  return { server, take, settle: () => {
    for (let i = 0; i < 20 && (line.length || asked.length); i++) {
      while (line.length) take(reduce(state, line.shift()));
      line.push(...asked.splice(0).map((c) => server.counted(server.channels[c])));
    }
    return state;
  } };
}

function agree(state, server, seed) {
  for (const c of Object.values(server.channels)) {
    const { unread, mentions, read_id } = state.channels[c.id], want = server.count(c);
    assert.deepEqual({ unread, mentions, read_id }, { unread: want.unread, mentions: want.mentions, read_id: want.read_id }, `channel ${c.id}, seed ${seed}`);
  }
  assert.equal(totals(state).unread, Object.values(server.channels).reduce((n, c) => n + server.count(c).unread, 0));
}

const good = { lose: 0, repeat: 0, reorder: 0, breaks: 0 };

test('over a good line nothing has to be asked for but what the server leaves open', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const r = run(seed, good);
    agree(r.settle(), r.server, seed);
  }
});

test('repeats and reorder change nothing', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const r = run(seed, { ...good, repeat: 0.1, reorder: 0.1 });
    agree(r.settle(), r.server, seed);
  }
});

test('after losses and breaks a snapshot, or the answers to sync, make it right', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const r = run(seed, { lose: 0.05, repeat: 0.05, reorder: 0.05, breaks: 0.01 });
    const state = r.settle();
    agree(reduce(state, { op: 'snapshot', unread: r.server.whole() }).state, r.server, seed);
  }
});
