// The page that people keep open all day: it joins the state, the live socket, the inbox, the stream and the keyboard.

import { api, Problem } from './api.js';
import { Live } from './live.js';
import { compare, dropped, fromUnread, holes, mentionsMe, merge, reduce, totals } from './state.js';
import { byID, el, short } from './render/dom.js';
import * as inbox from './render/inbox.js';
import * as feed from './render/feed.js';
import { keys, listen } from './keys.js';

const first = JSON.parse(byID('first').textContent ?? '');
const me = first.user.id;
const parents = new Map(first.parents.map((/** @type {any} */ c) => [c.id, { name: c.name, type: c.type }]));
const [stream, scroll, channels, filter, toastBox, older] = ['stream', 'scroll', 'channels', 'filter', 'toast', 'older'].map(byID);
const narrow = matchMedia('(max-width: 800px)');
const readAfter = 1000;

let state = fromUnread(me, first.unread);
let view = /** @type {{kind: string, channel?: string, title: string, guild?: string, topic?: string}} */ (first.view);
let messages = /** @type {any[]} */ (first.messages.toReversed()); // oldest first
let next = /** @type {string} */ (first.next ?? '');
/** The first unread message when the view was opened; the line stays there. @type {string | null} */
let newFrom = null;
/** @type {string | null} */
let selected = null;
let lastMark = 0;
/** Set when the person has marked this channel unread: reading by looking would undo it. */
let held = false;
let below = 0;
let quiet = localStorage.getItem('quiet') === 'yes';
let opening = new AbortController();
/** Up to which version of each channel the stream was told what happened. @type {Record<string, number>} */
let streamAt = {};

const live = new Live({ url: location.origin.replace(/^http/, 'ws') + '/api/live' }, {
  onFrame, onStatus,
  poll: async () => {
    try {
      const unread = await api.unread();
      take(merge(state, unread));
      catchUp();
    } catch (e) {
      if (e instanceof Problem && e.status === 401) onStatus('out');
    }
  },
});

// State -----------------------------------------------------------------------------------------------------------------

/** take accepts a step of the state and does what it asks for. @param {import('./state.js').Step} r */
function take(r) {
  state = r.state;
  live.sync(r.sync);
  if (r.refetch) refetch();
  schedule();
}

/** @param {any} f */
function onFrame(f) {
  switch (f.op) {
    case 'hello':
      state = dropped(state);
      if (f.resumed) live.sync(holes(state));
      return;
    case 'message':
      arrived(f.message);
      return;
    case 'delta':
      if (f.v === streamAt[f.c] + 1) streamAt[f.c] = f.v;
      if (f.k === 'delete') remove(f.ids ? f.ids.map((/** @type {any} */ d) => d[0]) : [f.id]);
      if (f.k === 'reset' && shows(f.c)) reload();
      break;
    case 'access':
      if (view.channel && f.lost?.includes(view.channel)) {
        toast('You can no longer read that channel.');
        open({ kind: 'unread', title: 'Unread' });
      }
      messages = messages.filter((m) => !f.lost?.includes(m.channel));
      break;
    case 'recovered':
      if (shows(f.c)) reload();
  }
  take(reduce(state, f));
  if (f.op === 'snapshot' || f.op === 'count') catchUp();
}

const behind = () => Object.values(state.channels).some((c) => shows(c.id) && c.version > (streamAt[c.id] ?? -1));

let catching = 0;
/** catchUp fetches the stream again when something has happened that it was not told of, and is not about to be. */
function catchUp() {
  if (!behind()) return;
  clearTimeout(catching);
  catching = setTimeout(() => { if (behind()) reload(); }, 400);
}

const versions = () => Object.fromEntries(Object.values(state.channels).map((c) => [c.id, c.version]));

/** shows tells whether messages of a channel may stand in the stream. @param {string} channel */
const shows = (channel) => view.kind !== 'channel' || view.channel === channel;

let fetching = false;
async function refetch() {
  if (fetching) return;
  fetching = true;
  try {
    const [unread, guilds] = await Promise.all([api.unread(), api.guilds()]);
    for (const g of guilds.guilds) for (const c of g.parents) parents.set(c.id, { name: c.name, type: c.type });
    fetching = false;
    take(merge(state, unread));
  } catch (e) {
    failed(e);
  } finally {
    fetching = false;
  }
}

