// What stands beside the stream: a thread, what is pinned, a search in the open channel, its threads, what is known of it, and
// what this service does not cover. Loaded when it is first asked for.

import { api, Problem } from './api.js';
import { byID, count, el, short, tone, initial } from './render/dom.js';
import * as streams from './render/stream.js';
import { fullTime, since, tick } from './render/time.js';
import { isThread } from './render/inbox.js';
import * as list from './list.js';
import { compare } from './state.js';
import { nameOf, page } from './page.js';
import { channelView, open, shows } from './views.js';
import { markTo, seen } from './reading.js';
import { context } from './context.js';
import { highlight } from './found.js';
import { onGone, onMessage, watch } from './sync.js';
import { words } from './words.js';

/** @typedef {'thread' | 'pins' | 'find' | 'threads' | 'about' | 'coverage'} Kind */

const aside = byID('beside'), body = byID('beside-body'), scroll = byID('beside-scroll'), title = byID('beside-title'), note = byID('beside-note'), form = byID('beside-find');
const input = /** @type {HTMLInputElement} */ (byID('beside-input'));
const pageSize = 50;

/** @type {{kind: Kind, channel: string, list: list.List, q: string, busy: boolean, said: string, newFrom: string | null, at: AbortController} | null} */
let shown = null;
/** @type {HTMLElement | null} */
let opener = null;

/** show shows something beside the stream; the same again closes it. @param {Kind} kind @param {string} channel */
export async function show(kind, channel) {
  if (shown && shown.kind === kind && shown.channel === channel && kind !== 'find') return close();
  if (!aside.contains(document.activeElement)) opener = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  shown?.at.abort();
  shown = { kind, channel, list: list.none(), q: '', busy: true, said: '', newFrom: null, at: new AbortController() };
  page.beside = { channel, messages: [] };
  aside.hidden = false;
  document.body.classList.add('with-beside');
  watch();
  body.replaceChildren();
  form.hidden = kind !== 'find';
  head();
  if (kind === 'find') {
    shown.busy = false;
    input.value = '';
    paint();
    input.focus();
    return;
  }
  title.focus({ preventScroll: true });
  paint();
  await load();
}

/** isOpen tells what is beside. @returns {{kind: Kind, channel: string} | null} */
export const isOpen = () => shown;

/** close takes it away and gives the focus back. */
export function close() {
  if (!shown) return;
  shown.at.abort();
  shown = null;
  page.beside = null;
  aside.hidden = true;
  document.body.classList.remove('with-beside');
  watch();
  const back = opener?.isConnected && opener !== document.body ? opener : byID('scroll');
  opener = null;
  back.focus({ preventScroll: true });
}

/** left is told when the middle shows something else: what belonged to it goes. @param {import('./page.js').View} v */
export function left(v) {
  if (!shown || shown.kind === 'coverage') return;
  if (shown.kind === 'thread' && v.channel && (shown.channel !== v.channel && parentOf(shown.channel) === v.channel)) return;
  if (v.channel !== shown.channel || shown.kind === 'thread') {
    opener = null;
    close();
  }
}

/** @param {string} channel */
const parentOf = (channel) => page.state.channels[channel]?.parent ?? null;

function head() {
  if (!shown) return;
  const { kind, channel } = shown, name = nameOf(channel) ?? '';
  title.replaceChildren(...{
    thread: ['↳ ', el('bdi', {}, name)], pins: [words.pins], find: [words.findIn(''), el('bdi', {}, '#' + name)], about: [words.about],
    threads: [isForum(channel) ? words.posts : words.threads], coverage: [words.notCovered],
  }[kind]);
  const whole = /** @type {HTMLAnchorElement} */ (byID('beside-whole'));
  whole.hidden = kind !== 'thread';
  whole.href = '/c/' + channel;
  whole.dataset.open = channel;
  input.placeholder = words.findHelp;
  input.setAttribute('aria-label', words.findIn('#' + name));
}

/** @param {string} channel */
const isForum = (channel) => [15, 16].includes(page.parents.get(channel)?.type ?? 0);

