// The inbox on the left: servers, their channels with counts, threads and posts below what they are in.

import { el, short, tone, initial } from './dom.js';
import { words } from '../words.js';
import { place } from './stream.js';
import { compare, muted } from '../state.js';

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../state.js').Channel} Channel
 * @typedef {{current: string | null, filter: string, quiet: boolean, folded: Set<string>, parents: Map<string, {name: string, type: number}>, nameOf?: (id: string) => string | undefined}} Look
 * @typedef {{channel: Channel, parent: string, nested: boolean}} Row parent is the id of what is named above the row, and is no row itself; '' for none
 */

/** byNeed puts mentions first, then what is unread, then what was active last. @param {Channel} a @param {Channel} b */
export function byNeed(a, b) {
  return Number(b.mentions > 0) - Number(a.mentions > 0) || Number(b.unread > 0 && !muted(b)) - Number(a.unread > 0 && !muted(a)) ||
    Number(muted(a)) - Number(muted(b)) || compare(b.last_id, a.last_id) || compare(a.id, b.id);
}

export const isThread = (/** @type {Channel} */ c) => c.type >= 10 && c.type <= 12;
const isForum = (/** @type {number | undefined} */ type) => type === 15 || type === 16;

/**
 * sections orders what the inbox shows: per server a list of channels, each with its threads.
 * @param {State} s @param {Look} look
 */
export function sections(s, look) {
  const wanted = look.filter.trim().toLowerCase();
  /** @type {Map<string, Channel[]>} */
  const guilds = new Map();
  for (const c of Object.values(s.channels)) {
    const shown = wanted ? c.name.toLowerCase().includes(wanted) || (s.guilds[c.guild]?.name ?? '').toLowerCase().includes(wanted)
      : c.unread > 0 || c.mentions > 0 || c.id === look.current || (look.quiet && !isThread(c));
    if (!shown) continue;
    const list = guilds.get(c.guild);
    if (list) list.push(c);
    else guilds.set(c.guild, [c]);
  }
  return [...guilds].map(([id, list]) => {
    list.sort(byNeed);
    // Threads stand in the place of the first of what they are in.
    /** @type {Map<string, {head: Channel | null, threads: Channel[]}>} */
    const groups = new Map();
    for (const c of list) {
      const key = isThread(c) && c.parent ? c.parent : c.id;
      const g = groups.get(key) ?? { head: null, threads: [] };
      groups.set(key, g);
      if (isThread(c) && c.parent) g.threads.push(c);
      else g.head = c;
    }
    /** @type {Row[]} */
    const rows = [];
    for (const [key, g] of groups) {
      if (g.head) rows.push({ channel: g.head, parent: '', nested: false });
      g.threads.forEach((t) => rows.push({ channel: t, parent: g.head ? '' : key, nested: true }));
    }
    let unread = 0, mentions = 0;
    /** @type {string | null} */
    let last = null;
    for (const c of list) {
      if (!muted(c)) unread += c.unread;
      mentions += c.mentions;
      if (compare(c.last_id, last) > 0) last = c.last_id;
    }
    return { id, name: s.guilds[id]?.name ?? '', rows, unread, mentions, last };
  }).sort((a, b) => Number(b.mentions > 0) - Number(a.mentions > 0) || Number(b.unread > 0) - Number(a.unread > 0) || compare(b.last, a.last) || compare(a.id, b.id));
}

/** How long the order stands once it was made: what moves under the eye is not calm. */
const steadyFor = 3000;

/** @type {{rows: Map<string, HTMLElement>, set: string, at: number, look: string}} */
const before = { rows: new Map(), set: '', at: 0, look: '' };

/**
 * draw shows the inbox. While steady, rows stay where they are and only counts change: nobody wants to click on what has
 * just moved away. It returns when it would like to be called again for the sake of the order, in ms; 0 for not.
 * @param {HTMLElement} root @param {State} s @param {Look} look @param {boolean} steady
 */
export function draw(root, s, look, steady) {
  const list = sections(s, look);
  const order = list.map((g) => g.id + ':' + (look.folded.has(g.id) && !look.filter ? '-' : g.rows.map((r) => r.channel.id + r.parent).join())).join(';');
  const set = order.split(/[;:,]/).sort().join();
  const lookKey = look.filter + look.quiet;
  const same = set === before.set && lookKey === before.look && root.childElementCount > 0;
  const now = performance.now();
  const hold = steady && lookKey === before.look && root.childElementCount > 0 && [...before.rows.keys()].every((id) => s.channels[id]);
  if (hold || (same && now - before.at < steadyFor)) {
    refresh(root, s, look, list);
    return hold ? 0 : order === root.dataset.order ? 0 : steadyFor - (now - before.at);
  }
  before.set = set;
  before.look = lookKey;
  before.at = now;
  root.dataset.order = order;

  /** @type {Map<string, HTMLElement>} */
  const rows = new Map();
  const old = new Map([...root.children].map((n) => [/** @type {HTMLElement} */ (n).dataset.guild, /** @type {HTMLElement} */ (n)]));
  const sectionsOf = list.map((g) => {
    const section = old.get(g.id) ?? guild(g.id, g.name);
    const folded = look.folded.has(g.id) && !look.filter;
    /** @type {HTMLElement[]} */
    const items = [];
    let above = '';
    if (!folded) {
      for (const r of g.rows) {
        if (r.parent && r.parent !== above) items.push(heading(r.parent, look));
        above = r.parent;
        const li = before.rows.get(r.channel.id)?.parentElement ?? el('li', {}, row(r.channel));
        li.classList.toggle('nested', r.nested);
        rows.set(r.channel.id, /** @type {HTMLElement} */ (li.firstElementChild));
        items.push(li);
      }
    }
    place(/** @type {HTMLElement} */ (section.querySelector('ul')), items);
    return section;
  });
  before.rows = rows;
  const focused = document.activeElement;
  place(root, sectionsOf.length ? sectionsOf : [el('p', { class: 'none' }, look.filter ? words.nobodyCalledSo : words.everythingIsRead)]);
  if (focused instanceof HTMLElement && focused !== document.activeElement && root.contains(focused)) focused.focus({ preventScroll: true });
  refresh(root, s, look, list);
  return 0;
}

