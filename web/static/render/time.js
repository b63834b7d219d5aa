// Times, as the reader's machine writes them, or as the reader prefers.

import { preferences } from '../preferences.js';

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
/** @type {{[style: string]: Intl.DateTimeFormat} | null} */
let formats = null;

/** styles are Discord's ways to write a time, and our own two: clock and full. */
function styles() {
  if (formats) return formats;
  const { clock } = preferences();
  /** @type {Intl.DateTimeFormatOptions} */
  const hours = clock === 'auto' ? {} : { hourCycle: clock === '12' ? 'h12' : 'h23' };
  const make = (/** @type {Intl.DateTimeFormatOptions} */ o) => new Intl.DateTimeFormat(undefined, { ...o, ...('timeStyle' in o || 'hour' in o ? hours : {}) });
  const twelve = make({ hour: 'numeric' }).resolvedOptions().hour12;
  formats = {
    clock: make({ hour: twelve ? 'numeric' : '2-digit', minute: '2-digit' }),
    t: make({ timeStyle: 'short' }), T: make({ timeStyle: 'medium' }), d: make({ dateStyle: 'short' }), D: make({ dateStyle: 'long' }),
    f: make({ dateStyle: 'long', timeStyle: 'short' }), F: make({ dateStyle: 'full', timeStyle: 'short' }),
    s: make({ dateStyle: 'short', timeStyle: 'short' }), S: make({ dateStyle: 'short', timeStyle: 'medium' }),
    day: make({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }),
  };
  return formats;
}

/** forget has times written anew, after the preference changed. */
export function forget() {
  formats = null;
}

/** @param {Date} t */ export const clockTime = (t) => styles().clock.format(t);
/** @param {Date} t */ export const fullTime = (t) => styles().F.format(t);
/** @param {Date} t */ export const shortTime = (t) => styles().s.format(t);

/** daysAgo counts midnights. @param {Date} t */
function daysAgo(t) {
  const day = (/** @type {Date} */ d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return Math.round((day(new Date()) - day(t)) / 86_400_000);
}

/** dayName says Today, Yesterday, or the date. @param {Date} t */
export function dayName(t) {
  const ago = daysAgo(t);
  return ago === 0 ? 'Today' : ago === 1 ? 'Yesterday' : styles().day.format(t);
}

/** stamp is the time of a message: the clock for today's, the date too for older ones. @param {Date} t */
export function stamp(t) {
  return daysAgo(t) === 0 ? clockTime(t) : shortTime(t);
}

/** since says how long ago or ahead a time is. @param {Date} t @param {number} [now] */
export function since(t, now = Date.now()) {
  const seconds = Math.round((t.getTime() - now) / 1000);
  for (const [unit, size] of /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ (
    [['year', 31_536_000], ['month', 2_592_000], ['day', 86_400], ['hour', 3_600], ['minute', 60]])) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return relative.format(seconds, 'second');
}

/** localise writes the times inside a message the way the reader's machine does. @param {ParentNode} node */
export function localise(node) {
  for (const t of node.querySelectorAll('time[data-style]')) {
    const at = new Date(t.getAttribute('datetime') ?? '');
    if (Number.isNaN(at.getTime())) continue;
    const style = t.getAttribute('data-style') ?? 'f';
    const said = style === 'R' ? since(at) : (styles()[style] ?? styles().f).format(at);
    if (t.textContent !== said) t.textContent = said;
    t.setAttribute('title', fullTime(at));
  }
}

/** tick keeps what says "3 minutes ago" true while it is looked at. @param {ParentNode} root */
export function tick(root) {
  setInterval(() => {
    if (document.hidden) return;
    for (const t of root.querySelectorAll('time[data-style="R"]')) {
      const at = new Date(t.getAttribute('datetime') ?? '');
      if (Number.isNaN(at.getTime())) continue;
      const said = since(at);
      if (t.textContent !== said) t.textContent = said;
    }
  }, 1000);
}
