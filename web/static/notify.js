// Desktop notifications of mentions: when the person asked for them, when no tab of ours is being looked at, and once however
// many tabs are open.

import { page } from './page.js';
import { preferences } from './preferences.js';
import { onArrival } from './sync.js';
import { muted } from './state.js';
import { channelView, open } from './views.js';

const focusLock = 'tidings-focus', shownFor = 15_000;
/** @type {(() => void) | null} */
let letGo = null;

/** focus holds a lock while this tab is looked at, by which the others know. */
function focus() {
  const here = document.hasFocus() && !document.hidden;
  if (here && !letGo && navigator.locks) {
    navigator.locks.request(focusLock, { mode: 'shared' }, () => new Promise((done) => { letGo = () => done(undefined); })).catch(() => {});
  } else if (!here && letGo) {
    letGo();
    letGo = null;
  }
}

/** @param {any} m */
async function notify(m) {
  const c = page.state.channels[m.channel];
  if (!m.mentions_me || preferences().notify !== 'mentions' || !c || muted(c) || !('Notification' in window) || Notification.permission !== 'granted') return;
  if (!navigator.locks) {
    if (!document.hasFocus()) show(m, c.name);
    return;
  }
  const held = (await navigator.locks.query()).held ?? [];
  if (held.some((l) => l.name === focusLock)) return;
  // Whoever gets the lock of the message shows it, and keeps it until the other tabs have heard of the message too.
  navigator.locks.request('tidings-notify-' + m.id, { ifAvailable: true }, async (lock) => {
    if (!lock) return;
    show(m, c.name);
    await new Promise((done) => setTimeout(done, shownFor));
  }).catch(() => {});
}

/** @param {any} m @param {string} channel */
function show(m, channel) {
  const n = new Notification(`${m.author.name} in #${channel}`, { body: m.content.slice(0, 200), tag: m.id });
  n.onclick = () => {
    window.focus();
    open(channelView(m.channel, m.id));
    n.close();
  };
}

addEventListener('focus', focus);
addEventListener('blur', focus);
document.addEventListener('visibilitychange', focus);
focus();
onArrival.push(notify);
