// Discord signs the links to files, and they expire. Before one is followed, and where a picture does not load any more, the
// service is asked for fresh ones: one question for all that want one at the same moment.

import { api, Problem } from './api.js';
import { byID } from './render/dom.js';
import { messageOf } from './page.js';
import { toast } from './toast.js';
import { words } from './words.js';

/** What stays of a link to a fresh one. @type {Map<string, string>} */
const fresh = new Map();
/** Most that are remembered. */
const most = 2000;

/** bare is what stays of a link. @param {string} link */
const bare = (link) => link.split('?')[0];

/** expired tells whether a link is signed and its time is over, or will be in a moment. @param {string} link @param {number} [now] */
export function expired(link, now = Date.now()) {
  const ex = /^https:\/\/(?:cdn\.discordapp\.com|media\.discordapp\.net)\/[^?]*\?(?:.*&)?ex=([0-9a-f]{1,10})(?:&|$)/.exec(link)?.[1];
  return Boolean(ex) && parseInt(ex ?? '', 16) * 1000 < now + 30_000;
}

/** @type {Map<string, {channel: string, message: string}>} */
let wanted = new Map();
/** @type {Promise<void> | null} */
let asking = null;

/** want has a message's links renewed, with those of others that want it now. @param {any} m */
function want(m) {
  wanted.set(m.id, { channel: m.channel, message: m.id });
  asking ??= new Promise((done) => { setTimeout(done, 60); }).then(async () => {
    asking = null;
    const list = [...wanted.values()].slice(0, 100);
    wanted = new Map([...wanted].slice(100));
    const { links } = await api.links(list);
    for (const [k, v] of Object.entries(links)) fresh.set(k, /** @type {string} */ (v));
    while (fresh.size > most) fresh.delete(fresh.keys().next().value ?? '');
  });
  return asking;
}

/** renewed is a link that is good now: the same, a fresh one, or null when there is none. @param {string} link @param {any} m */
async function renewed(link, m) {
  if (!expired(link)) return link;
  const known = fresh.get(bare(link));
  if (known && !expired(known)) return known;
  if (m) await want(m);
  return fresh.get(bare(link)) ?? null;
}

/** A link is followed once it is fresh. @param {MouseEvent} e */
async function follow(e) {
  const a = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (e.target).closest?.('a[href]'));
  const m = a && expired(a.href) ? messageOf(a) : null;
  if (!a || !m || e.defaultPrevented) return;
  e.preventDefault();
  const tab = window.open('', '_blank'); // now: later, browsers take it for a pop-up that nobody asked for
  if (tab) tab.opener = null;
  try {
    const link = await renewed(a.href, m);
    if (!link) throw new Problem(404, words.linkExpired);
    a.href = link;
    if (tab) tab.location.replace(link);
    else location.assign(link);
  } catch (err) {
    tab?.close();
    toast(err instanceof Problem ? err.message : words.pageFault);
  }
}

/** What could not be loaded is tried once more with a fresh link. @param {Event} e */
async function failed(e) {
  const node = /** @type {HTMLElement} */ (e.target);
  if (!(node instanceof HTMLImageElement || node instanceof HTMLMediaElement) || node.dataset.renewed || !expired(node.src)) return;
  node.dataset.renewed = 'yes';
  try {
    const link = await renewed(node.src, messageOf(node));
    if (link) node.src = link;
  } catch {
    // It stays as it is: the link beside it can still be tried.
  }
}

for (const id of ['stream', 'beside']) {
  byID(id).addEventListener('click', follow, true);
  byID(id).addEventListener('auxclick', (e) => { if (/** @type {MouseEvent} */ (e).button === 1) follow(/** @type {MouseEvent} */ (e)); }, true);
  byID(id).addEventListener('error', failed, true);
}
