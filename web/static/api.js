// The HTTP API, as far as the pages use it.

import { words } from './words.js';
import { Problem, Unread } from './unread.js';

export { Problem };

/** @param {string} path @param {{method?: string, body?: any, signal?: AbortSignal}} [o] @returns {Promise<any>} */
async function call(path, { method, body, signal } = {}) {
  /** @type {RequestInit} */
  const init = { headers: { Accept: 'application/json' }, credentials: 'same-origin', signal, method: method ?? (body === undefined ? 'GET' : 'POST') };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e;
    throw new Problem(0, words.cannotReach);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => null);
    const said = problem?.errors?.[0]?.message ?? problem?.detail;
    throw new Problem(answer.status, said ?? words.tryAgain);
  }
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} path @param {Record<string, string | number | undefined>} q */
function withQuery(path, q) {
  const p = new URLSearchParams();
  for (const [k, v] of Object.entries(q)) if (v !== undefined && v !== '') p.set(k, String(v));
  return path + (p.size ? '?' + p : '');
}

/** @typedef {Record<string, string | number | undefined>} Query */

const unread = new Unread();

export const api = {
  unread: async () => (await unread.fetch()).unread,
  guilds: () => call('/api/guilds'),
  /** @param {string} id @param {AbortSignal} [signal] */
  channel: (id, signal) => call('/api/channels/' + id, { signal }),
  /** @param {Query} q @param {AbortSignal} [signal] */
  messages: (q, signal) => call(withQuery('/api/messages', q), { signal }),
  /** @param {Query} q @param {AbortSignal} [signal] */
  feed: (q, signal) => call(withQuery('/api/feed', q), { signal }),
  /** @param {Query} q @param {AbortSignal} [signal] */
  search: (q, signal) => call(withQuery('/api/search', q), { signal }),
  /** @param {Query} q @param {AbortSignal} [signal] */
  saved: (q, signal) => call(withQuery('/api/saved', q), { signal }),
  /** @param {string} channel @param {string} message */
  save: (channel, message) => call(`/api/saved/${channel}/${message}`, { method: 'PUT' }),
  /** @param {string} channel @param {string} message */
  unsave: (channel, message) => call(`/api/saved/${channel}/${message}`, { method: 'DELETE' }),
  /** @param {{channel?: string, guild?: string, all?: boolean, up_to: string, rev?: number}} mark */
  read: (mark) => call('/api/messages/read', { body: mark }),
  /** @param {string} channel @param {string} message */
  markUnread: (channel, message) => call('/api/messages/unread', { body: { channel, message } }),
  /** @param {number} rev */
  undo: (rev) => call('/api/messages/undo', { body: { rev } }),
  mutes: () => call('/api/mutes'),
  /** @param {string} scope @param {number} [minutes] without: for ever */
  mute: (scope, minutes) => call('/api/mutes/' + scope, { method: 'PUT', body: minutes ? { minutes } : {} }),
  /** @param {string} scope */
  unmute: (scope) => call('/api/mutes/' + scope, { method: 'DELETE' }),
  ignored: () => call('/api/ignored'),
  /** @param {string} author */
  ignore: (author) => call('/api/ignored/' + author, { method: 'PUT' }),
  /** @param {string} author */
  unignore: (author) => call('/api/ignored/' + author, { method: 'DELETE' }),
  /** @param {string} id @param {AbortSignal} [signal] */
  pins: (id, signal) => call(`/api/channels/${id}/pins`, { signal }),
  /** @param {{channel: string, message: string}[]} messages */
  links: (messages) => call('/api/links', { body: { messages } }),
  coverage: () => call('/api/coverage'),
  status: () => call('/api/status'),
  views: () => call('/api/views'),
  /** @param {any} view */
  createView: (view) => call('/api/views', { body: view }),
  /** @param {string} id @param {any} view */
  changeView: (id, view) => call('/api/views/' + id, { method: 'PUT', body: view }),
  /** @param {string} id */
  deleteView: (id) => call('/api/views/' + id, { method: 'DELETE' }),
  /** @param {string} id */
  openFeed: (id) => call(`/api/views/${id}/feed`, { method: 'POST' }),
  /** @param {string} id */
  closeFeed: (id) => call(`/api/views/${id}/feed`, { method: 'DELETE' }),
  keywords: () => call('/api/keywords'),
  /** @param {string[]} keywords */
  setKeywords: (keywords) => call('/api/keywords', { method: 'PUT', body: { keywords } }),
  tokens: () => call('/api/tokens'),
  /** @param {string} name @param {string[]} scopes */
  createToken: (name, scopes) => call('/api/tokens', { body: { name, scopes } }),
  /** @param {string} id */
  revokeToken: (id) => call('/api/tokens/' + id, { method: 'DELETE' }),
  notifications: () => call('/api/notifications'),
  /** @param {{level: string, keywords: boolean, quiet?: {from: string, to: string, zone: string}}} n */
  setNotifications: (n) => call('/api/notifications', { method: 'PUT', body: n }),
  /** @param {string} scope @param {string} level */
  setLevel: (scope, level) => call('/api/notifications/levels/' + scope, { method: 'PUT', body: { level } }),
  /** @param {string} scope */
  unsetLevel: (scope) => call('/api/notifications/levels/' + scope, { method: 'DELETE' }),
  /** @param {any} subscription as the browser writes it @param {boolean} words */
  tellBrowser: (subscription, words) => call('/api/notifications/browsers', { body: { endpoint: subscription.endpoint, keys: subscription.keys, words } }),
  /** @param {string} id */
  tellBrowserNoMore: (id) => call('/api/notifications/browsers/' + id, { method: 'DELETE' }),
  sessions: () => call('/api/sessions'),
  /** @param {string} id */
  endSession: (id) => call('/api/sessions/' + id, { method: 'DELETE' }),
  endSessions: () => call('/api/sessions', { method: 'DELETE' }),
};
