// Menus: of a message, a channel, a server. One is open at a time; the keyboard moves in it and Escape closes it.

import { api } from './api.js';
import { byID, el } from './render/dom.js';
import { levelOf } from './notices.js';
import { words as said } from './words_notify.js';
import { preferences } from './preferences.js';
import { merge, muted } from './state.js';
import { page, changed, messageOf } from './page.js';
import { toast } from './toast.js';
import { words } from './words.js';
import { channelView, failed, feedView, open, savedView } from './views.js';
import { markAll, markChannel, markGuild, markOlder, markTo, markUnreadFrom, undo } from './reading.js';
import { form, remove, share } from './saved_views.js';
import { take } from './sync.js';
import { besideModule, viewFormModule } from './lazy.js';

/** @typedef {{text: string, key?: string, chosen?: boolean, act: () => void} | null} Item null is a line between; chosen is one of several, of which one holds */

const menu = byID('menu-box'), landmark = byID('menu-place'), narrow = matchMedia('(max-width: 480px)');
/** @type {HTMLElement | null} */
let opener = null;

/** show opens a menu at a place, or above it where there is no room below. @param {Item[]} items @param {{x: number, y: number, above?: number}} at @param {string} label */
function show(items, at, label) {
  opener = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  menu.setAttribute('aria-label', label);
  menu.replaceChildren(...items.map((i) => {
    if (!i) return el('hr');
    const b = el('button', { type: 'button', role: i.chosen === undefined ? 'menuitem' : 'menuitemradio', 'aria-checked': i.chosen === undefined ? null : String(i.chosen), tabindex: '-1' },
      el('span', {}, i.text), i.key && el('kbd', {}, i.key));
    b.addEventListener('click', () => {
      close();
      i.act();
    });
    return b;
  }));
  landmark.hidden = menu.hidden = false;
  const box = menu.getBoundingClientRect();
  menu.style.left = Math.max(8, Math.min(at.x, innerWidth - box.width - 8)) + 'px';
  const room = innerHeight - box.height - 8, above = (at.above ?? 0) - box.height - 4;
  menu.style.top = Math.max(8, at.y > room && above >= 8 ? above : Math.min(at.y, room)) + 'px';
  /** @type {HTMLElement | null} */ (menu.querySelector('button'))?.focus();
}

/** close closes the open menu, if any, and gives the focus back. */
export function close() {
  if (menu.hidden) return false;
  landmark.hidden = menu.hidden = true;
  opener?.focus({ preventScroll: true });
  opener = null;
  return true;
}

menu.addEventListener('keydown', (e) => {
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll('button')]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const to = { ArrowDown: (at + 1) % items.length, ArrowUp: (at - 1 + items.length) % items.length, Home: 0, End: items.length - 1 }[e.key];
  if (to !== undefined) {
    e.preventDefault();
    items[to].focus();
  } else if (e.key === 'Tab' || e.key === 'Escape') {
    e.preventDefault();
    e.stopPropagation();
    close();
  }
});
document.addEventListener('pointerdown', (e) => {
  if (!menu.hidden && !menu.contains(/** @type {Node} */ (e.target))) close();
});
addEventListener('blur', () => close());

/** below is the place under an element. @param {Element | null} node */
function below(node) {
  const box = node?.getBoundingClientRect();
  return box ? { x: box.left + 16, y: box.bottom, above: box.top } : { x: 100, y: 100 };
}

// What is done with a message -------------------------------------------------------------------------------------------

/** discordLink is a message's address at Discord. @param {any} m */
export const discordLink = (m) => `https://discord.com/channels/${m.guild}/${m.channel}/${m.id}`;

/** @param {any} m */
export function openInDiscord(m) {
  window.open(discordLink(m), '_blank', 'noopener,noreferrer');
}

/** @param {any} m */
export async function copyLink(m) {
  try {
    await navigator.clipboard.writeText(`${location.origin}/c/${m.channel}?at=${m.id}`);
    toast(words.linkCopied);
  } catch {
    toast(words.cannotCopy(`${location.origin}/c/${m.channel}?at=${m.id}`));
  }
}

/** @param {any} m */
export async function save(m) {
  const kept = page.saved.has(m.id);
  try {
    if (kept) {
      await api.unsave(m.channel, m.id);
      page.saved.delete(m.id);
      if (page.view.kind === 'saved') page.list = { ...page.list, messages: page.list.messages.filter((x) => x.id !== m.id) };
    } else {
      await api.save(m.channel, m.id);
      page.saved.add(m.id);
    }
    toast(kept ? words.unsavedNow : words.savedNow, words.undo, () => save(m));
    changed();
  } catch (e) {
    failed(e);
  }
}

