// Noticing that the service has another version of the page. Each time the connection has come back the service worker is looked for anew;
// when there is a new one, the page says so and leaves it to the person.

import { page } from './page.js';
import { onConnection } from './sync.js';
import { stay } from './toast.js';
import { words } from './words_notify.js';

/** watchBuild begins it. @param {ServiceWorkerRegistration} registration */
export function watchBuild(registration) {
  let lives = page.status === 'live' ? 1 : 0, asked = false;
  onConnection.push((status) => {
    if (status !== 'live' || ++lives < 2) return;
    asked = true;
    registration.update().catch(() => {});
  });
  registration.addEventListener('updatefound', () => {
    // What is found as the page loads is as new as the page.
    if (!asked) return;
    const next = registration.installing;
    next?.addEventListener('statechange', () => {
      if (next.state === 'activated') stay(words.updated, words.reload, location.pathname + location.search);
    });
  });
}
