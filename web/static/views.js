// What stands in the middle: the feed, a channel, a search, what was saved. Opening, loading in both directions, and keeping
// the place while things move.

import { api, Problem } from './api.js';
import { byID } from './render/dom.js';
import { compare, muted } from './state.js';
import * as list from './list.js';
import { first, page, changed, paintNow } from './page.js';
import { stay, toast } from './toast.js';
import { inPlaces } from './filters.js';
import { words } from './words.js';

/** @typedef {import('./page.js').View} View */

const scroll = byID('scroll'), stream = byID('stream');
const pageSize = 50, aroundSize = 100;

/** Told when the middle shows something else. @type {((v: View) => void)[]} */
export const onOpen = [];

// Addresses -------------------------------------------------------------------------------------------------------------

/** @param {View} v */
export function addressOf(v) {
  const q = new URLSearchParams();
  if (v.kind === 'channel') {
    if (v.at) q.set('at', v.at);
    return '/c/' + v.channel + (v.at ? '?' + q : '');
  }
  if (v.kind === 'search') return '/search' + (v.q ? '?' + new URLSearchParams({ q: v.q }) : '');
  if (v.kind === 'saved') return '/saved';
  if (v.kind === 'view') return '/?view=' + v.view;
  if (v.kind !== 'unread') q.set('filter', v.kind);
  if (v.guild) q.set('guild', v.guild);
  const s = q.toString();
  return '/' + (s && '?' + s);
}

/** @returns {View} */
export function viewOfAddress() {
  const q = new URLSearchParams(location.search);
  const channel = /^\/c\/(\d+)$/.exec(location.pathname)?.[1];
  if (channel) return channelView(channel, q.get('at') ?? undefined);
  if (location.pathname === '/search') return searchView(q.get('q') ?? '');
  if (location.pathname === '/saved') return { kind: 'saved', title: words.saved };
  const saved = q.get('view');
  if (saved && page.views.some((x) => x.id === saved)) return savedView(saved);
  const filter = q.get('filter');
  return feedView(filter === 'mentions' || filter === 'keywords' || filter === 'all' ? filter : 'unread', q.get('guild') ?? undefined);
}

const titles = { unread: words.unread, mentions: words.mentions, keywords: words.keywords, all: words.everything };

/** savedOf is the saved view that is shown, if one is. @param {View} v */
export const savedOf = (v) => (v.kind === 'view' ? page.views.find((x) => x.id === v.view) : undefined);

/** savedView shows a view that the person has saved. @param {string} id @returns {View} */
export function savedView(id) {
  return { kind: 'view', view: id, title: page.views.find((x) => x.id === id)?.name ?? words.view };
}

/** @param {'unread' | 'mentions' | 'keywords' | 'all'} kind @param {string} [guild] @returns {View} */
export function feedView(kind, guild) {
  const name = guild && page.state.guilds[guild]?.name;
  return { kind, guild: name ? guild : undefined, title: name ? words.inServer(titles[kind], name) : titles[kind] };
}

/** @param {string} id @param {string} [at] @returns {View} */
export function channelView(id, at) {
  return { kind: 'channel', channel: id, title: page.state.channels[id]?.name ?? words.channel, at: at && /^\d{1,20}$/.test(at) ? at : undefined };
}

/** @param {string} q @returns {View} */
export const searchView = (q) => ({ kind: 'search', q, title: words.search });

// What belongs here -----------------------------------------------------------------------------------------------------

/** follows tells whether the view grows as messages come. */
export const follows = () => page.view.kind !== 'search' && page.view.kind !== 'saved';

/** shows tells whether messages of a channel may stand in the list. @param {string} channel */
export function shows(channel) {
  const v = page.view;
  if (v.kind === 'channel') return v.channel === channel;
  const saved = savedOf(v), c = page.state.channels[channel];
  if (saved) return Boolean(c && inPlaces(saved, c, page.state, page.parents));
  return follows() && (!v.guild || page.state.channels[channel]?.guild === v.guild);
}

/** isUnread tells whether a message counts. @param {any} m */
export function isUnread(m) {
  const c = m && page.state.channels[m.channel];
  return Boolean(c && !m.system && m.author.id !== page.me && !page.state.ignored.includes(m.author.id) && compare(m.id, c.read_id) > 0);
}