/** @param {any} m */
async function ignore(m) {
  const ignored = page.state.ignored.includes(m.author.id);
  try {
    await (ignored ? api.unignore(m.author.id) : api.ignore(m.author.id));
    page.state = { ...page.state, ignored: ignored ? page.state.ignored.filter((a) => a !== m.author.id) : [...page.state.ignored, m.author.id] };
    rememberName(m.author.id, m.author.name);
    if (!ignored && page.view.kind !== 'channel') page.list = { ...page.list, messages: page.list.messages.filter((x) => x.author.id !== m.author.id) };
    toast(ignored ? words.countsAgain(m.author.name) : words.ignoredNow(m.author.name), words.undo, () => ignore(m));
    changed();
  } catch (e) {
    failed(e);
  }
}

/** beside opens something beside the stream. @param {import('./beside.js').Kind} kind @param {string} channel */
export const beside = async (kind, channel) => (await besideModule()).show(kind, channel);

/** viewOf begins a view of somebody's messages. @param {{id: string, name: string}} author */
async function viewOf(author) {
  rememberName(author.id, author.name);
  (await viewFormModule()).edit({ id: '', name: author.name, authors: [author.id] });
}

/** ofMarks opens the menu of what can be marked as read. @param {HTMLElement} node */
export function ofMarks(node) {
  const { view } = page, c = view.channel ? page.state.channels[view.channel] : null, guild = c?.guild ?? view.guild;
  show([
    ...(c ? [{ text: '#' + c.name, key: 'm', act: () => markChannel(c.id) }] : []),
    ...(guild ? [{ text: page.state.guilds[guild]?.name ?? words.theServer, act: () => markGuild(guild) }] : []),
    { text: words.markEverything, key: 'Shift+M', act: () => markAll() }, null,
    ...[1, 7, 30].map((days) => ({ text: words.olderThan(days), act: () => markOlder(days) })),
    null, { text: words.undoLast, key: 'u', act: () => undo() },
    // What a phone has no room for in the bar.
    ...(c && narrow.matches ? [null, { text: words.pins, act: () => beside('pins', c.id) }, { text: words.about, act: () => beside('about', c.id) },
      { text: words.moreOfChannel, act: () => ofChannel(c.id, node) }] : []),
  ], below(node), words.markAsRead);
}

/** ofView opens a saved view's menu. @param {import('./filters.js').SavedView} v @param {Element} node @param {{x: number, y: number}} [at] */
export function ofView(v, node, at) {
  show([
    { text: words.showView, act: () => open(savedView(v.id)) }, { text: words.editView, act: () => form(v) }, { text: words.shareView, act: () => share(v) },
    null, { text: words.deleteView, act: () => remove(v) },
  ], at ?? below(node), v.name);
}

/** rememberName keeps what somebody is called, for the list of those who are ignored. @param {string} id @param {string} name */
function rememberName(id, name) {
  const names = JSON.parse(localStorage.getItem('names') ?? '{}');
  names[id] = name;
  localStorage.setItem('names', JSON.stringify(Object.fromEntries(Object.entries(names).slice(-200))));
}

/** ofMessage opens a message's menu. @param {any} m @param {Element | null} node @param {{x: number, y: number}} [at] */
export function ofMessage(m, node, at) {
  show([
    { text: words.openInChannel, key: 'Enter', act: () => open(channelView(m.channel, m.id)) },
    ...(m.thread && page.state.channels[m.thread.id] ? [{ text: words.openThread, act: () => beside('thread', m.thread.id) }] : []),
    { text: words.openInDiscord, key: 'o', act: () => openInDiscord(m) },
    { text: words.copyLink, key: 'c', act: () => copyLink(m) },
    { text: page.saved.has(m.id) ? words.unsave : words.saveForLater, key: 's', act: () => save(m) },
    null,
    { text: words.readToHere, key: 'm', act: () => markTo(m) },
    { text: words.unreadFromHere, key: 'Shift+U', act: () => markUnreadFrom(m) },
    ...(m.author.id === page.me ? [] : /** @type {Item[]} */ ([null,
      { text: words.viewOfAuthor, act: () => viewOf(m.author) },
      { text: page.state.ignored.includes(m.author.id) ? words.countAgain(m.author.name) : words.ignore(m.author.name), act: () => ignore(m) }])),
  ], at ?? below(node), words.message);
}

// Channels and servers --------------------------------------------------------------------------------------------------

/** @param {string} scope @param {string} name @param {boolean} is @param {number} [minutes] */
async function mute(scope, name, is, minutes) {
  try {
    await (is ? api.unmute(scope) : api.mute(scope, minutes));
    toast(is ? words.countsAgain(name) : words.mutedNow(name, minutes), words.undo, () => mute(scope, name, !is, minutes));
    // Which channels that are is the server's to say; the socket brings it too.
    take(merge(page.state, await api.unread()));
  } catch (e) {
    failed(e);
  }
}

/**
 * ofNotifications opens the menu of what the person is told of in a place.
 * @param {string} scope @param {string} name @param {(string | null | undefined)[]} around what it is in, the innermost first
 * @param {Element | null} node @param {{x: number, y: number}} [at]
 */
