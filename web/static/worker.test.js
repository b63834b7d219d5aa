// The service worker's notifications, in a stand-in of the world that a browser gives it.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';

const source = 'const version = "v1";\n' + readFileSync(new URL('./worker.js', import.meta.url), 'utf8');
const origin = 'https://tidings.test';

class Page {
  constructor(path, over = {}) { Object.assign(this, { url: origin + path, focused: false, visibilityState: 'hidden', told: [], came: 0, gone: false, ...over }); }
  postMessage(m) { this.told.push(structuredClone(m)); }
  async focus() {
    if (this.gone) throw new TypeError('gone');
    this.came++;
    return this;
  }
}

/** worker runs it; do what it listens to by its name. */
function worker({ pages = [], answers = {}, subscription } = {}) {
  const heard = {}, shown = [], opened = [], asked = [], kept = new Map(), subscribed = [];
  const self = {
    addEventListener: (name, f) => { heard[name] = f; },
    clients: { matchAll: async () => pages, openWindow: async (url) => { opened.push(url); } },
    registration: {
      showNotification: async (title, o) => { shown.push({ title, ...structuredClone(o) }); },
      pushManager: { subscribe: async (o) => { subscribed.push(o); return subscription ?? { toJSON: () => ({ endpoint: 'https://push.test/new', keys: { p256dh: 'p', auth: 'a' } }) }; } },
    },
  };
  const cache = { match: async (k) => kept.get(k)?.clone(), put: async (k, v) => { kept.set(k, v); } };
  runInNewContext(source, {
    self, location: new URL(origin + '/worker.js'), caches: { open: async () => cache }, URL, Response, atob, Uint8Array,
    fetch: async (url, o) => {
      asked.push({ url, ...o });
      const a = answers[url];
      if (a instanceof Error) throw a;
      return { ok: Boolean(a), json: async () => a };
    },
  });
  const happens = async (name, e) => {
    const waits = [];
    heard[name]({ ...e, waitUntil: (p) => waits.push(p) });
    await Promise.all(waits);
  };
  return {
    shown, opened, asked, subscribed, happens,
    push: (data) => happens('push', { data: data === undefined ? null : { json: () => JSON.parse(data) } }),
    click: (data) => happens('notificationclick', { notification: { data, closed: 0, close() { this.closed++; } } }),
  };
}

const notice = (over = {}) => ({ tag: 'c5', title: 'Ingrid · #general', body: 'hello', url: '/c/5?at=10', channel: '5', ids: ['9', '10'], at: 1_700_000_000_000, ...over });

test('what is pushed is shown, of each channel the newest, and nothing twice', async () => {
  const w = worker();
  await w.push(JSON.stringify(notice()));
  assert.deepEqual(w.shown, [{ title: 'Ingrid · #general', body: 'hello', tag: 'c5', renotify: true, timestamp: 1_700_000_000_000,
    icon: '/static/v1/icon-192.png', badge: '/static/v1/icon-192.png', data: { url: '/c/5?at=10', channel: '5', id: '10' } }]);
  await w.push(JSON.stringify(notice())); // the push service repeats it
  await w.push(JSON.stringify(notice({ ids: ['9'] }))); // what came late
  await w.happens('message', { source: {}, data: { show: notice() } }); // and an open page brings it
  assert.equal(w.shown.length, 1);
  await w.push(JSON.stringify(notice({ ids: ['11'] })));
  await w.push(JSON.stringify(notice({ tag: 'c6', channel: '6', ids: ['10'] })));
  assert.deepEqual(w.shown.map((n) => n.data.channel + ' ' + n.data.id), ['5 10', '5 11', '6 10']);
});

test('two that come at once are shown one after the other, once', async () => {
  const w = worker();
  await Promise.all([w.push(JSON.stringify(notice())), w.happens('message', { source: {}, data: { show: notice() } }), w.push(JSON.stringify(notice({ ids: ['12'] })))]);
  assert.deepEqual(w.shown.map((n) => n.data.id), ['10', '12']);
});

test('nothing is shown to somebody who looks at a page', async () => {
  const w = worker({ pages: [new Page('/settings', { focused: true })] });
  await w.push(JSON.stringify(notice()));
  assert.equal(w.shown.length, 0);
});