/** @param {any} m a message as everybody sees it */
function arrived(m) {
  const known = messages.some((x) => x.id === m.id);
  m.mentions_me = m.author.id !== me && mentionsMe(state, m.guild, m.mentions);
  if (!known) {
    if (!shows(m.channel)) return;
    if (next && messages.length && compare(m.id, messages[0].id) < 0) return; // in the part that is not loaded
    if (view.kind === 'mentions' && !m.mentions_me) return;
    if (view.kind === 'unread' && (!isUnread(m) || m.system)) return;
    if (!sticks()) below++;
  }
  messages = feed.insert(messages, m);
  schedule();
}

/** @param {string[]} ids */
function remove(ids) {
  const gone = new Set(ids);
  if (messages.some((m) => gone.has(m.id))) messages = messages.filter((m) => !gone.has(m.id));
  // A quote of what is gone goes with it.
  if (messages.some((m) => gone.has(m.reply?.id))) {
    messages = messages.map((m) => (gone.has(m.reply?.id) ? { ...m, reply: { id: m.reply.id, excerpt: '', deleted: true } } : m));
  }
}

/** @param {any} m */
function isUnread(m) {
  const c = m && state.channels[m.channel];
  return Boolean(c && !m.system && m.author.id !== me && compare(m.id, c.read_id) > 0);
}

// Views -----------------------------------------------------------------------------------------------------------------

/** @param {typeof view} v */
function addressOf(v) {
  return v.kind === 'channel' ? '/c/' + v.channel : v.kind === 'unread' ? '/' : '/?filter=' + v.kind;
}

function viewOfAddress() {
  const channel = /^\/c\/(\d+)$/.exec(location.pathname)?.[1];
  if (channel) return channelView(channel);
  const kind = new URLSearchParams(location.search).get('filter');
  return kind === 'mentions' ? { kind, title: 'Mentions' } : kind === 'all' ? { kind, title: 'Everything' } : { kind: 'unread', title: 'Unread' };
}

/** @param {string} id */
function channelView(id) {
  const c = state.channels[id];
  return { kind: 'channel', channel: id, title: c?.name ?? 'Channel', guild: c ? state.guilds[c.guild]?.name : '' };
}

/** open shows something else in the middle. @param {typeof view} v @param {boolean} [push] */
async function open(v, push = true) {
  opening.abort();
  opening = new AbortController();
  view = v;
  [messages, next, newFrom, selected, held, below] = [[], '', null, null, false, 0];
  if (push && location.pathname + location.search !== addressOf(v)) history.pushState(null, '', addressOf(v));
  drawer(false);
  live.watch(v.channel ? [v.channel] : 'all');
  stream.replaceChildren();
  stream.setAttribute('aria-busy', 'true');
  paint();
  await load(opening.signal);
  if (view === v) settle();
}

/** load fetches the newest page of the view and puts it in place of what is shown of that range. @param {AbortSignal} signal */
async function load(signal) {
  const since = versions();
  try {
    const page = view.channel ? await api.messages({ channel: view.channel }, signal) : await api.feed({ filter: view.kind }, signal);
    if (signal.aborted) return;
    const fresh = page.messages.toReversed();
    const from = fresh[0]?.id;
    // What came over the socket while the page was fetched is newer than the page.
    const newest = fresh.at(-1)?.id ?? null;
    const kept = messages.filter((m) => (from && page.next && view.channel && compare(m.id, from) < 0) || compare(m.id, newest) > 0);
    const hadOlder = view.channel && messages.length > 0 && compare(messages[0].id, from) < 0;
    messages = fresh.reduce((/** @type {any[]} */ list, /** @type {any} */ m) => feed.insert(list, m), kept);
    if (!hadOlder) next = page.next ?? '';
    for (const [id, v] of Object.entries(since)) streamAt[id] = Math.max(streamAt[id] ?? -1, v);
  } catch (e) {
    if (!(e instanceof DOMException)) failed(e);
  } finally {
    if (!signal.aborted) stream.setAttribute('aria-busy', 'false');
  }
}

let reloading = 0;
/** reload fetches the view again after something changed that was not told in detail. */
function reload() {
  clearTimeout(reloading);
  reloading = setTimeout(async () => {
    messages = view.channel ? messages.filter((m) => next && compare(m.id, messages.at(-50)?.id) < 0) : [];
    await load(opening.signal);
    schedule();
  }, 150);
}

