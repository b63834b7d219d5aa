// How far the person has read: by looking, where they want that, and by hand; always with a way back.

import { api, Problem } from './api.js';
import { byID } from './render/dom.js';
import { compare, muted, reduce, totals } from './state.js';
import { preferences } from './preferences.js';
import { page, changed } from './page.js';
import { take } from './sync.js';
import { toast } from './toast.js';
import { words } from './words.js';
import { failed, follows, isUnread } from './views.js';

const scroll = byID('scroll'), stream = byID('stream');
/** How long a message is in sight before it counts as seen. */
const readAfter = 1000;

let looking = 0, lookingAt = '';

/** here tells whether the person is really looking. */
const here = () => !document.hidden && document.hasFocus() && !page.held;

/** byLooking tells whether looking reads in this view. */
function byLooking() {
  const { reading } = preferences();
  return follows() && (reading === 'everywhere' || (reading === 'channels' && page.view.kind === 'channel'));
}

/** look reads up to what has been in sight for a second, while the person is really here. */
export function look() {
  if (!here() || !byLooking()) {
    clearTimeout(looking);
    lookingAt = '';
    return;
  }
  const seen = inSight();
  const key = [...seen].join();
  if (!key || key === lookingAt) return;
  lookingAt = key;
  clearTimeout(looking);
  const { view } = page;
  looking = setTimeout(async () => {
    lookingAt = '';
    for (const [channel, upTo] of seen) {
      const c = page.state.channels[channel];
      if (page.view !== view || !here() || !c || compare(upTo, c.read_id) <= 0 || c.unread === 0) continue;
      try {
        applyMark(await api.read({ channel, up_to: upTo, rev: page.state.rev }));
      } catch (e) {
        if (e instanceof Problem && e.status === 409) continue; // a newer mark by hand stands
        failed(e);
        return;
      }
    }
  }, readAfter);
}

/**
 * inSight is the newest unread message of each channel that is in sight or above it. In a feed only channels count of which all that is
 * unread below has been in the list: what was never shown is not read by scrolling.
 * @returns {Map<string, string>}
 */
function inSight() {
  const bottom = scroll.getBoundingClientRect().bottom - 16;
  /** @type {Map<string, string>} */
  const seen = new Map();
  const nodes = stream.querySelectorAll('article');
  let last = -1;
  for (let low = 0, high = nodes.length - 1; low <= high;) {
    const mid = (low + high) >> 1;
    if (nodes[mid].getBoundingClientRect().top < bottom) {
      last = mid;
      low = mid + 1;
    } else high = mid - 1;
  }
  if (last < 0) return seen;
  const shown = new Set(page.list.messages.map((m) => m.id));
  const upTo = nodes[last].dataset.id ?? null;
  for (const m of page.list.messages) {
    if (compare(m.id, upTo) > 0) break;
    if (!isUnread(m)) continue;
    const c = page.state.channels[m.channel];
    if (page.view.kind === 'channel' || (c.first_unread && shown.has(c.first_unread))) seen.set(m.channel, m.id);
  }
  return seen;
}

/** seen reads a channel that stands beside the stream, as far as it was looked at. @param {string} channel @param {string} upTo */
export async function seen(channel, upTo) {
  const c = page.state.channels[channel];
  if (document.hidden || !document.hasFocus() || page.held || preferences().reading === 'hand' || !c || !c.unread || compare(upTo, c.read_id) <= 0) return;
  try {
    applyMark(await api.read({ channel, up_to: upTo, rev: page.state.rev }));
  } catch (e) {
    if (!(e instanceof Problem && e.status === 409)) failed(e);
  }
}

/** @param {any} r what a mark answered */
function applyMark(r) {
  take(reduce(page.state, { op: 'read', rev: r.rev, channels: r.channels.map((/** @type {any} */ c) => ({ ...c, c: c.id, v: c.version })) }));
}

/** mark sends a mark by hand and offers to take it back. @param {() => Promise<any>} send @param {string} said */
async function mark(send, said) {
  try {
    const r = await send();
    applyMark(r);
    page.lastMarks = [r.rev];
    toast(said, words.undo, undo);
  } catch (e) {
    failed(e);
  }
}