/** versions is how far the counts are. */
export const versions = () => Object.fromEntries(Object.values(page.state.channels).map((c) => [c.id, c.version]));

// Opening ---------------------------------------------------------------------------------------------------------------

/**
 * open shows something else in the middle.
 * @param {View} v @param {boolean} [push] whether it is a new step in the history @param {{id: string, top: number} | null} [at] where it was left, when that is known
 */
export async function open(v, push = true, at) {
  if (at === undefined) keepPlace();
  page.opening.abort();
  page.opening = new AbortController();
  const { signal } = page.opening;
  Object.assign(page, { view: v, list: list.none(), newFrom: null, newLabel: words.new, selected: null, held: false, below: 0, busy: true, detail: null, problem: '', unfetched: false });
  unsettled = at ?? null;
  stopTrying();
  if (push && location.pathname + location.search !== addressOf(v)) history.pushState(null, '', addressOf(v));
  stream.replaceChildren();
  scroll.scrollTop = 0;
  for (const f of onOpen) f(v);
  paintNow();
  const place = unsettled = at ?? (push ? null : placeOf(v));
  await load(signal, place?.id ?? v.at);
  if (signal.aborted) return;
  settle(place);
  detail(signal);
}

/**
 * load fetches a page of the view, the newest or the one around a message, in place of what is there.
 * @param {AbortSignal} signal @param {string} [around]
 */
export async function load(signal, around) {
  const since = versions();
  /** @type {(() => void)[]} What comes over the socket while the page is fetched is newer than the page: it is told again afterwards. */
  const meanwhile = [];
  during.add(meanwhile);
  page.busy = true;
  try {
    const v = page.view;
    let p = await fetchPage(v, around, signal);
    if (signal.aborted) return;
    if (around && p.messages.length === 0) {
      around = undefined;
      p = await fetchPage(v, undefined, signal);
      if (signal.aborted) return;
    }
    page.list = listOf(v, p, around);
    page.problem = '';
    page.unfetched = false;
    stopTrying();
    for (const [id, n] of Object.entries(since)) if (id !== page.beside?.channel || shows(id)) page.heard.fetched(id, n);
    for (const again of meanwhile) again();
  } catch (e) {
    if (!signal.aborted) notFetched(e);
  } finally {
    during.delete(meanwhile);
    if (!signal.aborted) page.busy = false;
  }
}

/** How often the view could not be fetched in a row, and what waits to try again. */
let tries = 0, trying = 0;
/** Where a view begins that could not be fetched yet. @type {{id: string, top: number} | null} */
let unsettled = null;

function stopTrying() {
  clearTimeout(trying);
  tries = trying = 0;
}

/**
 * notFetched says that the view could not be fetched. An empty list would say that there is nothing, and one that begins with what comes next would
 * hide what was before: so the page says what went wrong in the place of the list, and it is tried again, soon and then ever more seldom.
 * @param {unknown} e
 */
function notFetched(e) {
  const status = e instanceof Problem ? e.status : -1, later = status === 0 || status === 429 || status >= 500;
  if (page.list.messages.length === 0 && (later || status === 401)) {
    page.problem = later ? /** @type {Problem} */ (e).message + ' ' + words.keepsTrying : words.signedOut;
    page.list = { ...list.none(), newer: true };
    if (!later) return signedOut();
    changed();
  } else if (!later || tries === 0) failed(e);
  if (!later) return;
  page.unfetched = true;
  clearTimeout(trying);
  trying = setTimeout(again, Math.min(30_000, 1000 * 2 ** tries++) * (1 + Math.random() / 2));
}

/** again fetches what could not be fetched. */
export async function again() {
  if (!page.unfetched || page.busy) return;
  clearTimeout(trying);
  const { signal } = page.opening;
  if (page.list.messages.length > 0) {
    reload();
    return;
  }
  const place = unsettled;
  await load(signal, place?.id ?? page.view.at);
  if (signal.aborted) return;
  if (page.unfetched) return changed();
  page.below = 0;
  settle(place);
  detail(signal);
}

/** @type {Set<(() => void)[]>} */
const during = new Set();

/** told applies what the socket says of messages, now and to every page that is just being fetched. @param {() => void} apply */
export function told(apply) {
  for (const list of during) list.push(apply);
  apply();
}