/** settle draws a view that was just opened and scrolls to where reading begins. */
function settle() {
  newFrom = messages.find(isUnread)?.id ?? null;
  paint();
  const line = view.channel && newFrom ? stream.querySelector('.new-line') : null;
  if (line) line.scrollIntoView({ block: 'center' });
  else scroll.scrollTop = scroll.scrollHeight;
  if (view.kind === 'unread') scroll.scrollTop = 0;
  look();
}

async function loadOlder() {
  if (!next || older.hasAttribute('disabled')) return;
  older.setAttribute('disabled', '');
  const { signal } = opening;
  try {
    const page = view.channel ? await api.messages({ channel: view.channel, before: next }, signal) : await api.feed({ filter: view.kind, cursor: next }, signal);
    if (signal.aborted) return;
    const height = scroll.scrollHeight, top = scroll.scrollTop;
    messages = page.messages.reduce((/** @type {any[]} */ list, /** @type {any} */ m) => feed.insert(list, m), messages);
    next = page.next ?? '';
    paint();
    scroll.scrollTop = top + scroll.scrollHeight - height;
  } catch (e) {
    if (!(e instanceof DOMException)) failed(e);
  } finally {
    older.removeAttribute('disabled');
  }
}

// Painting --------------------------------------------------------------------------------------------------------------

let scheduled = false;
/** schedule paints once for however many frames came together. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  // A page in the background gets no animation frames, and its title must follow all the same.
  if (document.hidden) setTimeout(paint, 250);
  else requestAnimationFrame(paint);
}

function paint() {
  scheduled = false;
  const t = totals(state);
  document.title = (t.unread ? `(${short(t.unread)}) ` : '') + 'Tidings';
  const icon = byID('icon');
  const want = icon.dataset[t.mentions ? 'mention' : t.unread ? 'unread' : 'plain'] ?? '';
  if (icon.getAttribute('href') !== want) icon.setAttribute('href', want);
  byID('total').textContent = t.unread ? short(t.unread) : '';
  byID('mentions').textContent = t.mentions ? short(t.mentions) : '';
  for (const a of document.querySelectorAll('a[data-view]')) {
    if (a.getAttribute('data-view') === view.kind) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  inbox.draw(channels, state, { current: view.channel ?? null, filter: /** @type {HTMLInputElement} */ (filter).value, quiet, parents }, channels.matches(':hover'));
  byID('quiet').setAttribute('aria-pressed', String(quiet));

  const c = view.channel ? state.channels[view.channel] : null;
  byID('title').textContent = (c ? '#' : '') + (c?.name ?? view.title);
  byID('where').textContent = c ? [state.guilds[c.guild]?.name, view.topic].filter(Boolean).join(' · ') : summary(t);
  const unread = c ? c.unread : t.unread;
  const mark = byID('mark');
  mark.toggleAttribute('disabled', unread === 0);
  mark.title = c ? 'Mark this channel as read (m)' : 'Mark everything as read (Shift+M)';
  byID('mark-label').textContent = c ? 'Mark read' : 'Mark all read';

  const stick = sticks();
  if (stick) trim();
  feed.draw(stream, messages, {
    inFeed: view.kind !== 'channel', cdn: first.cdn, user: me, newFrom: view.channel ? newFrom : null,
    channelName: (id) => state.channels[id]?.name ?? parents.get(id)?.name,
    roleIsMine: (guild, role) => state.guilds[guild]?.roles.includes(role) ?? false,
  });
  const byId = new Map(messages.map((m) => [m.id, m]));
  for (const n of stream.querySelectorAll('article')) n.dataset.unread = String(isUnread(byId.get(n.dataset.id ?? '')));
  if (stick) {
    scroll.scrollTop = scroll.scrollHeight;
    below = 0;
  }
  older.hidden = !next || (view.kind === 'unread' && t.unread === 0);
  const busy = stream.getAttribute('aria-busy') === 'true';
  byID('end').hidden = busy || !(view.kind === 'unread' ? t.unread === 0 && !messages.some(isUnread) : messages.length === 0);
  byID('end-text').textContent = view.kind === 'unread' ? 'You have read everything.' : view.kind === 'mentions' ? 'Nobody has mentioned you.' : 'Nothing here yet.';
  byID('recovered').hidden = !c?.recovered;
  byID('recovered').textContent = c?.recovered ? `${inbox.count(c.recovered, 'message')} recovered from a gap; they may lie above what you have read.` : '';
  const pill = byID('pill');
  pill.hidden = below === 0;
  pill.textContent = `${inbox.count(below, 'new message')} ↓`;
  look();
}

