import test from 'node:test';
import assert from 'node:assert/strict';
import { Live, delay } from './live.js';

class Socket {
  static all = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, readyState: 1, sent: [], closedWith: null });
    Socket.all.push(this);
  }
  send(s) { this.sent.push(JSON.parse(s)); }
  close(code) { this.closedWith = code; this.readyState = 3; }
  say(...frames) { this.onmessage({ data: frames.map((f) => JSON.stringify(f)).join('\n') }); }
  drop(code = 1006, reason = '') { this.readyState = 3; this.onclose({ code, reason }); }
}

// clock stands in for the timers and returns what moves it. Those of node's own test runner differ from version to version.
function clock(t) {
  const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  t.after(() => Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval }));
  let now = 0;
  let last = 0;
  const due = new Map();
  const add = (run, ms, every) => { due.set(++last, { at: now + ms, run, every }); return last; };
  globalThis.setTimeout = (run, ms = 0) => add(run, ms, 0);
  globalThis.setInterval = (run, ms) => add(run, ms, ms);
  globalThis.clearTimeout = globalThis.clearInterval = (id) => { due.delete(id); };
  return (ms) => {
    const end = now + ms;
    for (;;) {
      const [next] = [...due].filter(([, d]) => d.at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b);
      if (!next) break;
      const [id, d] = next;
      now = d.at;
      if (d.every) d.at += d.every; else due.delete(id);
      d.run();
    }
    now = end;
  };
}

function setup(t) {
  const tick = clock(t);
  Socket.all = [];
  const seen = { frames: [], status: [], polls: 0 };
  const live = new Live({ url: 'ws://x/api/live', socket: Socket, random: () => 1 },
    { onFrame: (f) => seen.frames.push(f), onStatus: (s) => seen.status.push(s), poll: async () => { seen.polls++; } });
  live.start();
  return { live, seen, tick };
}
const hello = { op: 'hello', session: 's', user: '7', heartbeat_ms: 1000, resumed: false, cursor: 'c1' };

test('several frames of one message are handed on in order', (t) => {
  const { seen } = setup(t);
  assert.deepEqual(Socket.all[0].protocols, ['tidings.v1']);
  Socket.all[0].say(hello, { op: 'snapshot', unread: {} }, { op: 'delta', c: '1' });
  assert.deepEqual(seen.frames.map((f) => f.op), ['hello', 'snapshot', 'delta']);
  assert.equal(seen.status.at(-1), 'live');
});

test('what stays watched is never let go in between', (t) => {
  const { live } = setup(t), ws = Socket.all[0];
  ws.say(hello);
  live.watch(['5']);
  live.watch(['5', '6']);
  live.watch('all');
  live.watch('all');
  live.watch(['6']);
  live.watch(['7']);
  live.watch(null);
  assert.deepEqual(ws.sent.filter((f) => f.op.endsWith('watch')), [
    { op: 'watch', channels: ['5'] }, { op: 'watch', channels: ['6'] }, { op: 'watch', all: true }, { op: 'unwatch', channels: ['5', '6'] },
    { op: 'unwatch', all: true }, { op: 'watch', channels: ['6'] }, { op: 'watch', channels: ['7'] }, { op: 'unwatch', channels: ['6'] }, { op: 'unwatch', channels: ['7'] },
  ]);
});

test('after a break it comes back with its cursor and watches again', (t) => {
  const { live, tick } = setup(t);
  Socket.all[0].say(hello);
  live.watch(['5']);
  Socket.all[0].say({ op: 'pong', cursor: 'c2' });
  Socket.all[0].drop();
  tick(500);
  assert.equal(Socket.all.length, 2);
  assert.equal(Socket.all[1].url, 'ws://x/api/live?cursor=c2');
  Socket.all[1].say(hello);
  assert.deepEqual(Socket.all[1].sent, [{ op: 'watch', channels: ['5'] }]);
});

