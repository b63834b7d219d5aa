// The list of messages in the middle: a window into something longer, oldest first. Pure functions, no page and no network.

import { compare } from './state.js';

/**
 * @typedef {any} Message as GET /api/messages tells it
 * @typedef {{messages: Message[], older: boolean, newer: boolean, olderCursor: string, newerCursor: string}} List
 *   older and newer say whether there is more on that side; an empty cursor beside it means: ask around the message at that end.
 */

/** Messages that are kept at most. What leaves at one end is fetched again when somebody scrolls there. */
export const most = 240;

/** @returns {List} */
export const none = () => ({ messages: [], older: false, newer: false, olderCursor: '', newerCursor: '' });

/**
 * insert puts a message into a list, oldest first, or replaces it there.
 * @param {Message[]} list @param {Message} m
 */
export function insert(list, m) {
  let i = list.length;
  while (i > 0 && compare(list[i - 1].id, m.id) > 0) i--;
  if (i > 0 && list[i - 1].id === m.id) return [...list.slice(0, i - 1), { ...m }, ...list.slice(i)];
  return [...list.slice(0, i), m, ...list.slice(i)];
}

/** @param {Message[]} list @param {Message[]} more in any order */
export function join(list, more) {
  const byId = new Map([...list, ...more].map((m) => [m.id, m]));
  return [...byId.values()].sort((a, b) => compare(a.id, b.id));
}

/**
 * grown is a list with a page at one of its ends. The other end gives way when it becomes too long.
 * @param {List} l @param {'older' | 'newer'} side @param {Message[]} page @param {string} cursor the page's own for what follows on that side; '' for none
 * @param {boolean} more @param {number} [limit] @returns {List}
 */
export function grown(l, side, page, cursor, more, limit = most) {
  let messages = join(l.messages, page);
  const next = { ...l, [side]: more, [side + 'Cursor']: cursor };
  if (messages.length > limit && side === 'older') {
    messages = messages.slice(0, limit);
    Object.assign(next, { newer: true, newerCursor: '' });
  } else if (messages.length > limit) {
    messages = messages.slice(-limit);
    Object.assign(next, { older: true, olderCursor: '' });
  }
  return { ...next, messages };
}

/**
 * arrived is a list with a message that has just been written or changed; the same list when it lies outside the window. When the list becomes
 * too long, its oldest give way to who follows it; who reads further up keeps what they read, and what is new is left to be fetched.
 * @param {List} l @param {Message} m @param {boolean} [follows] @param {number} [limit] @returns {List}
 */
export function arrived(l, m, follows = true, limit = most) {
  const known = l.messages.some((x) => x.id === m.id);
  if (!known && l.messages.length > 0) {
    if (l.older && compare(m.id, l.messages[0].id) < 0) return l;
    if (l.newer && compare(m.id, l.messages[l.messages.length - 1].id) > 0) return l;
  } else if (!known && l.newer) return l;
  const messages = insert(l.messages, m);
  if (messages.length <= limit) return { ...l, messages };
  return follows ? { ...l, messages: messages.slice(-limit), older: true, olderCursor: '' } : { ...l, messages: messages.slice(0, limit), newer: true, newerCursor: '' };
}

/**
 * without takes out what was deleted. A quote of what is gone goes with it.
 * @param {List} l @param {string[]} ids @returns {List}
 */
export function without(l, ids) {
  const gone = new Set(ids);
  if (!l.messages.some((m) => gone.has(m.id) || gone.has(m.reply?.id))) return l;
  const messages = l.messages.filter((m) => !gone.has(m.id))
    .map((m) => (gone.has(m.reply?.id) ? { ...m, reply: { id: m.reply.id, excerpt: '', deleted: true } } : m));
  return { ...l, messages };
}
