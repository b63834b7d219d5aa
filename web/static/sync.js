// What the live socket says, carried into the page's state and into the list in the middle.

import { api, Problem } from './api.js';
import { Link } from './link.js';
import { adopt, dropped, holes, mentionsMe, merge, reduce } from './state.js';
import * as list from './list.js';
import { page, changed, noteParents } from './page.js';
import { shows as matches } from './filters.js';
import { holds } from './notices.js';
import { Gone } from './heard.js';
import { besideModule } from './lazy.js';
import { words } from './words.js';
import { toast } from './toast.js';
import { again, failed, feedView, follows, isUnread, onOpen, open, reload, savedOf, shows, signedOut, sticks, told, whenSignedOut } from './views.js';

/** Told of every message that has come or changed, as it is now. @type {((m: any) => void)[]} */
export const onMessage = [];
/** Told of ids of messages that were deleted. @type {((ids: string[]) => void)[]} */
export const onGone = [];
/** Told of every message that has just been written. @type {((m: any) => void)[]} */
export const onArrival = [];

/** Told of every frame once the page has taken it. @type {((f: any) => void)[]} */
export const onFrames = [];

/** Told when the state of the connection changes. @type {((status: string) => void)[]} */
export const onConnection = [];

/** What watches messages beyond those of the view, such as notifications. @type {() => boolean} */
let wantsAll = () => false;

const url = location.origin.replace(/^http/, 'ws') + '/api/live';
/** @param {any} unread */
const onUnread = (unread) => {
  take(merge(page.state, unread));
  catchUp();
};

export const live = new Link({
  url, user: page.me, locks: navigator.locks,
  // The address holds the version of our files: a worker of another build is another worker.
  worker: 'SharedWorker' in window ? () => new SharedWorker(new URL('./shared.js?own', import.meta.url), { type: 'module', name: page.me }) : null,
}, {
  onFrame, onStatus, onUnread,
  onState: (state) => {
    take(adopt(page.state, state));
    catchUp();
  },
  poll: async () => {
    try {
      onUnread(await api.unread());
    } catch (e) {
      if (e instanceof Problem && e.status === 401) onStatus('out');
    }
  },
});

/** watch asks for the messages that the view shows, or that something else wants. @param {() => boolean} [all] */
export function watch(all) {
  if (all) wantsAll = all;
  const v = page.view;
  live.watch(v.channel && !wantsAll() ? [...new Set([v.channel, ...(page.beside?.channel ? [page.beside.channel] : [])])] : 'all');
}

/** take accepts a step of the state and does what it asks for. @param {import('./state.js').Step} step */
export function take(step) {
  const before = page.state;
  page.state = step.state;
  forget(Object.keys(before.channels).filter((id) => !step.state.channels[id]));
  live.sync(step.sync);
  if (step.refetch) refetch();
  changed('outside');
}

/**
 * forget takes what can no longer be read out of the page, however that became known: by a frame, by the snapshot of a new
 * connection, or by asking.
 * @param {string[]} lost channels
 */
function forget(lost) {
  if (!lost.length) return;
  if (page.beside && lost.includes(page.beside.channel)) besideModule().then((b) => b.lost());
  told(() => { page.list = { ...page.list, messages: page.list.messages.filter((m) => !lost.includes(m.channel)) }; });
  if (page.view.channel && lost.includes(page.view.channel)) {
    open(feedView('unread'));
    toast(words.channelLost);
  }
}

const gone = new Gone();

/** @param {any} f */
function onFrame(f) {
  switch (f.op) {
    case 'hello':
      page.state = dropped(page.state);
      if (f.resumed) live.sync(holes(page.state));
      return;
    case 'message':
      arrived(f.message, page.heard.heard(f.c, f.v));
      return;
    case 'delta':
      if (f.k === 'delete') {
        const ids = f.ids ? f.ids.map((/** @type {any} */ d) => d[0]) : [f.id];
        gone.add(ids);
        for (const left of onGone) left(ids);
        told(() => { page.list = list.without(page.list, ids); });
        page.heard.heard(f.c, f.v);
      } else if (f.k === 'reset') {
        if (shows(f.c)) reload();
        if (page.beside?.channel === f.c) besideModule().then((b) => b.again(f.c));
      }
      break;
    case 'recovered':
      if (shows(f.c)) reload();
  }
  take(reduce(page.state, f));
  if (f.op === 'snapshot' || f.op === 'count' || f.op === 'delta') catchUp();
  for (const told of onFrames) told(f);
}

