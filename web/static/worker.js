// The service worker: our own files from the cache, pages always from the service, and a page of ours when it cannot be
// reached. Messages are never kept here. The server writes the version above.

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
