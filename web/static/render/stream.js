// The stream of messages in the middle, drawn from a list of messages: day lines, people's messages in groups, the line above
// what is new.

import { el } from './dom.js';
import { dayName } from './time.js';
import { message } from './message.js';
import { words } from '../words.js';

/**
 * @typedef {import('./message.js').Message} Message
 * @typedef {import('./message.js').Context} Context
 */

const groupFor = 7 * 60_000;

/** grouped tells whether a message stands below the one before it without a head of its own. @param {Message | undefined} prev @param {Message} m @param {Context} c */
export function grouped(prev, m, c) {
  return Boolean(prev && prev.channel === m.channel && prev.author.id === m.author.id && prev.author.name === m.author.name && !m.reply && !m.system &&
    !prev.system && m.id !== c.newFrom && Date.parse(m.timestamp) - Date.parse(prev.timestamp) < groupFor);
}

/** What one draw leaves for the next, so that nodes of messages that have not changed are kept. @type {WeakMap<Element, {drawn: Message, together: boolean, key: string}>} */
const drawn = new WeakMap();

/** The day on which a message was written here, as a number that is cheap to compare. @param {Date} t */
const dayOf = (t) => t.getFullYear() * 512 + t.getMonth() * 32 + t.getDate();

/**
 * draw brings the stream to show exactly these messages, oldest first.
 * @param {HTMLElement} stream @param {Message[]} messages @param {Context} c
 */
export function draw(stream, messages, c) {
  /** Lines that stand already: who makes them anew has the whole stream laid out anew. @type {Map<string, HTMLElement>} */
  const lines = new Map();
  /** @type {Map<string, HTMLElement>} */
  const kept = new Map();
  for (const n of stream.children) {
    if (!(n instanceof HTMLElement)) continue;
    if (n.dataset.id) kept.set(n.dataset.id, n);
    else if (n.dataset.line) lines.set(n.dataset.line, n);
  }
  /** @type {HTMLElement[]} */
  const nodes = [];
  // Headings within messages stand below that of their day, or, where there are no days, of the list.
  if (c.dated && messages.length) nodes.push(lines.get('found') ?? el('h3', { class: 'heard', 'data-line': 'found' }, words.messagesTitle));
  let day = 0;
  /** @type {Message | undefined} */
  let prev;
  for (const m of messages) {
    if (!c.dated) {
      const at = new Date(m.timestamp), on = dayOf(at);
      if (on !== day) {
        const name = dayName(at);
        nodes.push(lines.get(name) ?? el('h3', { class: 'day', 'data-line': name }, el('span', {}, name)));
        lines.delete(name); // a node stands in one place only
        day = on;
        prev = undefined;
      }
    }
    if (m.id === c.newFrom) {
      const key = 'new ' + c.newLabel;
      nodes.push(lines.get(key) ?? el('div', { class: 'new-line', role: 'separator', 'aria-label': c.newLabel, 'data-line': key }, el('span', {}, c.newLabel)));
    }
    const together = !c.dated && grouped(prev, m, c);
    const key = (c.nameOf(m.channel) ?? '') + (c.saved.has(m.id) ? '\u0000saved' : '');
    const old = kept.get(m.id), was = old && drawn.get(old);
    if (old && was && was.drawn === m && was.together === together && was.key === key) nodes.push(old);
    else {
      const node = message(m, together, c);
      drawn.set(node, { drawn: m, together, key });
      if (old?.hasAttribute('data-selected')) node.setAttribute('data-selected', '');
      if (old && old === document.activeElement) queueMicrotask(() => node.focus({ preventScroll: true }));
      nodes.push(node);
    }
    prev = m;
  }
  place(stream, nodes);
}

/**
 * place makes nodes the children, and moves only what differs, so that focus and selection stay where they are. It tells whether
 * anything differed. @param {HTMLElement} root @param {HTMLElement[]} nodes
 */
export function place(root, nodes) {
  let at = root.firstElementChild, same = root.childElementCount === nodes.length;
  for (let i = 0; same && i < nodes.length; i++) {
    same = nodes[i] === at;
    at = at?.nextElementSibling ?? null;
  }
  if (same) return false;
  const wanted = new Set(nodes);
  for (const n of [...root.children]) if (!wanted.has(/** @type {HTMLElement} */ (n))) n.remove();
  at = root.firstElementChild;
  for (const n of nodes) {
    if (n === at) at = at.nextElementSibling;
    else root.insertBefore(n, at);
  }
  return true;
}