/** looksAt tells whether messages of a channel are in sight, in the middle or beside it. @param {string} channel */
const looksAt = (channel) => shows(channel) || page.beside?.channel === channel;

/** How long the message of a delta may take to follow it, in ms, and how much longer by chance: many pages may have missed the same. */
const followsIn = 600, spread = 400;

/** What the list lacks, and had better have when the time is over. @type {Map<string, number>} */
const lacking = new Map();
let catching = 0;

/**
 * catchUp fetches what is shown again when something has happened that it was not told of, and was not told of soon after.
 * @param {Map<string, number>} [tried] what has just been fetched, or could not be
 */
function catchUp(tried) {
  if (catching) return;
  for (const c of Object.values(page.state.channels)) {
    if (page.heard.lacks(c.id, c.version) && looksAt(c.id) && tried?.get(c.id) !== c.version) lacking.set(c.id, c.version);
  }
  if (!lacking.size) return;
  catching = setTimeout(() => {
    catching = 0;
    const missed = new Map([...lacking].filter(([id, v]) => page.state.channels[id] && page.heard.lacks(id, v)));
    lacking.clear();
    if ([...missed.keys()].some(shows)) reload();
    const { channel } = page.beside ?? {};
    if (channel && missed.has(channel)) besideModule().then((b) => b.again(channel));
    catchUp(missed);
  }, followsIn + Math.random() * spread);
}

let fetching = false;
async function refetch() {
  if (fetching) return;
  fetching = true;
  try {
    const [unread, guilds] = await Promise.all([api.unread(), api.guilds()]);
    for (const g of guilds.guilds) noteParents([...g.parents, ...g.channels]);
    fetching = false;
    take(merge(page.state, unread));
  } catch (e) {
    failed(e);
  } finally {
    fetching = false;
  }
}

/** @param {any} m a message as everybody sees it @param {boolean} news whether it was not told before */
function arrived(m, news) {
  if (gone.has(m.id)) return;
  const fresh = { ...m, mentions_me: m.author.id !== page.me && !page.state.ignored.includes(m.author.id) && mentionsMe(page.state, m.guild, m.mentions) };
  for (const f of onMessage) f(fresh);
  if (news && !m.edited_timestamp) for (const f of onArrival) f(fresh);
  const counted = news && !page.list.messages.some((x) => x.id === m.id) && belongs(fresh);
  if (counted && follows() && (page.list.newer || !sticks())) page.below++;
  told(() => {
    if (page.list.messages.some((x) => x.id === m.id) || belongs(fresh)) page.list = list.arrived(page.list, fresh, sticks());
  });
  changed('outside');
}

/** belongs tells whether a new message is of those that the view shows. @param {any} m */
function belongs(m) {
  const v = page.view;
  if (!shows(m.channel)) return false;
  if (v.kind === 'channel') return true;
  if (m.system || page.state.ignored.includes(m.author.id)) return false;
  const saved = savedOf(v);
  if (saved) return matches(saved, m, page.state, page.parents, page.keywords) && (!saved.unread_only || isUnread(m));
  if (v.kind === 'keywords') return m.author.id !== page.me && holds(page.keywords, m.content);
  return v.kind === 'all' || (v.kind === 'mentions' ? m.mentions_me : isUnread(m));
}

/** @param {'live' | 'connecting' | 'polling' | 'out'} status */
function onStatus(status) {
  page.status = status;
  document.body.dataset.status = status;
  for (const told of onConnection) told(status);
  if (status === 'out') signedOut();
  if (status === 'live') again();
  changed();
}

whenSignedOut(() => {
  page.status = 'out';
  document.body.dataset.status = 'out';
  live.stop();
  changed();
});

onOpen.push(() => watch());