/** @param {string} channel */
const name = (channel) => '#' + (page.state.channels[channel]?.name ?? words.aChannel);

/** markTo reads a message's channel up to it. @param {any} m */
export function markTo(m) {
  page.held = false;
  return mark(() => api.read({ channel: m.channel, up_to: m.id }), words.readUpTo(name(m.channel)));
}

/** markHere reads up to a message, or the whole channel. @param {any} [m] */
export function markHere(m) {
  if (m) markTo(m);
  else if (page.view.channel) markChannel(page.view.channel);
  else toast(words.chooseFirst);
}

/** @param {string} channel */
export function markChannel(channel) {
  const c = page.state.channels[channel];
  const shown = page.view.channel === channel && !page.list.newer ? page.list.messages.at(-1)?.id ?? null : null;
  const upTo = c && compare(c.last_id, shown) > 0 ? c.last_id : shown;
  if (!c || !upTo) return;
  page.held = false;
  mark(() => api.read({ channel: c.id, up_to: upTo }), words.isRead('#' + c.name));
}

/** newestOf is the newest id that this page has heard of. @param {string} [guild] */
function newestOf(guild) {
  /** @type {string | null} */
  let newest = null;
  for (const c of Object.values(page.state.channels)) {
    if ((!guild || c.guild === guild) && compare(c.last_id, newest) > 0) newest = c.last_id;
  }
  for (const m of page.list.messages) if ((!guild || m.guild === guild) && compare(m.id, newest) > 0) newest = m.id;
  return newest;
}

/** @param {string} guild */
export function markGuild(guild) {
  const upTo = newestOf(guild);
  if (upTo) mark(() => api.read({ guild, up_to: upTo }), words.isRead(page.state.guilds[guild]?.name ?? words.theServer));
}

export function markAll() {
  const upTo = newestOf();
  const t = totals(page.state);
  if (!upTo || (t.unread === 0 && t.mentions === 0 && !Object.values(page.state.channels).some((c) => muted(c) && c.unread))) return;
  mark(() => api.read({ all: true, up_to: upTo }), words.everythingIsRead);
}

/** markView reads the channels of a saved view, one by one. @param {string} name @param {(c: import('./state.js').Channel) => boolean} belongs */
export async function markView(name, belongs) {
  const revs = [];
  try {
    for (const c of Object.values(page.state.channels)) {
      if (!c.unread || !c.last_id || !belongs(c)) continue;
      const r = await api.read({ channel: c.id, up_to: c.last_id });
      applyMark(r);
      revs.push(r.rev);
    }
  } catch (e) {
    failed(e);
  }
  if (!revs.length) return;
  page.lastMarks = revs;
  toast(words.isRead(name), words.undo, undo);
}

const epoch = 1_420_070_400_000n; // Discord's ids count from 2015

/** markOlder reads whatever is older than some days. @param {number} days */
export function markOlder(days) {
  const upTo = String((BigInt(Date.now() - days * 86_400_000) - epoch) << 22n);
  mark(() => api.read({ all: true, up_to: upTo }), words.olderIsRead(days));
}

/** markUnreadFrom makes a message, and what follows it, unread again. @param {any} m */
export function markUnreadFrom(m) {
  page.held = page.view.channel === m.channel || page.view.kind !== 'channel';
  mark(() => api.markUnread(m.channel, m.id), words.unreadFrom(name(m.channel)));
}

/** @param {any} [m] */
export function markUnread(m) {
  if (m) markUnreadFrom(m);
  else toast(words.chooseFirst);
}

export async function undo() {
  if (!page.lastMarks.length) {
    toast(words.nothingToUndo);
    return;
  }
  const revs = page.lastMarks;
  page.lastMarks = [];
  page.held = true;
  try {
    for (const rev of revs.toReversed()) applyMark(await api.undo(rev));
    toast(words.takenBack);
  } catch (e) {
    failed(e);
  }
  changed();
}