async function load() {
  const s = shown;
  if (!s) return;
  const { signal } = s.at;
  try {
    switch (s.kind) {
      case 'thread': {
        const { version } = page.state.channels[s.channel] ?? {};
        const p = await api.messages({ channel: s.channel, limit: pageSize }, signal);
        if (signal.aborted) return;
        s.list = { ...list.none(), messages: [...p.messages].reverse(), older: Boolean(p.next) };
        if (version !== undefined && !shows(s.channel)) page.heard.fetched(s.channel, version);
        s.busy = false;
        paint();
        const line = body.querySelector('.new-line');
        if (line) line.scrollIntoView({ block: 'center' });
        else scroll.scrollTop = scroll.scrollHeight;
        look();
        return;
      }
      case 'pins': {
        const p = await api.pins(s.channel, signal);
        if (signal.aborted) return;
        s.list = { ...list.none(), messages: p.messages };
        s.busy = false;
        paint();
        if (p.elsewhere.length) {
          const g = page.state.channels[s.channel]?.guild;
          note.replaceChildren(words.pinnedElsewhere(p.elsewhere.length), el('a', { href: `https://discord.com/channels/${g}/${s.channel}`, target: '_blank', rel: 'noopener noreferrer' }, words.seeInDiscord));
          note.hidden = false;
        }
        return;
      }
      case 'about': body.replaceChildren(...about(await api.channel(s.channel, signal))); break;
      case 'coverage': body.replaceChildren(...coverage(await api.coverage())); break;
    }
    if (signal.aborted) return;
    s.busy = false;
    paint();
  } catch (e) {
    if (signal.aborted) return;
    s.busy = false;
    s.said = e instanceof Problem ? e.message : words.pageFault;
    paint();
    if (!(e instanceof Problem)) throw e;
  }
}

/** paint draws what is beside, from what is known of it. */
export function paint() {
  const s = shown;
  if (!s) return;
  aside.setAttribute('aria-busy', String(s.busy));
  if (page.beside) page.beside.messages = s.list.messages;
  const ofMessages = s.kind === 'thread' || s.kind === 'pins' || s.kind === 'find';
  body.classList.toggle('stream', ofMessages);
  if (ofMessages) {
    const firstUnread = s.kind === 'thread' ? page.state.channels[s.channel]?.read_id : null;
    s.newFrom ??= firstUnread ? s.list.messages.find((m) => compare(m.id, firstUnread) > 0 && m.author.id !== page.me && !m.system)?.id ?? null : null;
    streams.draw(body, s.list.messages, { ...context(), inFeed: false, newFrom: s.newFrom, newLabel: words.new, dated: s.kind !== 'thread' });
    highlight('found-beside', body, s.kind === 'find' ? s.q : '');
  } else if (s.kind === 'threads') body.replaceChildren(...threads(s.channel));
  const none = { thread: words.empty.channel, pins: words.nothingPinned, find: s.q ? words.nothingFound : '', threads: isForum(s.channel) ? words.noPosts : words.noThreads, about: '', coverage: '' }[s.kind];
  const empty = ofMessages ? s.list.messages.length === 0 : s.kind === 'threads' && body.childElementCount === 0;
  const said = s.busy ? words.loading : s.said || (empty ? none : '');
  if (s.kind !== 'pins' || said) {
    if (note.textContent !== said) note.textContent = said;
    note.hidden = !said;
  } else if (s.busy || !note.querySelector('a')) note.hidden = true;
}

// Threads of a channel, posts of a forum ---------------------------------------------------------------------------------

/** threadsOf are those that can be read, the latest first. @param {string} channel */
export function threadsOf(channel) {
  return Object.values(page.state.channels).filter((c) => isThread(c) && c.parent === channel).sort((a, b) => compare(b.last_id ?? b.id, a.last_id ?? a.id));
}

/** @param {string} channel */
function threads(channel) {
  return threadsOf(channel).map((c) => {
    const last = new Date(Number((BigInt(c.last_id ?? c.id) >> 22n) + 1_420_070_400_000n));
    const row = el('button', { type: 'button', class: 'thread-row' + (c.unread ? ' unread' : ''), 'data-thread': c.id },
      el('span', { class: 'icon ' + tone(c.id), 'aria-hidden': 'true' }, initial(c.name)),
      el('span', { class: 'name' }, el('bdi', {}, c.name), el('small', {}, since(last))),
      el('span', { class: 'badges' }, c.mentions > 0 && el('span', { class: 'badge alert', title: words.mentionsOf(c.mentions) }, '@' + short(c.mentions)),
        c.unread > 0 && el('span', { class: 'badge', title: words.unreadMessages(c.unread) }, short(c.unread))));
    row.addEventListener('click', () => show('thread', c.id));
    return row;
  });
}

