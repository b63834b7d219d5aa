// Ctrl+K: go to any channel, server or command by a few letters of its name.

import { byID, el, short } from './render/dom.js';
import { glyphOf } from './render/inbox.js';
import { compare } from './state.js';
import { page } from './page.js';
import { channelView, feedView, open, savedView } from './views.js';
import { countOf } from './saved_views.js';
import { words } from './words.js';

/** @typedef {{name: string, under: string, glyph: string, unread?: number, weight: number, act: () => void}} Entry */

const dialog = /** @type {HTMLDialogElement} */ (byID('palette'));
const input = /** @type {HTMLInputElement} */ (byID('palette-input'));
const options = byID('palette-list');
const shown = 12;

/** @type {() => {text: string, key: string, act: () => void}[]} */
let commands = () => [];
/** @type {Entry[]} */
let found = [];
let at = 0;

/** commandsFrom says which commands there are. @param {typeof commands} list */
export function commandsFrom(list) {
  commands = list;
}

/**
 * rank says how well a name fits what was typed: 0 not at all, more is better. Beginnings of words count more than letters
 * somewhere in between.
 * @param {string} name @param {string} typed
 */
export function rank(name, typed) {
  const n = name.toLowerCase(), t = typed.toLowerCase().trim();
  if (!t) return 1;
  if (n === t) return 100;
  if (n.startsWith(t)) return 80;
  const at = n.indexOf(t);
  if (at > 0) return /[\s\-_.#/]/.test(n[at - 1]) ? 60 : 40;
  let from = 0, score = 20;
  for (const letter of t.replace(/\s/g, '')) {
    const i = n.indexOf(letter, from);
    if (i < 0 || score <= 1) return 0;
    if (i > from) score -= Math.min(8, i - from);
    from = i + 1;
  }
  return Math.max(1, score);
}

/** @param {string} typed @returns {Entry[]} */
function entries(typed) {
  const only = typed.startsWith('>');
  const text = only ? typed.slice(1) : typed.replace(/^#/, '');
  /** @type {(Entry & {last: string | null})[]} */
  const all = [];
  if (!only) {
    for (const c of Object.values(page.state.channels)) {
      // With two words the first may be the server's.
      const w = rank(c.name, text) || (text.includes(' ') ? rank((page.state.guilds[c.guild]?.name ?? '') + ' ' + c.name, text) / 2 : 0);
      if (w) all.push({ name: c.name, under: page.state.guilds[c.guild]?.name ?? '', glyph: glyphOf(c), unread: c.unread, weight: w + (c.unread > 0 ? 3 : 0), last: c.last_id, act: () => open(channelView(c.id)) });
    }
    for (const v of page.views) {
      const w = rank(v.name, text);
      if (w) all.push({ name: v.name, under: words.view, glyph: '◇', unread: countOf(v).unread, weight: w + 2, last: null, act: () => open(savedView(v.id)) });
    }
    if (text) {
      for (const g of Object.values(page.state.guilds)) {
        const w = rank(g.name, text);
        if (w) all.push({ name: g.name, under: words.server, glyph: '▣', weight: w, last: null, act: () => open(feedView('all', g.id)) });
      }
    }
  }
  if (text || only) {
    for (const c of commands()) {
      const w = rank(c.text, text);
      if (w) all.push({ name: c.text, under: c.key, glyph: '›', weight: w - 1, last: null, act: c.act });
    }
  }
  return all.sort((a, b) => b.weight - a.weight || compare(b.last, a.last)).slice(0, shown);
}

function draw() {
  found = entries(input.value);
  at = Math.max(0, Math.min(at, found.length - 1));
  options.replaceChildren(...found.map((e, i) => {
    const node = el('li', { id: 'palette-' + i, role: 'option', 'aria-selected': String(i === at) },
      el('span', { class: 'glyph', 'aria-hidden': 'true' }, e.glyph), el('bdi', { class: 'name' }, e.name),
      e.unread ? el('span', { class: 'badge' }, short(e.unread)) : null, el('small', {}, e.under));
    node.addEventListener('click', () => choose(i));
    return node;
  }));
  if (!found.length) options.append(el('li', { class: 'none', role: 'option', 'aria-disabled': 'true' }, words.nothingByName));
  input.setAttribute('aria-activedescendant', found.length ? 'palette-' + at : '');
}

/** @param {number} i */
function choose(i) {
  const e = found[i];
  if (!e) return;
  dialog.close();
  e.act();
}

export function palette() {
  if (dialog.open) return;
  input.value = '';
  at = 0;
  dialog.showModal();
  draw();
  input.focus();
}

input.addEventListener('input', () => {
  at = 0;
  draw();
});
input.addEventListener('keydown', (e) => {
  if (e.isComposing) return;
  if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
    e.preventDefault();
    at = (at + (e.key === 'ArrowDown' ? 1 : -1) + found.length) % Math.max(1, found.length);
    draw();
    options.children[at]?.scrollIntoView({ block: 'nearest' });
  } else if (e.key === 'Enter') {
    e.preventDefault();
    choose(at);
  }
});
dialog.addEventListener('click', (e) => {
  if (e.target === dialog) dialog.close();
});