/** @param {View} v @param {string | undefined} around @param {AbortSignal} signal @returns {Promise<any>} */
function fetchPage(v, around, signal) {
  if (v.kind === 'channel') return api.messages({ channel: v.channel ?? '', around, limit: around ? aroundSize : pageSize }, signal);
  if (v.kind === 'saved') return api.saved({}, signal);
  if (v.kind === 'search') return v.q?.trim() ? api.search({ q: v.q }, signal) : Promise.resolve({ messages: [], next: '' });
  return api.feed({ ...filterOf(v), around, limit: around ? aroundSize : pageSize }, signal);
}

/** filterOf is how the API is asked for a feed. @param {View} v */
const filterOf = (v) => (v.kind === 'view' ? { view: v.view } : { filter: v.kind, guild: v.guild });

/** listOf makes a list of what the API answered. @param {View} v @param {any} p @param {string} [around] @returns {list.List} */
export function listOf(v, p, around) {
  if (v.kind === 'saved') for (const m of p.messages) page.saved.add(m.id);
  // Searches and what was saved stand as they were answered: the best or the last first.
  if (v.kind === 'saved' || v.kind === 'search') return { ...list.none(), messages: p.messages, older: Boolean(p.next), olderCursor: p.next ?? '' };
  const messages = [...p.messages].reverse();
  // Around a message there may be more on both sides; asking finds out.
  return { messages, older: around ? messages.length > 0 : Boolean(p.next), newer: Boolean(around), olderCursor: around && v.kind === 'channel' ? '' : p.next ?? '', newerCursor: around ? p.newer ?? '' : '' };
}

/** detail asks what is missing in an open channel. @param {AbortSignal} signal */
async function detail(signal) {
  const id = page.view.channel;
  if (!id) return;
  try {
    const d = await api.channel(id, signal);
    if (signal.aborted) return;
    page.detail = d;
    changed();
  } catch {
    // It is a courtesy; what matters has its own errors.
  }
}

/** settle draws a view that was just opened and scrolls to where reading begins. @param {{id: string, top: number} | null} [place] */
export function settle(place) {
  const v = page.view;
  const at = v.at ?? '';
  placeLine();
  paintNow();
  const back = place && find(place.id);
  const target = find(at);
  if (back) {
    scroll.scrollTop += back.getBoundingClientRect().top - scroll.getBoundingClientRect().top - place.top;
  } else if (target) {
    target.scrollIntoView({ block: 'center' });
    select(at);
  } else if (!follows()) {
    scroll.scrollTop = 0;
  } else {
    const line = page.newFrom && stream.querySelector('.new-line');
    if (line) line.scrollIntoView({ block: v.kind === 'unread' ? 'start' : 'center' });
    else scroll.scrollTop = v.kind === 'unread' ? 0 : scroll.scrollHeight;
    if (line && v.kind === 'unread') scroll.scrollTop = Math.max(0, scroll.scrollTop - 80);
  }
  if (!target && page.selected === null && document.activeElement === document.body) scroll.focus({ preventScroll: true });
  changed();
}

/** Set by moves.js, which owns the selection. @type {(id: string) => void} */
export let select = () => {};
/** @param {(id: string) => void} f */
export function selectWith(f) {
  select = f;
}

/** @param {string} id @returns {HTMLElement | null} */
export const find = (id) => (/^\d+$/.test(id) ? stream.querySelector(`article[data-id="${id}"]`) : null);

/** placeLine puts the line above the first unread message of a channel, or above what came to a feed since it was left. */
function placeLine() {
  const v = page.view;
  if (v.kind === 'channel') {
    page.newFrom = page.list.messages.find(isUnread)?.id ?? null;
    page.newLabel = words.new;
    return;
  }
  if (!follows()) return;
  const left = leftAt(v);
  const i = left ? page.list.messages.findIndex((m) => compare(m.id, left) > 0) : -1;
  page.newFrom = i > 0 ? page.list.messages[i].id : null;
  page.newLabel = words.newSinceYouLeft;
}

// Where one was ---------------------------------------------------------------------------------------------------------

