// Web Push of this browser: the service worker is told while no page is open.

import { api } from './api.js';
import { prefer, preferences } from './preferences.js';
import { words } from './words_notify.js';

/** possible tells whether this browser can be told while no page is open. */
export const possible = () => 'serviceWorker' in navigator && 'PushManager' in window && 'Notification' in window;

/** @param {string} base64 URL-safe, without padding */
function bytes(base64) {
  return Uint8Array.from(atob(base64.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
}

/** same tells whether a subscription was made with a key. @param {PushSubscription} s @param {string} key */
function same(s, key) {
  const had = new Uint8Array(s.options.applicationServerKey ?? new ArrayBuffer(0)), want = bytes(key);
  return had.length === want.length && had.every((b, i) => b === want[i]);
}

/**
 * subscribe has this browser told. It throws what went wrong, for people to read.
 * @param {string} key the service's
 */
export async function subscribe(key) {
  if (!key) throw new Error(words.noPushHere);
  const registration = await navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready);
  let s = await registration.pushManager.getSubscription();
  if (s && !same(s, key)) {
    await s.unsubscribe();
    s = null;
  }
  try {
    s ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
  } catch {
    throw new Error(words.noPushService);
  }
  await api.tellBrowser(s.toJSON(), preferences().words === 'yes');
}

/** unsubscribe ends it. @param {string} [id] of the subscription at the service */
export async function unsubscribe(id) {
  const registration = await navigator.serviceWorker?.getRegistration();
  await (await registration?.pushManager?.getSubscription())?.unsubscribe();
  if (id) await api.tellBrowserNoMore(id);
}

/** keep puts right what has come apart since the person switched it on: the service has lost it, or has another key. */
export async function keep() {
  if (preferences().notify !== 'push' || !possible()) return;
  if (Notification.permission !== 'granted') {
    prefer('notify', 'none');
    return;
  }
  try {
    const { push_key, browsers } = await api.notifications();
    const registration = await navigator.serviceWorker.ready, s = await registration.pushManager.getSubscription();
    if (!s || !same(s, push_key) || !browsers.some((/** @type {any} */ b) => b.current)) await subscribe(push_key);
  } catch {
    // It is tried again when a page is opened next; meanwhile the open one notifies.
  }
}