async function ofNotifications(scope, name, around, node, at) {
  try {
    const prefs = await api.notifications();
    const own = prefs.levels.find((/** @type {any} */ l) => l.scope === scope)?.level;
    const usual = said.levels.find(([l]) => l === levelOf(prefs, around))?.[1] ?? '', as = said.asElsewhere(usual);
    const set = async (/** @type {string | undefined} */ level) => {
      try {
        await (level ? api.setLevel(scope, level) : api.unsetLevel(scope));
        toast(said.chosen(name, said.levels.find(([l]) => l === level)?.[1] ?? as) + (preferences().notify === 'none' ? said.noneHere : ''), said.undo, () => set(own));
      } catch (e) {
        failed(e);
      }
    };
    show([
      { text: as, chosen: !own, act: () => { if (own) set(undefined); } }, null,
      ...said.levels.map(([level, text]) => ({ text, chosen: own === level, act: () => { if (own !== level) set(level); } })),
    ], at ?? below(node), said.notificationsOf(name));
  } catch (e) {
    failed(e);
  }
}

/** @param {string} id @param {Element | null} node @param {{x: number, y: number}} [at] */
export function ofChannel(id, node, at) {
  const c = page.state.channels[id];
  if (!c) return;
  const quiet = muted(c), name = '#' + c.name;
  show([
    { text: words.markAsRead, act: () => markChannel(id) },
    { text: words.openBeside, act: () => beside('thread', id) },
    { text: words.about, act: () => beside('about', id) },
    { text: words.openInDiscord, act: () => { window.open(`https://discord.com/channels/${c.guild}/${id}`, '_blank', 'noopener,noreferrer'); } },
    null,
    ...(quiet ? /** @type {Item[]} */ ([{ text: words.endMute, act: () => mute(id, name, true) }]) : /** @type {Item[]} */ ([
      { text: words.muteHour, act: () => mute(id, name, false, 60) },
      { text: words.muteDay, act: () => mute(id, name, false, 60 * 24) },
      { text: words.mute, act: () => mute(id, name, false) },
    ])),
    { text: said.notifications, act: () => ofNotifications(id, name, [c.parent, c.parent && (page.state.channels[c.parent]?.parent ?? page.parents.get(c.parent)?.parent), c.guild], node, at) },
  ], at ?? below(node), name);
}

/** @param {string} id @param {Element | null} node @param {{x: number, y: number}} [at] */
export function ofGuild(id, node, at) {
  const g = page.state.guilds[id];
  if (!g) return;
  show([
    { text: words.showUnread, act: () => open(feedView('unread', id)) },
    { text: words.showAll, act: () => open(feedView('all', id)) },
    { text: words.markServer, act: () => markGuild(id) },
    null,
    { text: words.muteDay, act: () => mute(id, g.name, false, 60 * 24) },
    { text: words.mute, act: () => mute(id, g.name, false) },
    { text: words.endServerMute, act: () => mute(id, g.name, true) },
    { text: said.notifications, act: () => ofNotifications(id, g.name, [], node, at) },
  ], at ?? below(node), g.name);
}

/** ofPlace opens the menu of the server, channel or view that has the focus in the inbox, else of the open channel; it tells whether there is one. */
export function ofPlace() {
  const row = document.activeElement?.closest('#channels a[data-open], [data-fold], a[data-saved]') ?? null;
  const { open: channel, fold: guild, saved } = /** @type {HTMLElement | null} */ (row)?.dataset ?? {}, view = page.views.find((v) => v.id === saved);
  const more = byID('show-more'), shown = page.view.channel;
  if (view && row) ofView(view, row);
  else if (channel) ofChannel(channel, row);
  else if (guild) ofGuild(guild, row);
  else if (shown) ofChannel(shown, more.checkVisibility() ? more : byID('mark-more'));
  else return false;
  return true;
}

/** A right click opens what belongs to the thing under it. */
document.addEventListener('contextmenu', (e) => {
  const target = /** @type {Element} */ (e.target), at = { x: e.clientX, y: e.clientY };
  if (e.shiftKey || target.closest('a[target], img, input, textarea, pre') || !getSelection()?.isCollapsed) return;
  const channel = target.closest('#channels a[data-open]'), guild = target.closest('[data-fold]'), article = target.closest('article');
  const saved = page.views.find((v) => v.id === target.closest('[data-saved]')?.getAttribute('data-saved'));
  if (!channel && !guild && !article && !saved) return;
  e.preventDefault();
  if (saved) ofView(saved, target, at);
  else if (channel) ofChannel(channel.getAttribute('data-open') ?? '', channel, at);
  else if (guild) ofGuild(guild.getAttribute('data-fold') ?? '', guild, at);
  else {
    const m = messageOf(article);
    if (m) ofMessage(m, article, at);
  }
});