/** @param {{unread: number, mentions: number}} t */
function summary(t) {
  const n = Object.values(state.channels).filter((c) => c.unread > 0 && !c.muted).length;
  if (!t.unread && !t.mentions) return 'All caught up';
  return [inbox.count(t.unread, 'message'), t.mentions ? inbox.count(t.mentions, 'mention') : '', 'in ' + inbox.count(n, 'channel')].filter(Boolean).join(' · ');
}

/** What a page that is open all day keeps at most; older messages are fetched again when somebody scrolls up. */
const mostShown = 600;

function trim() {
  if (messages.length <= mostShown) return;
  if (view.channel) {
    messages = messages.slice(-mostShown / 2);
    next = messages[0].id;
  } else {
    reload();
  }
}

/** sticks tells whether the stream follows what is new. The unread feed does so only while somebody looks: who comes back begins where they left. */
const sticks = () => atBottom() && (view.kind !== 'unread' || document.hasFocus());

const atBottom = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;

// Reading ---------------------------------------------------------------------------------------------------------------

let looking = 0, lookingAt = '';
/** look reads an open channel up to what has been in sight for a second, while the person is really here. */
function look() {
  if (!view.channel || held || document.hidden || !document.hasFocus()) {
    clearTimeout(looking);
    lookingAt = '';
    return;
  }
  const newest = newestInSight();
  if (!newest || newest === lookingAt) return;
  lookingAt = newest;
  clearTimeout(looking);
  const channel = view.channel;
  looking = setTimeout(async () => {
    lookingAt = '';
    const c = state.channels[channel];
    if (view.channel !== channel || held || document.hidden || !document.hasFocus() || !c || compare(newest, c.read_id) <= 0 || c.unread === 0) return;
    try {
      applyMark(await api.read({ channel, up_to: newest, rev: state.rev }));
    } catch (e) {
      if (!(e instanceof Problem && e.status === 409)) failed(e);
    }
  }, readAfter);
}

/** newestInSight is the newest unread message of which at least the beginning can be seen. */
function newestInSight() {
  const bottom = scroll.getBoundingClientRect().bottom;
  const nodes = [...stream.querySelectorAll('article')];
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (nodes[i].getBoundingClientRect().top < bottom - 16) return nodes[i].dataset.unread === 'true' ? nodes[i].dataset.id ?? '' : '';
  }
  return '';
}

/** @param {any} r what a mark answered */
function applyMark(r) {
  take(reduce(state, { op: 'read', rev: r.rev, channels: r.channels.map((/** @type {any} */ c) => ({ ...c, c: c.id, v: c.version })) }));
}

/** mark sends a mark by hand and offers to take it back. @param {() => Promise<any>} send @param {string} said */
async function mark(send, said) {
  try {
    const r = await send();
    applyMark(r);
    lastMark = r.rev;
    toast(said, 'Undo', undo);
  } catch (e) {
    failed(e);
  }
}

function markHere() {
  const m = messages.find((x) => x.id === selected);
  if (m) {
    const name = state.channels[m.channel]?.name ?? 'channel';
    held = false;
    mark(() => api.read({ channel: m.channel, up_to: m.id }), `Read up to here in #${name}.`);
  } else if (view.channel) {
    markChannel();
  } else {
    toast('Choose a message with j and k first.');
  }
}

function markChannel() {
  const c = view.channel ? state.channels[view.channel] : null;
  const shown = messages.at(-1)?.id ?? null;
  const upTo = c && compare(c.last_id, shown) > 0 ? c.last_id : shown;
  if (!c || !upTo) return;
  held = false;
  mark(() => api.read({ channel: c.id, up_to: upTo }), `#${c.name} is read.`);
}

function markAll() {
  const upTo = Object.values(state.channels).reduce((/** @type {string | null} */ l, c) => (compare(c.last_id, l) > 0 ? c.last_id : l), messages.at(-1)?.id ?? null);
  if (!upTo || totals(state).unread === 0) return;
  mark(() => api.read({ all: true, up_to: upTo }), 'Everything is read.');
}

