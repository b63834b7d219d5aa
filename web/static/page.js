// What the page knows and shows at this moment, in one object. Everything is drawn from it; whoever changes it calls changed().

import { byID } from './render/dom.js';
import { fromUnread } from './state.js';
import * as list from './list.js';
import { Heard } from './heard.js';
import { words } from './words.js';

/**
 * @typedef {{kind: 'unread' | 'mentions' | 'keywords' | 'all' | 'view' | 'channel' | 'search' | 'saved', title: string, channel?: string, guild?: string, view?: string,
 *   q?: string, at?: string}} View
 *   guild narrows the feed; view is the id of a saved view; q is what is searched for; at is a message to begin at.
 */

export const first = JSON.parse(byID('first').textContent ?? '');

/** @type {Map<string, {name: string, type: number, topic: string, parent?: string | null}>} Categories, forums and, for their topics, channels. */
const parents = new Map();
/** @type {Map<string, {name: string, color: number}>} */
const roles = new Map(Object.entries(first.roles ?? {}));

export const page = {
  /** @type {string} */
  me: first.user.id,
  state: fromUnread(first.user.id, first.unread),
  view: /** @type {View} */ (first.view),
  list: list.none(),
  /** Up to which version of each channel the list was told what happened. */
  heard: new Heard(),
  /** Stops what is being fetched for a view that was left. */
  opening: new AbortController(),
  busy: false,
  /** The first message that is new: the line stands above it, and stays while the view is open. @type {string | null} */
  newFrom: null,
  /** What the line says. */
  newLabel: words.new,
  /** @type {string | null} */
  selected: null,
  /** Set when the person has marked this channel unread: reading by looking would undo it. */
  held: false,
  /** How many messages came while something above them was being read. */
  below: 0,
  /** The revs of what was marked last, for undo. @type {number[]} */
  lastMarks: [],
  /** @type {'live' | 'connecting' | 'polling' | 'out'} */
  status: 'connecting',
  filter: '',
  quiet: localStorage.getItem('quiet') === 'yes',
  /** Servers that are folded up. */
  folded: new Set(/** @type {string[]} */ (JSON.parse(localStorage.getItem('folded') ?? '[]'))),
  /** Ids of messages that are kept for later, as far as this page knows. @type {Set<string>} */
  saved: new Set(),
  /** What is being fetched in the open channel. @type {{gaps: any[], recovered: any[], complete_since: string | null, left_seconds?: number} | null} */
  detail: null,
  /** The person's saved views. @type {import('./filters.js').SavedView[]} */
  views: first.views ?? [],
  /** @type {string[]} */
  keywords: first.keywords ?? [],
  /** What stands beside the stream, as far as others need to know it. @type {{channel: string, messages: any[]} | null} */
  beside: null,
  /** @type {string} what went wrong in the view, for people */
  problem: '',
  /** Set while the list lacks what could not be fetched; it is tried again. */
  unfetched: false,
  parents, roles,
};

noteParents(first.parents);

/** @param {any[]} channels */
export function noteParents(channels) {
  for (const c of channels) parents.set(c.id, { name: c.name, type: c.type, topic: c.topic, parent: c.parent });
}

/** nameOf is what a channel, forum or category is called, as far as the reader may know it. @param {string | null | undefined} id */
export function nameOf(id) {
  return id ? page.state.channels[id]?.name ?? parents.get(id)?.name : undefined;
}

/** messageOf is the message that a node shows, wherever on the page that is. @param {Element | null | undefined} node */
export function messageOf(node) {
  const id = node?.closest('article')?.getAttribute('data-id');
  if (!id) return undefined;
  return (node?.closest('#beside') ? page.beside?.messages : page.list.messages)?.find((m) => m.id === id);
}

let painter = () => {};
let waiting = false;
let painted = 0;

/** paintWith says what draws the page. @param {() => void} paint */
export function paintWith(paint) {
  painter = () => {
    waiting = false;
    const began = performance.now();
    paint();
    painted = performance.now();
    apart = Math.min(1000, Math.max(100, 8 * (painted - began)));
  };
}

/**
 * What comes from outside is drawn ten times a second at most, and where drawing is slow as seldom as leaves the machine mostly
 * free: fifty channels that move at once cost no more than one.
 */
let apart = 100;

/** changed has the page drawn, once for however many changes came together. @param {'hand' | 'outside'} [by] */
export function changed(by = 'hand') {
  if (by === 'hand' && !document.hidden) {
    if (waiting) return; // the frame, or the timer, is on its way
    waiting = true;
    requestAnimationFrame(painter);
    return;
  }
  if (waiting) return;
  waiting = true;
  // A page in the background gets no animation frames, and its title must follow all the same.
  if (document.hidden) setTimeout(painter, 250);
  else setTimeout(() => requestAnimationFrame(painter), Math.max(0, apart - (performance.now() - painted)));
}

/** paintNow draws at once, for whoever goes on with what was drawn. */
export const paintNow = () => painter();

/** fold folds a server up, or opens it, and remembers that. @param {string} guild */
export function fold(guild) {
  if (!page.folded.delete(guild)) page.folded.add(guild);
  localStorage.setItem('folded', JSON.stringify([...page.folded].slice(-200)));
  changed();
}