/** keepPlace remembers, when a view is left, how far it was seen and what stood at the top. */
export function keepPlace() {
  const v = page.view, messages = page.list.messages;
  if (page.unfetched && !messages.length) return; // it was not seen
  if (follows() && messages.length && !page.list.newer) {
    const newest = messages[messages.length - 1].id;
    if (compare(newest, leftAt(v)) > 0) localStorage.setItem('left:' + addressOf({ ...v, at: undefined }), newest);
  }
  const a = anchor();
  try {
    sessionStorage.setItem('place:' + addressOf(v), a && !atBottom() ? JSON.stringify(a) : '');
  } catch {
    // No place to remember it in; then not.
  }
}

/** @param {View} v */
const leftAt = (v) => (v.kind === 'channel' ? null : localStorage.getItem('left:' + addressOf(v)));

/** placeOf is where a view was left in this tab. @param {View} v @returns {{id: string, top: number} | null} */
export function placeOf(v) {
  try {
    const p = JSON.parse(sessionStorage.getItem('place:' + addressOf(v)) || 'null');
    return p && /^\d{1,20}$/.test(p.id) && Number.isFinite(p.top) ? p : null;
  } catch {
    return null;
  }
}

/** anchor is the first message in sight and where it stands. @returns {{id: string, top: number} | null} */
export function anchor() {
  const box = scroll.getBoundingClientRect();
  const nodes = stream.querySelectorAll('article');
  let low = 0, high = nodes.length;
  while (low < high) { // they stand one below the other
    const mid = (low + high) >> 1;
    if (nodes[mid].getBoundingClientRect().bottom > box.top + 8) high = mid;
    else low = mid + 1;
  }
  const n = nodes[low];
  return n ? { id: n.dataset.id ?? '', top: n.getBoundingClientRect().top - box.top } : null;
}

export const atBottom = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;

/** sticks tells whether the stream follows what is new. The unread feed does so only while somebody looks: who comes back begins where they left. */
export const sticks = () => follows() && !page.list.newer && atBottom() && (page.view.kind !== 'unread' || document.hasFocus());

// Both ways -------------------------------------------------------------------------------------------------------------

let growing = '';

/** grow fetches the next page on one side. @param {'older' | 'newer'} side */
export async function grow(side) {
  const l = page.list, v = page.view;
  if (!l[side] || page.busy || growing || l.messages.length === 0) return;
  growing = side;
  byID('older').toggleAttribute('disabled', side === 'older');
  const { signal } = page.opening;
  try {
    const end = side === 'older' ? l.messages[0] : l.messages[l.messages.length - 1];
    let p, more, cursor = '';
    if (v.kind === 'channel') {
      p = await api.messages({ channel: v.channel ?? '', [side === 'older' ? 'before' : 'after']: end.id, limit: pageSize }, signal);
      more = Boolean(p.next);
    } else if (!follows()) {
      p = v.kind === 'saved' ? await api.saved({ cursor: l.olderCursor }, signal) : await api.search({ q: v.q ?? '', cursor: l.olderCursor }, signal);
      if (signal.aborted || page.list !== l) return;
      page.list = { ...l, messages: [...l.messages, ...p.messages], older: Boolean(p.next), olderCursor: p.next ?? '' };
      changed();
      return;
    } else if (side === 'older' && l.olderCursor) {
      p = await api.feed({ ...filterOf(v), cursor: l.olderCursor, limit: pageSize }, signal);
      cursor = p.next ?? '';
      more = Boolean(cursor);
    } else if (side === 'newer' && l.newerCursor) {
      p = await api.feed({ ...filterOf(v), newer: l.newerCursor, limit: pageSize }, signal);
      cursor = p.newer ?? '';
      more = p.messages.length === pageSize;
    } else {
      p = await api.feed({ ...filterOf(v), around: end.id, limit: aroundSize }, signal);
      cursor = (side === 'older' ? p.next : p.newer) ?? '';
      more = p.messages.some((/** @type {any} */ m) => (side === 'older' ? compare(m.id, end.id) < 0 : compare(m.id, end.id) > 0));
    }
    if (signal.aborted) return;
    const fresh = v.kind === 'channel' ? p.messages
      : p.messages.filter((/** @type {any} */ m) => (side === 'older' ? compare(m.id, end.id) < 0 : compare(m.id, end.id) > 0));
    page.list = list.grown(page.list, side, fresh, cursor, more);
    if (side === 'newer' && !more) page.below = 0;
    paintNow();
  } catch (e) {
    if (!signal.aborted) failed(e);
  } finally {
    growing = '';
    byID('older').removeAttribute('disabled');
  }
}