test('the server says when to come back', (t) => {
  const { tick } = setup(t);
  Socket.all[0].say(hello);
  Socket.all[0].drop(1012, 'retry_ms=4000');
  tick(3999);
  assert.equal(Socket.all.length, 1);
  tick(1);
  assert.equal(Socket.all.length, 2);
});

test('a session that has ended is not tried again', (t) => {
  const { seen, tick } = setup(t);
  Socket.all[0].drop(4003);
  tick(120_000);
  assert.equal(Socket.all.length, 1);
  assert.equal(seen.status.at(-1), 'out');
});

test('without a socket it polls, and stops when the socket is back', (t) => {
  const { seen, tick } = setup(t);
  for (let i = 0; i < 3; i++) {
    Socket.all.at(-1).drop();
    if (i < 2) tick(2000);
  }
  assert.equal(seen.status.at(-1), 'polling');
  assert.equal(seen.polls, 1);
  tick(2000);
  Socket.all.at(-1).say(hello);
  const polls = seen.polls;
  tick(900);
  Socket.all.at(-1).say({ op: 'pong' });
  tick(900);
  assert.equal(seen.polls, polls);
  assert.equal(seen.status.at(-1), 'live');
});

test('it pings, and silence is a break', (t) => {
  const { tick } = setup(t);
  Socket.all[0].say(hello);
  tick(1000);
  assert.deepEqual(Socket.all[0].sent, [{ op: 'ping' }]);
  tick(1500);
  assert.equal(Socket.all[0].closedWith, 4000);
  tick(500);
  assert.equal(Socket.all.length, 2);
});

test('the delay doubles, has a bound, and is spread', () => {
  assert.equal(delay(1, '', () => 1), 500);
  assert.equal(delay(1, '', () => 0), 250);
  assert.equal(delay(3, '', () => 1), 2000);
  assert.equal(delay(99, '', () => 1), 30_000);
});

test('a connection that says nothing is given up long before its heartbeat', (t) => {
  const { seen, tick } = setup(t);
  tick(14_999);
  assert.equal(Socket.all.length, 1);
  tick(1 + 500);
  assert.equal(Socket.all.length, 2);
  assert.equal(Socket.all[0].closedWith, 4000);
  assert.equal(seen.status.at(-1), 'connecting');
});

test('who is looking is said once, and again on a new connection', (t) => {
  const { live, tick } = setup(t);
  Socket.all[0].say(hello);
  live.here(true);
  live.here(true);
  assert.deepEqual(Socket.all[0].sent, [{ op: 'here', on: true }]);
  Socket.all[0].drop();
  tick(500);
  Socket.all[1].say(hello);
  live.here(false);
  assert.deepEqual(Socket.all[1].sent, [{ op: 'here', on: true }, { op: 'here', on: false }]);
});

test('the frames of somebody else are not taken', (t) => {
  const { live, seen, tick } = setup(t);
  live.options.user = '7';
  Socket.all[0].say({ ...hello, user: '8' }, { op: 'snapshot', unread: {} });
  tick(120_000);
  assert.equal(seen.status.at(-1), 'out');
  assert.equal(Socket.all.length, 1);
  assert.deepEqual(seen.frames, []);
});

test('it asks at uneven times while it has no socket, and wakes at once', (t) => {
  const { live, seen, tick } = setup(t);
  let chance = 0;
  live.options.random = () => chance;
  for (const wait of [250, 500, 0]) {
    Socket.all.at(-1).drop();
    tick(wait);
  }
  assert.equal(seen.status.at(-1), 'polling');
  live.start(); // a socket that hangs
  assert.equal(seen.polls, 1);
  tick(15_000 * 0.75 - 1);
  assert.equal(seen.polls, 1);
  chance = 1;
  tick(1);
  assert.equal(seen.polls, 2);
  Socket.all.at(-1).drop();
  const before = Socket.all.length;
  live.wake();
  assert.equal(Socket.all.length, before + 1);
});