/** @param {string} id @param {string} name */
function guild(id, name) {
  return el('section', { class: 'guild', 'data-guild': id, 'aria-label': name },
    el('h2', {}, el('button', { type: 'button', class: 'fold', 'data-fold': id, 'aria-expanded': 'true' },
      el('span', { class: 'icon ' + tone(id), 'aria-hidden': 'true' }, initial(name)), el('bdi', {}, name), el('span', { class: 'badges' }))),
    el('ul'));
}

/** heading names what threads are in when it has no row of its own. @param {string} id @param {Look} look */
function heading(id, look) {
  const p = look.parents.get(id);
  return el('li', { class: 'parent' }, el('span', { class: 'glyph', 'aria-hidden': 'true' }, isForum(p?.type) ? '▤' : '#'), el('bdi', {}, p?.name ?? look.nameOf?.(id) ?? words.threads));
}

/** glyphOf is what stands before a channel's name. @param {{type: number}} c */
export const glyphOf = ({ type }) => (type >= 10 && type <= 12 ? '↳' : type === 2 || type === 13 ? '◉' : type === 5 ? '◆' : '#');

/** @param {Channel} c */
function row(c) {
  return el('a', { href: '/c/' + c.id, 'data-open': c.id },
    el('span', { class: 'glyph', 'aria-hidden': 'true' }, glyphOf(c)),
    el('span', { class: 'name' }, el('bdi', {}, c.name)), el('span', { class: 'badges' }));
}

/** refresh writes the counts. @param {HTMLElement} root @param {State} s @param {Look} look @param {ReturnType<typeof sections>} list */
function refresh(root, s, look, list) {
  for (const [id, node] of before.rows) update(node, s.channels[id], look);
  for (const section of root.children) {
    if (!(section instanceof HTMLElement) || !section.dataset.guild) continue;
    const g = list.find((x) => x.id === section.dataset.guild);
    const folded = look.folded.has(section.dataset.guild) && !look.filter;
    const key = `${folded} ${g?.unread} ${g?.mentions}`;
    if (section.dataset.key === key) continue;
    section.dataset.key = key;
    section.classList.toggle('folded', folded);
    section.querySelector('.fold')?.setAttribute('aria-expanded', String(!folded));
    section.querySelector('.fold .badges')?.replaceChildren(...(folded && g ? badges(g) : []));
  }
}

/** @param {{unread: number, mentions: number}} c */
function badges(c) {
  return [
    ...(c.mentions > 0 ? [el('span', { class: 'badge alert', title: words.mentionsOf(c.mentions) }, '@' + short(c.mentions))] : []),
    ...(c.unread > 0 ? [el('span', { class: 'badge', title: words.unreadMessages(c.unread) }, short(c.unread))] : []),
  ];
}

/** @type {WeakMap<Element, string>} */
const written = new WeakMap();

/** @param {HTMLElement} node @param {Channel | undefined} c @param {Look} look */
function update(node, c, look) {
  if (!c) return;
  const quiet = muted(c), current = look.current === c.id;
  const key = `${c.name} ${c.unread} ${c.mentions} ${quiet} ${current} ${c.recovered} ${c.complete_since === null}`;
  if (written.get(node) === key) return;
  written.set(node, key);
  node.classList.toggle('unread', c.unread > 0 && !quiet);
  node.classList.toggle('muted', quiet);
  if (current) node.setAttribute('aria-current', 'page');
  else node.removeAttribute('aria-current');
  const name = node.querySelector('bdi');
  if (name && name.textContent !== c.name) name.textContent = c.name;
  node.querySelector('.badges')?.replaceChildren(
    ...(c.complete_since === null ? [el('span', { class: 'healing', role: 'img', 'aria-label': words.healingLabel, title: words.healingMark }, '◌')] : []),
    ...(c.recovered ? [el('span', { class: 'healing', role: 'img', 'aria-label': words.recoveredShort(c.recovered), title: words.recoveredShort(c.recovered) }, '+' + short(c.recovered))] : []),
    ...badges(c));
}