function markUnread() {
  const m = messages.find((x) => x.id === selected);
  if (!m) {
    toast('Choose a message with j and k first.');
    return;
  }
  held = view.channel === m.channel;
  mark(() => api.markUnread(m.channel, m.id), `Unread from here in #${state.channels[m.channel]?.name ?? 'channel'}.`);
}

async function undo() {
  if (!lastMark) return;
  const rev = lastMark;
  lastMark = 0;
  held = Boolean(view.channel);
  try {
    applyMark(await api.undo(rev));
    toast('Taken back.');
  } catch (e) {
    failed(e);
  }
}

// What the person does --------------------------------------------------------------------------------------------------

/** @param {number} by */
function move(by) {
  const nodes = [...stream.querySelectorAll('article')];
  if (!nodes.length) return;
  let at = nodes.findIndex((n) => n.dataset.id === selected);
  if (at < 0) {
    const unread = nodes.findIndex((n) => n.dataset.unread === 'true');
    at = by < 0 ? nodes.length - 1 : Math.max(0, unread);
  } else {
    at = Math.max(0, Math.min(nodes.length - 1, at + by));
  }
  select(nodes[at]);
  if (at === 0 && by < 0) loadOlder();
}

/** @param {HTMLElement | null} node */
function select(node) {
  stream.querySelector('[data-selected]')?.removeAttribute('data-selected');
  selected = node?.dataset.id ?? null;
  if (!node) return;
  node.setAttribute('data-selected', '');
  node.focus({ preventScroll: true });
  node.scrollIntoView({ block: 'nearest' });
}

function nextChannel() {
  const rows = inbox.sections(state, { current: null, filter: '', quiet: false, parents }).flatMap((g) => g.rows.map((r) => r.channel)).filter((c) => c.unread > 0 && !c.muted && c.id !== view.channel);
  if (rows.length) open(channelView(rows[0].id));
  else toast('Everything is read.');
}

/** @param {boolean} out */
function drawer(out) {
  document.body.classList.toggle('drawer', out);
  byID('menu').setAttribute('aria-expanded', String(out));
  byID('inbox').toggleAttribute('inert', narrow.matches && !out);
  byID('main').toggleAttribute('inert', narrow.matches && out);
}

function find() {
  if (narrow.matches) drawer(true);
  filter.focus();
  /** @type {HTMLInputElement} */ (filter).select();
}

function help() {
  const box = /** @type {HTMLDialogElement} */ (byID('help'));
  if (!box.open) box.showModal();
}

function close() {
  if (document.body.classList.contains('drawer')) drawer(false);
  const input = /** @type {HTMLInputElement} */ (filter);
  if (document.activeElement === input) {
    input.value = '';
    input.blur();
    schedule();
  } else if (selected) {
    select(null);
  }
}

let toasting = 0;
/** @param {string} said @param {string} [action] @param {() => void} [act] */
function toast(said, action, act) {
  clearTimeout(toasting);
  const button = action ? el('button', { type: 'button' }, action) : null;
  button?.addEventListener('click', () => {
    toastBox.replaceChildren();
    act?.();
  });
  toastBox.replaceChildren(el('div', {}, el('span', {}, said), button));
  toasting = setTimeout(() => toastBox.replaceChildren(), 6000);
}

/** @param {unknown} e */
function failed(e) {
  if (e instanceof Problem && e.status === 401) {
    onStatus('out');
  } else if (e instanceof Problem && e.status === 404 && view.channel) {
    toast('This channel is gone, or no longer yours to read.');
    open({ kind: 'unread', title: 'Unread' });
  } else {
    toast(e instanceof Problem ? e.message : 'Something went wrong in this page. Reload it if it goes on.');
    if (!(e instanceof Problem)) throw e;
  }
}

/** @param {'live' | 'connecting' | 'polling' | 'out'} status */
function onStatus(status) {
  const said = { live: 'Live', connecting: 'Connecting…', polling: 'Not live; looking every 15 seconds', out: 'Signed out' }[status];
  byID('status').textContent = said;
  document.body.dataset.status = status;
  if (status === 'out') {
    live.stop();
    clearTimeout(toasting);
    toastBox.replaceChildren(el('div', {}, el('span', {}, 'You are signed out.'),
      el('a', { href: '/login?to=' + encodeURIComponent(location.pathname + location.search) }, 'Sign in again')));
  }
}

