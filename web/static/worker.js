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

const news = { tag: 'news', title: 'Tidings', body: 'There is something new for you.', url: '/', channel: '', id: '', at: undefined };

/** clean makes a notice of whatever was pushed: text of bounded length, ids that are ids, and a path of ours. */
function clean(pushed) {
  if (typeof pushed !== 'object' || pushed === null || typeof pushed.title !== 'string' || !pushed.title) return news;
  const text = (s, most) => (typeof s === 'string' ? s.slice(0, most) : '');
  const id = (s) => (typeof s === 'string' && /^\d{1,20}$/.test(s) ? s : '');
  return {
    tag: text(pushed.tag, 100) || news.tag, title: text(pushed.title, 200), body: text(pushed.body, 1000), url: path(pushed.url), channel: id(pushed.channel),
    id: id(Array.isArray(pushed.ids) ? pushed.ids.at(-1) : ''), at: Number.isSafeInteger(pushed.at) && pushed.at > 0 ? pushed.at : undefined,
  };
}

/** path is an address of ours, without its origin; that of the feed for any other. */
function path(url) {
  try {
    const to = new URL(typeof url === 'string' ? url : '/', location.origin);
    return to.origin === location.origin ? to.pathname + to.search : '/';
  } catch {
    return '/';
  }
}

async function showNow(pushed) {
  const notice = clean(pushed), { id, channel } = notice;
  if (id && channel) {
    const cache = await caches.open(memory);
    const kept = await (await cache.match('/shown'))?.json().catch(() => null) ?? {};
    if (kept[channel] && newer(id, kept[channel]) <= 0) return;
    delete kept[channel];
    kept[channel] = id; // the last one is the newest
    await cache.put('/shown', new Response(JSON.stringify(Object.fromEntries(Object.entries(kept).slice(-remembered)))));
  }
  await self.registration.showNotification(notice.title, {
    body: notice.body, tag: notice.tag, renotify: true, timestamp: notice.at,
    icon: '/static/' + version + '/icon-192.png', badge: '/static/' + version + '/icon-192.png',
    data: { url: notice.url, channel, id },
  });
}

self.addEventListener('message', (e) => {
  if (e.data?.show && e.source) e.waitUntil(show(e.data.show));
});

self.addEventListener('push', (e) => {
  e.waitUntil((async () => {
    let notice = news;
    try {
      notice = e.data.json();
    } catch {
      // Nothing, or nothing that can be read: that there is something is said all the same.
    }
    const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
    if (windows.some((w) => w.focused)) return; // it is seen there
    await show(notice);
  })());
});

/** The pages that show messages; of them the one that is looked at first, then one that can be seen. */
async function feed() {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const worth = (w) => Number(w.focused) * 2 + Number(w.visibilityState === 'visible');
  return windows.filter((w) => /^\/(c\/\d+|saved|search)?$/.test(new URL(w.url).pathname)).sort((a, b) => worth(b) - worth(a))[0];
}

self.addEventListener('notificationclick', (e) => {
  e.notification.close();
  const { url, channel, id } = e.notification.data ?? {};
  e.waitUntil((async () => {
    const page = await feed();
    if (page) {
      try {
        await page.focus();
        if (channel) page.postMessage({ open: { channel, id } });
        return;
      } catch {
        // It has gone in the meantime.
      }
    }
    await self.clients.openWindow(path(url));
  })());
});

// The browser has been given another address, or lost its own. The service is told, if it still tells this browser: what a person has ended
// there stays so, and what is missed here an open page puts right.
self.addEventListener('pushsubscriptionchange', (e) => {
  e.waitUntil((async () => {
    const answer = await fetch('/api/notifications', { credentials: 'same-origin' });
    if (!answer.ok) return;
    const { push_key, browsers } = await answer.json(), mine = browsers.find((b) => b.current);
    if (!mine || !push_key) return;
    const key = Uint8Array.from(atob(push_key.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    const { endpoint, keys } = (e.newSubscription ?? await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
    await fetch('/api/notifications/browsers', { method: 'POST', credentials: 'same-origin', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ endpoint, keys, words: mine.words }) });
  })().catch(() => {}));
});
