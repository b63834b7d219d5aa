// The person's saved views in the inbox: their counts, and what can be done with them.

import { api } from './api.js';
import { byID, el, short } from './render/dom.js';
import { place } from './render/stream.js';
import { byChannel, countsOf, shareable, shared } from './filters.js';
import { changed, page } from './page.js';
import { failed, feedView, open, savedOf, savedView } from './views.js';
import { toast } from './toast.js';
import { viewFormModule } from './lazy.js';
import { words } from './words.js';

const root = byID('my-views');
/** How often what only the server can count is asked for again, at most, in ms. */
const countEvery = 20_000;

/** @typedef {import('./filters.js').SavedView} SavedView */

/** What the server said last of views whose counts do not follow from channels, and of which state. @type {Map<string, {unread: number, mentions: number, capped?: boolean}>} */
const counted = new Map();
let askedAt = 0, timer = 0;
/** @type {import('./state.js').State | null} */
let askedOf = null;

/** countOf is what a view's badge says. @param {SavedView} v @returns {{unread: number, mentions: number, capped?: boolean}} */
export function countOf(v) {
  return byChannel(v) ? countsOf(v, page.state, page.parents) : counted.get(String(v.id)) ?? { unread: v.unread ?? 0, mentions: v.mentions ?? 0 };
}

/** refresh asks the server for what cannot be counted here, and for what other devices changed. */
export function refresh() {
  clearTimeout(timer);
  timer = 0;
  askedAt = performance.now();
  askedOf = page.state;
  return api.views().then(({ views }) => {
    page.views = views;
    counted.clear();
    for (const v of views) counted.set(String(v.id), v);
    changed('outside');
  }).catch(() => {}); // what was known stands
}

/** draw shows the views with their counts. */
export function draw() {
  if (askedOf !== page.state && !timer && !document.hidden && page.status === 'live' && page.views.some((v) => !byChannel(v))) {
    timer = setTimeout(refresh, Math.max(500, askedAt + countEvery - performance.now()));
  }
  const old = new Map([...root.children].map((n) => [/** @type {HTMLElement} */ (n).dataset.id, /** @type {HTMLElement} */ (n)]));
  place(root, page.views.map((v) => {
    const id = String(v.id), n = countOf(v), current = page.view.kind === 'view' && page.view.view === id;
    const li = old.get(id) ?? el('li', { 'data-id': id }, el('a', { href: '/?view=' + id, 'data-saved': id }, el('span', { class: 'glyph', 'aria-hidden': 'true' }, '◇'), el('span', { class: 'name' }, el('bdi')), el('span', { class: 'badges' })));
    const key = `${v.name}\u0000${n.unread} ${n.mentions} ${n.capped} ${current}`;
    if (li.dataset.key === key) return li;
    li.dataset.key = key;
    const a = /** @type {HTMLElement} */ (li.firstElementChild);
    a.querySelector('bdi')?.replaceChildren(v.name);
    a.classList.toggle('unread', n.unread > 0);
    if (current) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
    a.querySelector('.badges')?.replaceChildren(...(n.mentions && !v.mentions_only && byChannel(v) ? [el('span', { class: 'badge alert', title: words.mentionsOf(n.mentions) }, '@' + short(n.mentions))] : []),
      ...(n.unread ? [el('span', { class: 'badge', title: words.unreadMessages(n.unread) }, n.capped ? '999+' : short(n.unread))] : []));
    return li;
  }));
  byID('mine').classList.toggle('none-yet', page.views.length === 0);
}

/** nth opens the view at a place in the inbox, counted from 1. @param {number} n */
export function nth(n) {
  const v = page.views[n - 1];
  if (v) open(savedView(v.id));
}

/** form opens the form of a view. @param {SavedView} [v] without: a new one */
export const form = async (v) => (await viewFormModule()).edit(v);

/** put takes over what the server has saved. @param {SavedView} v */
export function put(v) {
  const known = page.views.some((x) => x.id === v.id);
  page.views = known ? page.views.map((x) => (x.id === v.id ? v : x)) : [...page.views, v];
  counted.set(String(v.id), { unread: v.unread ?? 0, mentions: v.mentions ?? 0, capped: v.capped });
  open(savedView(v.id), page.view.view !== String(v.id));
}

/** remove deletes a view, with a way back. @param {SavedView} v */
export async function remove(v) {
  try {
    await api.deleteView(v.id);
    page.views = page.views.filter((x) => x.id !== v.id);
    if (page.view.view === String(v.id)) open(feedView('unread'));
    const { id: _, feed: _f, ...rest } = v;
    toast(words.viewDeleted(v.name), words.undo, async () => {
      try {
        put(await api.createView(clean(rest)));
      } catch (e) {
        failed(e);
      }
    });
    changed();
  } catch (e) {
    failed(e);
  }
}

/** clean is a view as the API takes it. @param {any} v */
export function clean(v) {
  const { name, guilds, categories, channels, authors, has, mentions_only, unread_only, keywords_only } = v;
  return { name, guilds: guilds ?? [], categories: categories ?? [], channels: channels ?? [], authors: authors ?? [], has: has ?? [],
    mentions_only: Boolean(mentions_only), unread_only: Boolean(unread_only), keywords_only: Boolean(keywords_only) };
}

/** share copies a link that makes the same view for whoever opens it. @param {SavedView} v */
export async function share(v) {
  const link = location.origin + '/?shared=' + shareable(v);
  try {
    await navigator.clipboard.writeText(link);
    toast(words.viewLinkCopied);
  } catch {
    toast(words.cannotCopy(link));
  }
}

/** current is the saved view that is open. */
export const current = () => savedOf(page.view);

/** takeShared opens the form with a view that a link carries. */
export function takeShared() {
  const text = new URLSearchParams(location.search).get('shared');
  if (!text) return;
  history.replaceState(null, '', '/');
  const v = shared(text);
  if (v) form({ ...v, id: '' });
  else toast(words.tryAgain);
}
