// The service worker: our own files from the cache, pages always from the service, and a page of ours when it cannot be
// reached; and notifications. Messages are never kept here. The server writes the version above.

/* global version */
const kept = 'tidings-' + version;

self.addEventListener('install', (e) => {
  e.waitUntil((async () => {
    const page = await fetch('/offline', { cache: 'no-store' });
    const text = await page.clone().text();
    const cache = await caches.open(kept);
    await cache.put('/offline', page);
    await cache.addAll([...new Set(text.match(/\/static\/[^"]+/g))]);
    await self.skipWaiting();
  })());
});

self.addEventListener('activate', (e) => {
  e.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith('tidings-') && name !== kept) await caches.delete(name);
  })());
});

self.addEventListener('fetch', (e) => {
  const url = new URL(e.request.url);
  if (e.request.method !== 'GET' || url.origin !== location.origin) return;
  if (e.request.mode === 'navigate') {
    e.respondWith(fetch(e.request).catch(async () => (await caches.match('/offline')) ?? Response.error()));
  } else if (url.pathname.startsWith('/static/' + version + '/')) {
    e.respondWith((async () => {
      const hit = await caches.match(e.request);
      if (hit) return hit;
      const answer = await fetch(e.request);
      if (answer.ok) (await caches.open(kept)).put(e.request, answer.clone());
      return answer;
    })());
  }
});

// Notifications -----------------------------------------------------------------------------------------------------------
// What the service pushes while no page is open, and what an open page wants shown. Of each channel there is one, the newest; what was
// shown is remembered, so that the two together show nothing twice.

const memory = 'shown-notices', remembered = 200;

/** Ids grow, and a longer one is larger. */
const newer = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);

let turn = Promise.resolve();

/** show shows a notice, unless the newest of its messages was shown before. One goes after the other. */
function show(notice) {
  turn = turn.then(() => showNow(notice)).catch(() => {});
  return turn;
}

async function showNow(notice) {
  const id = String(notice.ids?.at(-1) ?? ''), channel = String(notice.channel ?? '');
  const cache = await caches.open(memory);
  if (id && channel) {
    const kept = await (await cache.match('/shown'))?.json().catch(() => null) ?? {};
    if (kept[channel] && newer(id, kept[channel]) <= 0) return;
    delete kept[channel];
    kept[channel] = id; // the last one is the newest
    await cache.put('/shown', new Response(JSON.stringify(Object.fromEntries(Object.entries(kept).slice(-remembered)))));
  }
  await self.registration.showNotification(String(notice.title), {
    body: String(notice.body ?? ''), tag: String(notice.tag), renotify: true, timestamp: Number(notice.at) || undefined,
    icon: '/static/' + version + '/icon-192.png', badge: '/static/' + version + '/icon-192.png',
    data: { url: String(notice.url ?? '/'), channel, id },
  });
}

self.addEventListener('message', (e) => {
  if (e.data?.show && e.source) e.waitUntil(show(e.data.show));
});

self.addEventListener('push', (e) => {
  e.waitUntil((async () => {
    let notice;
    try {
      notice = e.data.json();
    } catch {
      notice = { tag: 'news', title: 'Tidings', body: 'There is something new for you.', url: '/' };
    }
    const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
    if (windows.some((w) => w.focused)) return; // it is seen there
    await show(notice);
  })());
});

self.addEventListener('notificationclick', (e) => {
  e.notification.close();
  const { url, channel, id } = e.notification.data ?? {};
  e.waitUntil((async () => {
    const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
    const page = windows.find((w) => ['/', '/saved', '/search'].includes(new URL(w.url).pathname) || new URL(w.url).pathname.startsWith('/c/'));
    // A path of ours, whatever was pushed.
    const to = new URL(url ?? '/', location.origin);
    if (!page) return self.clients.openWindow(to.origin === location.origin ? to.href : '/');
    if (channel) page.postMessage({ open: { channel, id } });
    return page.focus();
  })());
});

self.addEventListener('pushsubscriptionchange', (e) => {
  e.waitUntil((async () => {
    const answer = await fetch('/api/notifications', { credentials: 'same-origin' });
    if (!answer.ok) return;
    const { push_key, browsers } = await answer.json(), mine = browsers.find((b) => b.current);
    if (!mine || !push_key) return;
    const key = Uint8Array.from(atob(push_key.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    const { endpoint, keys } = (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
    await fetch('/api/notifications/browsers', { method: 'POST', credentials: 'same-origin', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ endpoint, keys, words: mine.words }) });
  })());
});