test('a push that is empty or cannot be read says that there is something', async () => {
  for (const [why, data] of Object.entries({ nothing: undefined, 'no JSON': '<html>', null: 'null', number: '7', text: '"x"', list: '[]', 'no title': '{"body":"x"}', 'a title that is none': '{"title":{"a":1}}' })) {
    const w = worker();
    await w.push(data);
    assert.equal(w.shown.length, 1, why);
    assert.equal(w.shown[0].title, 'Tidings', why);
    assert.deepEqual(w.shown[0].data, { url: '/', channel: '', id: '' }, why);
  }
});

test('a hostile push is text, short, and leads nowhere but here', async () => {
  for (const url of ['javascript:alert(1)', 'https://evil.test/x', '//evil.test', '\\\\evil.test', 'http://[', 'data:text/html,x', { href: 'x' }, null]) {
    const w = worker();
    await w.push(JSON.stringify(notice({ url, title: 'T'.repeat(10_000), body: { toString: 'x' }, tag: ['x'], ids: { at: 'x' }, channel: '../x', at: 'soon' })));
    assert.equal(w.shown.length, 1, String(url));
    const [n] = w.shown;
    assert.deepEqual([n.title.length, n.body, n.tag, n.timestamp], [200, '', 'news', undefined]);
    assert.deepEqual(n.data, { url: '/', channel: '', id: '' });
    await w.click(n.data);
    assert.deepEqual(w.opened, ['/']);
    await w.click({ url, channel: '', id: '' }); // one that an older worker has left
    assert.deepEqual(w.opened, ['/', '/']);
  }
});

test('a click shows the message in the page that is looked at, or in a new one', async () => {
  const settings = new Page('/settings', { focused: true }), hidden = new Page('/'), seen = new Page('/c/7', { visibilityState: 'visible' });
  let w = worker({ pages: [settings, hidden, seen] });
  await w.click({ url: '/c/5?at=10', channel: '5', id: '10' });
  assert.deepEqual([seen.told, seen.came, hidden.came, settings.came, w.opened], [[{ open: { channel: '5', id: '10' } }], 1, 0, 0, []]);

  w = worker({ pages: [settings] });
  await w.click({ url: '/c/5?at=10', channel: '5', id: '10' });
  assert.deepEqual([settings.told, w.opened], [[], ['/c/5?at=10']]);

  const gone = new Page('/', { gone: true });
  w = worker({ pages: [gone] });
  await w.click({ url: '/c/5?at=10', channel: '5', id: '10' });
  assert.deepEqual([gone.told, w.opened], [[], ['/c/5?at=10']]);

  w = worker();
  await w.click(undefined);
  assert.deepEqual(w.opened, ['/']);

  const feed = new Page('/?filter=all');
  w = worker({ pages: [feed] });
  await w.click({ url: '/', channel: '', id: '' });
  assert.deepEqual([feed.told, feed.came, w.opened], [[], 1, []]);
});

test('another address is told to the service, as long as it tells this browser', async () => {
  const known = { push_key: 'BAA_-w', browsers: [{ id: 1, current: false, words: false }, { id: 2, current: true, words: true }] };
  const posts = (w) => w.asked.filter((r) => r.method === 'POST').map((r) => [r.url, JSON.parse(r.body)]);
  const took = [['/api/notifications/browsers', { endpoint: 'https://push.test/new', keys: { p256dh: 'p', auth: 'a' }, words: true }]];

  let w = worker({ answers: { '/api/notifications': known, '/api/notifications/browsers': {} } });
  await w.happens('pushsubscriptionchange', {});
  assert.deepEqual(posts(w), took);
  assert.deepEqual([w.subscribed.length, w.subscribed[0].userVisibleOnly, [...w.subscribed[0].applicationServerKey]], [1, true, [4, 0, 63, 251]]);

  w = worker({ answers: { '/api/notifications': known, '/api/notifications/browsers': {} } });
  await w.happens('pushsubscriptionchange', { newSubscription: { toJSON: () => ({ endpoint: 'https://push.test/new', keys: { p256dh: 'p', auth: 'a' } }) } });
  assert.deepEqual([posts(w), w.subscribed.length], [took, 0]); // the browser has subscribed already

  for (const [why, answer] of Object.entries({ 'signed out': null, 'ended there': { ...known, browsers: [] }, 'no push here': { ...known, push_key: '' }, away: new TypeError('failed to fetch') })) {
    w = worker({ answers: { '/api/notifications': answer } });
    await w.happens('pushsubscriptionchange', {});
    assert.deepEqual([posts(w), w.subscribed.length], [[], 0], why);
  }
});