// What is known of a channel -----------------------------------------------------------------------------------------------

/** @param {string} label @param {...any} said */
const fact = (label, ...said) => el('div', {}, el('dt', {}, label), el('dd', {}, ...said));

/** @param {any} d the channel as the API tells it */
function about(d) {
  const guild = page.state.guilds[d.guild], parent = nameOf(d.parent);
  const facts = el('dl', { class: 'facts' },
    fact(words.inServerLabel, el('bdi', {}, guild?.name ?? '')), parent && fact(words.inLabel, el('bdi', {}, parent)),
    fact(words.topic, el('span', { dir: 'auto' }, d.topic || words.noTopic)),
    fact(words.completeSince, d.complete_since ? el('time', { datetime: d.complete_since }, fullTime(new Date(d.complete_since))) : words.completeUnknown));
  const open = threadsOf(d.id).length;
  if (open) {
    const b = el('button', { type: 'button', class: 'link' }, count(open, 'thread'));
    b.addEventListener('click', () => show('threads', d.id));
    facts.append(fact(words.activeThreads, b));
  }
  for (const g of d.gaps) {
    const when = fullTime(new Date(g.since));
    facts.append(fact(words.gaps, g.backfill ? words.itsPast : g.reason, ' · ', words.gapSince, ' ', el('time', { datetime: g.since, title: when }, since(new Date(g.since)))));
  }
  for (const r of d.recovered.slice(0, 10)) {
    const a = el('a', { href: `/c/${d.id}?at=${r.from}`, 'data-open': d.id, 'data-at': r.from }, words.recoveredShort(r.n));
    facts.append(fact(words.recoveredLabel, a));
  }
  return [facts];
}

/** @param {any} c what GET /api/coverage tells */
function coverage(c) {
  const servers = c.servers.map((/** @type {any} */ g) => el('li', {}, el('span', { class: 'icon ' + tone(g.id), 'aria-hidden': 'true' }, initial(g.name)), el('bdi', {}, g.name)));
  const channels = c.channels.map((/** @type {any} */ x) => el('li', {}, el('span', { class: 'glyph', 'aria-hidden': 'true' }, '#'), el('a', { href: `https://discord.com/channels/${x.guild}/${x.id}`, target: '_blank', rel: 'noopener noreferrer' },
    el('bdi', {}, x.name)), el('small', {}, el('bdi', {}, x.guild_name))));
  const said = [c.unchecked.length ? words.uncheckedServers : '', c.asked_at ? '' : words.serversNeverAsked].filter(Boolean);
  if (!servers.length && !channels.length) return [el('p', { class: 'lead' }, words.everythingCovered), ...said.map((s) => el('p', { class: 'lead' }, s))];
  return [el('p', { class: 'lead' }, words.notCoveredWhy),
    ...(servers.length ? [el('h3', {}, words.notCoveredServers), el('ul', { class: 'uncovered' }, ...servers)] : []),
    ...(channels.length ? [el('h3', {}, words.notCoveredChannels), el('ul', { class: 'uncovered' }, ...channels)] : []),
    el('p', { class: 'lead' }, words.notCoveredCure), ...said.map((s) => el('p', { class: 'lead' }, s))];
}

// A search in the open channel ---------------------------------------------------------------------------------------------

form.addEventListener('submit', async (e) => {
  e.preventDefault();
  const s = shown;
  if (!s || s.kind !== 'find') return;
  s.at.abort();
  s.at = new AbortController();
  const { signal } = s.at;
  s.q = input.value.trim();
  Object.assign(s, { busy: Boolean(s.q), said: '', list: list.none() });
  paint();
  if (s.q) await hits(s, signal);
});

/** @param {NonNullable<typeof shown>} s @param {AbortSignal} signal */
async function hits(s, signal) {
  try {
    const p = await api.search({ q: `in:${s.channel} ${s.q}`, cursor: s.list.olderCursor || undefined }, signal);
    if (signal.aborted) return;
    s.list = { ...s.list, messages: [...s.list.messages, ...p.messages], older: Boolean(p.next), olderCursor: p.next ?? '' };
  } catch (err) {
    if (signal.aborted) return;
    s.said = err instanceof Problem ? err.message : words.pageFault;
  }
  s.busy = false;
  paint();
}