let reloading = 0;
/** reload fetches the view again after something changed that was not told in detail, and keeps the place. */
export function reload() {
  if (!follows()) return;
  clearTimeout(reloading);
  reloading = setTimeout(async () => {
    if (page.unfetched && !page.list.messages.length) return again();
    const a = sticks() ? null : anchor();
    await load(page.opening.signal, a && page.list.newer || a && !nearEnd(a.id) ? a.id : undefined);
    changed();
    detail(page.opening.signal);
  }, 150);
}

/** nearEnd tells whether the newest page holds a message that is looked at. @param {string} id */
const nearEnd = (id) => !page.list.newer && page.list.messages.slice(-pageSize).some((m) => m.id === id);

/** toLatest goes to the newest message. */
export async function toLatest() {
  if (page.list.newer) {
    await load(page.opening.signal);
    paintNow();
  }
  page.below = 0;
  scroll.scrollTop = scroll.scrollHeight;
  changed();
}

/** toFirstUnread goes to where reading begins, wherever that is. */
export async function toFirstUnread() {
  const v = page.view;
  const channel = v.channel ? page.state.channels[v.channel] : null;
  const shown = page.list.messages.find(isUnread);
  const wanted = channel ? channel.first_unread : oldestUnread();
  if (!wanted) return toast(words.hereIsRead);
  if (!shown || compare(wanted, shown.id) < 0) {
    await load(page.opening.signal, wanted);
    page.newFrom = page.list.messages.find(isUnread)?.id ?? null;
    page.newLabel = words.new;
    paintNow();
  }
  const target = page.list.messages.find(isUnread);
  if (!target) return;
  find(target.id)?.scrollIntoView({ block: 'start' });
  scroll.scrollTop = Math.max(0, scroll.scrollTop - 60);
  select(target.id);
}

/** oldestUnread is the oldest that is not read in what the feed shows. @returns {string | null} */
export function oldestUnread() {
  /** @type {string | null} */
  let oldest = null;
  for (const c of Object.values(page.state.channels)) {
    if (c.first_unread && shows(c.id) && !muted(c) && (oldest === null || compare(c.first_unread, oldest) < 0)) oldest = c.first_unread;
  }
  return oldest;
}

// Faults ----------------------------------------------------------------------------------------------------------------

/** @param {unknown} e */
export function failed(e) {
  if (e instanceof DOMException && e.name === 'AbortError') return;
  if (e instanceof Problem && e.status === 401) {
    signedOut();
  } else if (e instanceof Problem && e.status === 404 && page.view.channel) {
    toast(words.channelGone);
    open(feedView('unread'));
  } else if (e instanceof Problem && page.view.kind === 'search' && e.status >= 400 && e.status < 500) {
    page.problem = e.message;
    changed();
  } else {
    toast(e instanceof Problem ? e.message : words.pageFault);
    if (!(e instanceof Problem)) throw e;
  }
}

/** Told when the session has ended. @type {() => void} */
let onSignedOut = () => {};
/** @param {() => void} f */
export function whenSignedOut(f) {
  onSignedOut = f;
}

export function signedOut() {
  onSignedOut();
  stay(words.signedOut, words.signInAgain, '/login?to=' + encodeURIComponent(location.pathname + location.search));
}

/** begin takes over the view that the server has written. */
export function begin() {
  const v = page.view = viewOfAddress();
  for (const [id, n] of Object.entries(versions())) page.heard.fetched(id, n);
  if (!first.loaded) {
    open(v, false, null);
    return;
  }
  page.list = listOf(v, { messages: first.messages, next: first.next });
  const again = /** @type {PerformanceNavigationTiming | undefined} */ (performance.getEntriesByType('navigation')[0])?.type;
  const place = again === 'reload' || again === 'back_forward' ? placeOf(v) : null;
  if (v.at || (place && !page.list.messages.some((m) => m.id === place.id))) {
    open(v, false, place);
    return;
  }
  for (const f of onOpen) f(v);
  settle(place);
  detail(page.opening.signal);
}
