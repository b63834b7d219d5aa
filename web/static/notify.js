// Desktop notifications, and what the service worker needs to make no second ones: they come when the person asked for them, when no
// tab of ours is being looked at, and once however many tabs are open. Where tabs are closed, Web Push does it: push.js.

import { api } from './api.js';
import { context } from './context.js';
import { page } from './page.js';
import { preferences } from './preferences.js';
import { keep } from './push.js';
import { live, onArrival, onFrames, watch } from './sync.js';
import { names } from './render/message.js';
import { muted } from './state.js';
import { reason } from './notices.js';
import { channelView, open } from './views.js';
import { words } from './words_notify.js';

const focusLock = 'tidings-focus', shownFor = 15_000;
/** How long after the last touch of a key or the pointer somebody still counts as looking. */
const idleAfter = 3 * 60_000;
/** @type {(() => void) | null} */
let letGo = null;
let touched = Date.now();

/** @type {import('./notices.js').Prefs | null} null while they are not known */
let prefs = null;
/** @type {string[]} */
let keywords = [];

const wanted = () => preferences().notify !== 'none' && 'Notification' in window && Notification.permission === 'granted';

let asked = 0;

/** learn fetches what the person wants to be notified of. */
async function learn() {
  if (!wanted()) return;
  const mine = ++asked;
  try {
    const [n, k] = await Promise.all([api.notifications(), api.keywords()]);
    if (mine !== asked) return; // a later question has a newer answer
    prefs = n;
    keywords = k.keywords;
  } catch {
    // What was known goes on, and the next change asks again.
  }
}

const looked = () => document.hasFocus() && !document.hidden;
let holding = false;

/** focus holds a lock while this tab is looked at, by which the other tabs know, and tells the server, so that other devices stay quiet. */
function focus() {
  const here = looked();
  live.here(here && Date.now() - touched < idleAfter);
  if (!here) letGo?.();
  else if (!holding && navigator.locks) {
    holding = true; // from the question on: a second one would hold it for ever
    navigator.locks.request(focusLock, { mode: 'shared' }, () => new Promise((done) => {
      letGo = () => done(undefined);
      if (!looked()) letGo(); // they have looked away since the question
    })).then(() => {
      holding = false;
      letGo = null;
      if (looked()) focus();
    }, () => { holding = false; });
  }
}

function touch() {
  const was = touched;
  touched = Date.now();
  if (touched - was >= idleAfter) focus();
}

/** @param {any} m */
async function notify(m) {
  const c = page.state.channels[m.channel];
  if (!wanted() || !prefs || !c || m.author.id === page.me || page.state.ignored.includes(m.author.id)) return;
  const above = c.parent ? page.state.channels[c.parent]?.parent ?? page.parents.get(c.parent)?.parent : null;
  const why = reason(prefs, keywords, m, { places: [c.id, c.parent, above, c.guild], muted: muted(c), now: Date.now() });
  if (!why) return;
  if (!navigator.locks) {
    if (!document.hasFocus()) show(m, c);
    return;
  }
  const held = (await navigator.locks.query()).held ?? [];
  if (held.some((l) => l.name === focusLock)) return;
  // Whoever gets the lock of the message shows it, and keeps it until the other tabs have heard of the message too.
  navigator.locks.request('tidings-notify-' + m.id, { ifAvailable: true }, async (lock) => {
    if (!lock) return;
    show(m, c);
    await new Promise((done) => setTimeout(done, shownFor));
  }).catch(() => {});
}

/** brief is a message in a line of plain text, with the names that the reader may know; spoilers stay hidden. @param {any} m */
export function brief(m) {
  const t = document.createElement('template');
  t.innerHTML = m.html; // the server's own, and never put into the page
  for (const s of t.content.querySelectorAll('.spoiler')) s.textContent = words.hidden;
  for (const s of t.content.querySelectorAll('br, p, li, pre, h4, h5, h6')) s.after(' ');
  names(t.content, m, context());
  const text = (t.content.textContent ?? '').replace(/\s+/g, ' ').trim();
  if (text) return text.length > 140 ? text.slice(0, 139) + '…' : text;
  return m.system || (m.attachments?.length ? m.attachments.map((/** @type {any} */ a) => a.name).join(', ').slice(0, 140) : words.noText);
}

/** @param {any} m @param {import('./state.js').Channel} c */
async function show(m, c) {
  const where = words.where(c.name, page.state.guilds[c.guild]?.name ?? '');
  const said = preferences().words === 'yes';
  const notice = {
    tag: 'c' + c.id, channel: c.id, ids: [m.id], url: `/c/${c.id}?at=${m.id}`, at: Date.parse(m.timestamp),
    title: said ? words.titled(m.author.name, where) : m.mentions_me ? words.mentioned : words.newMessage, body: said ? brief(m) : where,
  };
  // The service worker shows it, as it does what is pushed: it knows what it has shown.
  const worker = (await navigator.serviceWorker?.getRegistration().catch(() => undefined))?.active;
  if (worker) {
    worker.postMessage({ show: notice });
    return;
  }
  const n = new Notification(notice.title, { body: notice.body, tag: notice.tag });
  n.onclick = () => {
    window.focus();
    open(channelView(c.id, m.id));
    n.close();
  };
}

/** clear takes away what was shown of channels that are read. @param {string[]} channels */
async function clear(channels) {
  const registration = await navigator.serviceWorker?.getRegistration().catch(() => undefined);
  for (const n of (await registration?.getNotifications?.()) ?? []) {
    if (channels.includes(n.data?.channel)) n.close();
  }
}

/** @param {any} f */
function heard(f) {
  if (f.op === 'snapshot' || (f.op === 'read' && f.ignored)) learn();
  if (f.op !== 'read' || !wanted()) return;
  const read = f.channels.filter((/** @type {any} */ c) => c.unread === 0).map((/** @type {any} */ c) => c.c);
  if (read.length) clear(read);
}

navigator.serviceWorker?.addEventListener('message', (e) => {
  const at = e.data?.open;
  if (at?.channel && page.state.channels[at.channel]) open(channelView(at.channel, at.id));
});
for (const what of ['focus', 'blur']) addEventListener(what, focus);
document.addEventListener('visibilitychange', focus);
for (const what of ['pointermove', 'pointerdown', 'keydown', 'wheel', 'touchstart']) addEventListener(what, touch, { passive: true, capture: true });
setInterval(focus, 30_000);
addEventListener('storage', (e) => {
  if (e.key !== 'preferences') return;
  watch();
  learn();
});
focus();
watch(wanted);
learn();
keep();
onArrival.push(notify);
onFrames.push(heard);