// Moving, reading, more ------------------------------------------------------------------------------------------------------

scroll.addEventListener('scroll', () => {
  look();
  more();
}, { passive: true });

let looking = 0;
/** look reads a thread as far as it was seen. */
function look() {
  if (shown?.kind !== 'thread') return;
  clearTimeout(looking);
  const at = shown;
  looking = setTimeout(() => {
    if (shown !== at) return;
    const bottom = scroll.getBoundingClientRect().bottom - 8;
    const last = [...body.querySelectorAll('article')].findLast((n) => n.getBoundingClientRect().top < bottom);
    if (last?.dataset.id) seen(at.channel, last.dataset.id);
  }, 1000);
}

async function more() {
  const s = shown;
  if (!s || s.busy || !s.list.older) return;
  const { signal } = s.at;
  if (s.kind === 'find' && scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 400) {
    s.busy = true;
    await hits(s, signal);
  } else if (s.kind === 'thread' && scroll.scrollTop < 400) {
    s.busy = true;
    try {
      const p = await api.messages({ channel: s.channel, before: s.list.messages[0].id, limit: pageSize }, signal);
      if (signal.aborted) return;
      const height = scroll.scrollHeight, top = scroll.scrollTop;
      s.list = list.grown(s.list, 'older', p.messages, '', Boolean(p.next), 1000);
      s.busy = false;
      paint();
      scroll.scrollTop = top + scroll.scrollHeight - height;
    } catch (e) {
      s.busy = false;
      if (!signal.aborted && !(e instanceof Problem)) throw e;
    }
  }
}

/** @param {any} m */
function came(m) {
  const s = shown;
  if (!s) return;
  const known = s.list.messages.some((x) => x.id === m.id);
  if (s.kind === 'thread' && m.channel === s.channel) {
    const end = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
    s.list = list.arrived(s.list, m, end, 1000);
    paint();
    if (end) scroll.scrollTop = scroll.scrollHeight;
    look();
  } else if (known) {
    s.list = { ...s.list, messages: s.list.messages.map((x) => (x.id === m.id ? m : x)) };
    paint();
  }
}
onMessage.push(came);
onGone.push((ids) => {
  if (!shown) return;
  shown.list = list.without(shown.list, ids);
  paint();
});

/** again has a thread fetched anew after something was not told in detail. @param {string} channel */
export function again(channel) {
  if (shown?.kind === 'thread' && shown.channel === channel) load();
}

/** lost closes what can no longer be read. */
export function lost() {
  if (shown && shown.kind !== 'coverage' && !page.state.channels[shown.channel] && !isForum(shown.channel)) close();
}

aside.addEventListener('keydown', (e) => {
  const target = /** @type {HTMLElement} */ (e.target);
  if (e.key === 'Escape') {
    e.preventDefault();
    e.stopPropagation();
    close();
    return;
  }
  if (target.closest('input') || e.ctrlKey || e.metaKey || e.altKey) return;
  const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[e.key];
  if (by) {
    const nodes = /** @type {HTMLElement[]} */ ([...body.querySelectorAll('article, .thread-row')]);
    if (!nodes.length) return;
    const at = nodes.findIndex((n) => n.contains(document.activeElement));
    const next = nodes[Math.max(0, Math.min(nodes.length - 1, at < 0 ? (by > 0 ? 0 : nodes.length - 1) : at + by))];
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
    e.preventDefault();
    e.stopPropagation();
  } else if (e.key === 'm' && shown?.kind === 'thread') {
    const id = target.closest('article')?.dataset.id;
    const m = shown.list.messages.find((x) => x.id === id) ?? shown.list.messages.at(-1);
    if (m) markTo(m);
    e.preventDefault();
    e.stopPropagation();
  } else if (e.key === 'Enter' && target.matches('article')) {
    const m = shown?.list.messages.find((x) => x.id === target.dataset.id);
    if (m) open(channelView(m.channel, m.id));
    e.preventDefault();
    e.stopPropagation();
  }
});
byID('beside-close').addEventListener('click', close);
tick(body);
