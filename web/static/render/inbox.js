// The inbox on the left: servers, their channels with counts, threads below their parents.

import { el, short, tone, initial } from './dom.js';
import { compare } from '../state.js';

/**
 * @typedef {import('../state.js').State} State
 * @typedef {import('../state.js').Channel} Channel
 * @typedef {{current: string | null, filter: string, quiet: boolean, parents: Map<string, {name: string, type: number}>}} Look
 */

/** byNeed puts mentions first, then unread, then what was active last. @param {Channel} a @param {Channel} b */
export function byNeed(a, b) {
  return Number(b.mentions > 0) - Number(a.mentions > 0) || Number(b.unread > 0 && !b.muted) - Number(a.unread > 0 && !a.muted) || compare(b.last_id, a.last_id) ||
    compare(a.id, b.id);
}

const isThread = (/** @type {Channel} */ c) => c.type >= 10 && c.type <= 12;

/**
 * sections orders what the inbox shows: per server a list of channels, each with its threads.
 * @param {State} s @param {Look} look
 */
export function sections(s, look) {
  const wanted = look.filter.trim().toLowerCase();
  const shown = Object.values(s.channels).filter((c) => {
    if (wanted) return c.name.toLowerCase().includes(wanted) || (s.guilds[c.guild]?.name ?? '').toLowerCase().includes(wanted);
    return c.unread > 0 || c.mentions > 0 || c.id === look.current || (look.quiet && !isThread(c));
  });
  /** @type {Map<string, Channel[]>} */
  const guilds = new Map();
  for (const c of shown) guilds.set(c.guild, [...(guilds.get(c.guild) ?? []), c]);
  return [...guilds].map(([id, list]) => {
    const here = new Set(list.map((c) => c.id));
    const top = list.filter((c) => !isThread(c) || !c.parent || !here.has(c.parent)).sort(byNeed);
    const rows = top.flatMap((c) => [
      { channel: c, under: isThread(c) && c.parent ? s.channels[c.parent]?.name ?? look.parents.get(c.parent)?.name ?? '' : '', nested: false },
      ...list.filter((t) => isThread(t) && t.parent === c.id).sort(byNeed).map((t) => ({ channel: t, under: '', nested: true })),
    ]);
    const unread = list.reduce((n, c) => n + (c.muted ? 0 : c.unread), 0), mentions = list.reduce((n, c) => n + c.mentions, 0);
    return { id, name: s.guilds[id]?.name ?? '', rows, unread, mentions, last: list.reduce((l, c) => (compare(c.last_id, l) > 0 ? c.last_id : l), /** @type {string | null} */ (null)) };
  }).sort((a, b) => Number(b.mentions > 0) - Number(a.mentions > 0) || Number(b.unread > 0) - Number(a.unread > 0) || compare(b.last, a.last) || compare(a.id, b.id));
}

/** orderOf is what must not change under somebody's hand. @param {ReturnType<typeof sections>} list */
const orderOf = (list) => list.flatMap((g) => g.rows.map((r) => r.channel.id));

/**
 * draw shows the inbox. While steady, rows stay where they are and only counts change: nobody wants to click on what has
 * just moved away.
 * @param {HTMLElement} root @param {State} s @param {Look} look @param {boolean} steady
 */
export function draw(root, s, look, steady) {
  const list = sections(s, look);
  const drawn = /** @type {string[] | undefined} */ (/** @type {any} */ (root).order);
  const order = orderOf(list);
  const same = drawn && drawn.length === order.length && order.every((id, i) => drawn[i] === id);
  if (drawn && (same || (steady && drawn.every((id) => s.channels[id])))) {
    for (const row of root.querySelectorAll('a[data-open]')) update(/** @type {HTMLElement} */ (row), s.channels[row.getAttribute('data-open') ?? ''], look);
    return;
  }
  const focused = document.activeElement?.getAttribute('data-open');
  root.replaceChildren(...list.map((g) => el('section', { class: 'guild', 'aria-label': g.name },
    el('h2', {}, el('span', { class: 'icon ' + tone(g.id), 'aria-hidden': 'true' }, initial(g.name)), el('bdi', {}, g.name)),
    el('ul', {}, ...g.rows.map((r) => el('li', { class: r.nested ? 'nested' : null }, row(r.channel, r.under, look)))))));
  /** @type {any} */ (root).order = order;
  if (list.length === 0) root.append(el('p', { class: 'none' }, look.filter ? 'No channel by that name.' : 'Everything is read.'));
  if (focused && root.contains(document.activeElement) === false) /** @type {HTMLElement | null} */ (root.querySelector(`a[data-open="${focused}"]`))?.focus({ preventScroll: true });
}

/** @param {Channel} c @param {string} under @param {Look} look */
function row(c, under, look) {
  const node = el('a', { href: '/c/' + c.id, 'data-open': c.id },
    el('span', { class: 'glyph', 'aria-hidden': 'true' }, isThread(c) ? '↳' : c.type === 2 || c.type === 13 ? '◉' : '#'),
    el('span', { class: 'name' }, under && el('small', {}, under + ' '), el('bdi', {}, c.name)),
    el('span', { class: 'badges' }));
  update(node, c, look);
  return node;
}

/** @param {HTMLElement} node @param {Channel | undefined} c @param {Look} look */
function update(node, c, look) {
  if (!c) return;
  const key = `${c.unread} ${c.mentions} ${c.muted} ${look.current === c.id} ${c.recovered}`;
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.classList.toggle('unread', c.unread > 0 && !c.muted);
  node.classList.toggle('muted', c.muted);
  if (look.current === c.id) node.setAttribute('aria-current', 'page');
  else node.removeAttribute('aria-current');
  node.querySelector('.badges')?.replaceChildren(
    ...(c.mentions > 0 ? [el('span', { class: 'badge alert', title: count(c.mentions, 'mention') }, '@' + short(c.mentions))] : []),
    ...(c.unread > 0 ? [el('span', { class: 'badge', title: count(c.unread, 'unread message') }, short(c.unread))] : []));
}

/** @param {number} n @param {string} what */
export function count(n, what) {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
