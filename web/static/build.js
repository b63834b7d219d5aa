// Noticing that the service has another build of the page. Each time the connection has come back the service worker is looked for anew; when there
// is a new one, the page says so, and loads itself anew once nobody looks. When a part of this build is wanted that the service no longer has,
// it does so at once. Never while something would be lost.

import { page } from './page.js';
import { onConnection } from './sync.js';
import { whenOther } from './lazy.js';
import { stay } from './toast.js';
import { words } from './words_notify.js';

/** How long the page must have been out of sight before it loads itself anew, and how long after that it does not do so again, in ms. */
const unseen = 60_000, apart = 60_000;

/** busy tells whether something would be lost: what somebody is typing, has marked, or listens to. */
function busy() {
  const typed = (/** @type {HTMLInputElement} */ i) => (i.type === 'checkbox' || i.type === 'radio' ? i.checked !== i.defaultChecked
    : i.type !== 'hidden' && i.value !== i.defaultValue && !(i.id === 'search-input' && i.value === page.view.q));
  return [...document.querySelectorAll('input, textarea')].some((i) => typed(/** @type {HTMLInputElement} */ (i))) ||
    !getSelection()?.isCollapsed || [...document.querySelectorAll('audio, video')].some((m) => !(/** @type {HTMLMediaElement} */ (m).paused));
}

/** anew loads the page anew, unless something would be lost, or it has just done so and it was of no use. The place is kept. */
function anew() {
  if (busy() || Date.now() - Number(sessionStorage.getItem('anew') ?? 0) < apart) return false;
  sessionStorage.setItem('anew', String(Date.now()));
  location.reload();
  return true;
}

const say = () => stay(words.updated, words.reload, location.pathname + location.search);

let outdated = false;
function whileUnseen() {
  if (!document.hidden) return;
  setTimeout(() => { if (document.hidden) anew(); }, unseen);
}

/** @param {ServiceWorkerRegistration} registration */
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
      if (next.state !== 'activated') return;
      say();
      if (!outdated) document.addEventListener('visibilitychange', whileUnseen);
      outdated = true;
      whileUnseen();
    });
  });
}

whenOther(() => { if (!anew()) say(); });
