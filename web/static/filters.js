// What a saved view shows: the same rules as the server's, for messages that arrive and for counts that change. Pure functions.

import { holds } from './notices.js';
import { mentionsMe, muted } from './state.js';

/**
 * @typedef {{id: string, name: string, guilds?: string[], categories?: string[], channels?: string[], authors?: string[], has?: string[],
 *   mentions_only?: boolean, unread_only?: boolean, keywords_only?: boolean, feed?: boolean, unread?: number, mentions?: number, capped?: boolean}} SavedView
 * @typedef {Map<string, {parent?: string | null}>} Parents channels and categories by id, of those that have no state of their own
 */

/**
 * inPlaces tells whether a channel is in what a view is about: its server, itself, what it is in, or what that is in.
 * @param {SavedView} v @param {import('./state.js').Channel} c @param {import('./state.js').State} s @param {Parents} parents
 */
export function inPlaces(v, c, s, parents) {
  const places = [...v.guilds ?? [], ...v.categories ?? [], ...v.channels ?? []];
  if (!places.length) return true;
  const above = c.parent ? s.channels[c.parent]?.parent ?? parents.get(c.parent)?.parent : null;
  return [c.guild, c.id, c.parent, above].some((id) => id && places.includes(id));
}

/** byChannel tells whether a view's counts follow from those of channels. @param {SavedView} v */
export const byChannel = (v) => !v.authors?.length && !v.has?.length && !v.keywords_only;

/**
 * countsOf sums up the channels of a view. Of one that shows only mentions, what is unread are the mentions.
 * @param {SavedView} v @param {import('./state.js').State} s @param {Parents} parents @param {number} [now]
 */
export function countsOf(v, s, parents, now = Date.now()) {
  let unread = 0, mentions = 0;
  for (const c of Object.values(s.channels)) {
    if (!c.unread && !c.mentions || !inPlaces(v, c, s, parents)) continue;
    mentions += c.mentions;
    if (!muted(c, now)) unread += c.unread;
  }
  return { unread: v.mentions_only ? mentions : unread, mentions };
}

/** @type {Record<string, (m: any) => boolean>} */
const features = {
  link: (m) => /https?:\/\//.test(m.content), file: (m) => m.attachments?.length > 0, embed: (m) => m.embeds?.length > 0, poll: (m) => Boolean(m.poll),
  sticker: (m) => m.stickers?.length > 0, forward: (m) => m.forwards?.length > 0,
  image: (m) => kind(m, 'image/'), video: (m) => kind(m, 'video/'), sound: (m) => kind(m, 'audio/'),
};

/** @param {any} m @param {string} of */
const kind = (m, of) => Boolean(m.attachments?.some((/** @type {any} */ a) => a.type?.startsWith(of)));

/**
 * shows tells whether a message that has just come belongs to a view.
 * @param {SavedView} v @param {any} m @param {import('./state.js').State} s @param {Parents} parents @param {string[]} keywords
 */
export function shows(v, m, s, parents, keywords) {
  const c = s.channels[m.channel];
  if (!c || m.system || !inPlaces(v, c, s, parents)) return false;
  if (v.authors?.length && !v.authors.includes(m.author.id)) return false;
  if (v.has?.some((f) => !features[f]?.(m))) return false;
  if (v.mentions_only && (m.author.id === s.user || !mentionsMe(s, m.guild, m.mentions))) return false;
  if (v.keywords_only && !holds(keywords, m.content)) return false;
  return true;
}

/** definition is what a view is, without what belongs to one person. @param {SavedView} v */
export function definition(v) {
  /** @type {any} */
  const d = { name: v.name };
  for (const k of /** @type {const} */ (['guilds', 'categories', 'channels', 'authors', 'has'])) if (v[k]?.length) d[k] = v[k];
  for (const k of /** @type {const} */ (['mentions_only', 'unread_only', 'keywords_only'])) if (v[k]) d[k] = true;
  return d;
}

/** shareable writes a view into an address. @param {SavedView} v */
export function shareable(v) {
  const bytes = new TextEncoder().encode(JSON.stringify(definition(v)));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

/**
 * shared reads a view out of an address; null for what is none. Whoever opens it sees what they may read themselves.
 * @param {string} text @returns {SavedView | null}
 */
export function shared(text) {
  try {
    const d = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))));
    const list = (/** @type {any} */ l, /** @type {RegExp} */ like) => (Array.isArray(l) ? l.filter((x) => typeof x === 'string' && like.test(x)).slice(0, 200) : []);
    const id = /^\d{1,20}$/;
    return { id: '', name: String(d.name ?? '').slice(0, 100), guilds: list(d.guilds, id), categories: list(d.categories, id), channels: list(d.channels, id),
      authors: list(d.authors, id), has: list(d.has, /^[a-z]{1,10}$/).filter((f) => Object.hasOwn(features, f)),
      mentions_only: d.mentions_only === true, unread_only: d.unread_only === true, keywords_only: d.keywords_only === true };
  } catch {
    return null;
  }
}

/** What a message may have, in the order in which it is offered. */
export const featureNames = Object.keys(features);