/** follow opens what a link inside the page points to, without loading the page anew. @param {MouseEvent} e */
function follow(e) {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const target = /** @type {HTMLElement} */ (e.target);
  const a = target.closest('a[data-open], a[data-view]');
  if (a) {
    e.preventDefault();
    const channel = a.getAttribute('data-open'), kind = a.getAttribute('data-view') ?? 'unread';
    open(channel ? channelView(channel) : { kind, title: { unread: 'Unread', mentions: 'Mentions', all: 'Everything' }[kind] ?? '' });
    return;
  }
  target.closest('.spoiler')?.classList.toggle('shown');
  const message = target.closest('article');
  if (message && !target.closest('a, button, .spoiler, time') && getSelection()?.isCollapsed) select(/** @type {HTMLElement} */ (message));
}

function start() {
  document.addEventListener('click', follow);
  document.addEventListener('keydown', (e) => {
    const target = /** @type {HTMLElement} */ (e.target);
    if ((e.key === 'Enter' || e.key === ' ') && target.classList.contains('spoiler')) {
      e.preventDefault();
      target.classList.toggle('shown');
    }
  });
  byID('mark').addEventListener('click', () => (view.channel ? markChannel() : markAll()));
  byID('menu').addEventListener('click', () => drawer(true));
  byID('shade').addEventListener('click', () => drawer(false));
  byID('keys').addEventListener('click', help);
  byID('pill').addEventListener('click', () => {
    scroll.scrollTop = scroll.scrollHeight;
    below = 0;
    schedule();
  });
  byID('quiet').addEventListener('click', () => {
    quiet = !quiet;
    localStorage.setItem('quiet', quiet ? 'yes' : 'no');
    schedule();
  });
  older.addEventListener('click', loadOlder);
  let top = scroll.scrollTop;
  scroll.addEventListener('scroll', () => {
    const up = scroll.scrollTop < top;
    top = scroll.scrollTop;
    if (up && top < 400) loadOlder();
    if (below && atBottom()) {
      below = 0;
      schedule();
    }
    look();
  }, { passive: true });
  filter.addEventListener('input', schedule);
  filter.addEventListener('keydown', (e) => {
    const hit = /** @type {HTMLElement | null} */ (channels.querySelector('a[data-open]'));
    if (e.key === 'Enter' && hit) {
      /** @type {HTMLInputElement} */ (filter).value = '';
      filter.blur();
      hit.click();
    } else if (e.key === 'ArrowDown') {
      e.preventDefault();
      hit?.focus();
    }
  });
  channels.addEventListener('keydown', (e) => {
    const rows = [...channels.querySelectorAll('a[data-open]')], at = rows.indexOf(/** @type {Element} */ (document.activeElement));
    const by = e.key === 'ArrowDown' ? 1 : e.key === 'ArrowUp' ? -1 : 0;
    if (!by || at < 0) return;
    e.preventDefault();
    /** @type {HTMLElement | undefined} */ (rows[at + by])?.focus();
  });
  channels.addEventListener('mouseleave', schedule);
  window.addEventListener('popstate', () => open(viewOfAddress(), false));
  window.addEventListener('focus', look);
  window.addEventListener('blur', look);
  window.addEventListener('online', () => live.wake());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) {
      live.wake();
      schedule();
    }
  });
  narrow.addEventListener('change', () => drawer(false));
  byID('help-keys').append(...keys.map((k) => el('div', {}, el('dt', {}, ...k.key.split(' ').map((x) => el('kbd', {}, x === 'M' ? 'Shift+M' : x))), el('dd', {}, k.text))));
  listen({
    next: () => move(1), previous: () => move(-1), read: markHere, readAll: markAll, unread: markUnread, undo, nextChannel, find, help, close,
    open: () => {
      const m = messages.find((x) => x.id === selected);
      if (m && view.channel !== m.channel) open(channelView(m.channel));
    },
    goFeed: () => open({ kind: 'unread', title: 'Unread' }), goMentions: () => open({ kind: 'mentions', title: 'Mentions' }),
    goInbox: () => {
      if (narrow.matches) drawer(true);
      /** @type {HTMLElement | null} */ (channels.querySelector('a[data-open]'))?.focus();
    },
  });
  drawer(false);
  streamAt = versions();
  settle();
  live.watch(view.channel ? [view.channel] : 'all');
  live.start();
  document.body.dataset.ready = 'yes';
}

start();
