// The page that people keep open all day: it draws what page.js holds, and joins the parts to the document.

import { byID, el, short } from './render/dom.js';
import * as inbox from './render/inbox.js';
import * as streams from './render/stream.js';
import { fullTime, tick } from './render/time.js';
import { muted, totals } from './state.js';
import { byChannel, inPlaces } from './filters.js';
import { words } from './words.js';
import { context } from './context.js';
import { keys, listen } from './keys.js';
import { first, fold, nameOf, page, changed, paintWith } from './page.js';
import { highlight } from './found.js';
import { again, atBottom, anchor, begin, channelView, feedView, find, follows, grow, isUnread, keepPlace, oldestUnread, onOpen, open, savedOf, savedView, searchView, sticks, toFirstUnread, toLatest, viewOfAddress } from './views.js';
import { live } from './sync.js';
import * as saved from './saved_views.js';
import { look, markAll, markChannel, markGuild, markHere, markOlder, markUnread, markView, undo } from './reading.js';
import { chosen, drop, end, keepFocus, nextChannel, nextMessage, nextUnread, previousMessage, previousUnread, select } from './moves.js';
import { beside, close as closeMenu, copyLink, ofChannel, ofMarks, ofMessage, ofPlace, openInDiscord, save } from './menu.js';
import { watchCoverage } from './coverage.js';
import { commandsFrom, palette } from './palette.js';
import { apply } from './preferences.js';
import { toast } from './toast.js';
import './links.js';
import './touch.js';
import './notify.js';
import './announce.js';
import { watchBuild } from './build.js';
import { besideModule, hold } from './lazy.js';

const [stream, scroll, channels, older] = ['stream', 'scroll', 'channels', 'older'].map(byID);
const filter = /** @type {HTMLInputElement} */ (byID('filter')), searchBox = /** @type {HTMLInputElement} */ (byID('search-input'));
const narrow = matchMedia('(max-width: 800px)');

// Painting --------------------------------------------------------------------------------------------------------------

/** What the inbox was drawn of, and when it would like to be drawn again for the sake of the order. */
const inboxDrawn = { state: /** @type {any} */ (null), look: '', again: 0 };

function paintInbox() {
  const steady = channels.matches(':hover') || channels.contains(document.activeElement) && !page.filter;
  const look = [page.view.channel, page.filter, page.quiet, steady, page.folded.size, ...page.folded, Math.floor(Date.now() / 30_000)].join();
  const drawn = inboxDrawn;
  if (drawn.state === page.state && drawn.look === look && performance.now() < drawn.again) return;
  Object.assign(drawn, { state: page.state, look });
  const again = inbox.draw(channels, page.state, { current: page.view.channel ?? null, filter: page.filter, quiet: page.quiet, folded: page.folded, parents: page.parents, nameOf }, steady);
  drawn.again = again ? performance.now() + again : Infinity;
  if (again) setTimeout(() => changed('outside'), again + 1);
}

let inboxWaits = false;
/** The inbox is drawn in a task of its own, so that none is long; what the server wrote stands until then. */
function paintInboxSoon() {
  if (document.hidden) return paintInbox();
  if (inboxWaits) return;
  inboxWaits = true;
  setTimeout(() => {
    inboxWaits = false;
    paintInbox();
  });
}

function paint() {
  const t = totals(page.state);
  paintTitle(t);
  for (const a of document.querySelectorAll('a[data-view]')) {
    if (a.getAttribute('data-view') === page.view.kind && !page.view.guild) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  paintInboxSoon();
  byID('quiet').setAttribute('aria-pressed', String(page.quiet));
  saved.draw();
  const status = words.status[page.status];
  if (byID('status').textContent !== status) byID('status').textContent = status;
  paintHead(t);
  paintStream(t);
  look();
}

/** @param {{unread: number, mentions: number}} t */
function paintTitle(t) {
  const title = (t.unread ? `(${short(t.unread)}) ` : '') + (page.view.kind === 'unread' && !page.view.guild ? '' : titleOf() + ' · ') + 'Tidings';
  if (document.title !== title) document.title = title;
  const icon = byID('icon');
  const want = t.mentions ? `/icon.svg?mentions=${Math.min(t.mentions, 100)}` : t.unread ? `/icon.svg?unread=${Math.min(t.unread, 100)}` : icon.dataset.plain ?? '';
  if (icon.getAttribute('href') !== want) icon.setAttribute('href', want);
  byID('total').textContent = t.unread ? short(t.unread) : '';
  byID('mentions').textContent = t.mentions ? short(t.mentions) : '';
}

/** titleOf is what the view is called. */
function titleOf() {
  const v = page.view, c = v.channel ? page.state.channels[v.channel] : null;
  return (c ? (inbox.isThread(c) ? '↳ ' : '#') : '') + (c?.name ?? savedOf(v)?.name ?? v.title);
}

/** @param {{unread: number, mentions: number}} t */
function paintHead(t) {
  const v = page.view, c = v.channel ? page.state.channels[v.channel] : null, mine = savedOf(v);
  say('title', titleOf());
  say('where', c ? [page.state.guilds[c.guild]?.name, nameOfParent(c), page.parents.get(c.id)?.topic || (first.view.channel === c.id ? first.view.topic : '')].filter(Boolean).join(' · ')
    : v.kind === 'saved' ? words.savedAre : v.kind === 'keywords' ? words.keywordsAre : v.kind === 'search' ? '' : v.kind === 'mentions' ? words.unreadMentions(t.mentions) : mine ? summary(saved.countOf(mine)) : summary(t));
  const unread = c ? c.unread : mine ? saved.countOf(mine).unread : v.guild ? unreadOf(v.guild) : t.unread;
  byID('channel-tools').hidden = !c;
  byID('edit-view').hidden = !mine;
  const threads = c ? Object.values(page.state.channels).filter((x) => x.parent === c.id && inbox.isThread(x)).length : 0;
  byID('show-threads').hidden = !threads;
  say('threads-count', threads ? short(threads) : '');
  const mark = byID('mark');
  // What shows only some messages of a channel is no place to mark all of them as read.
  byID('mark-more').hidden = mark.hidden = ['search', 'saved', 'keywords', 'mentions'].includes(v.kind) || Boolean(mine && (!byChannel(mine) || mine.mentions_only));
  mark.toggleAttribute('disabled', unread === 0);
  mark.title = c ? words.markChannelHint : mine ? words.markViewRead : v.guild ? words.markServerHint : words.markAllHint;
  say('mark-label', c || mine ? words.markRead : v.guild ? words.markServerRead : words.markAllRead);
  byID('search').hidden = v.kind !== 'search';
}

/** say writes a text where it differs. @param {string} id @param {string} text */
function say(id, text) {
  const node = byID(id);
  if (node.textContent !== text) node.textContent = text;
}

/** @param {import('./state.js').Channel} c */
function nameOfParent(c) {
  return inbox.isThread(c) ? words.inChannel(nameOf(c.parent) ?? words.aChannel) : '';
}

/** @param {string} guild */
function unreadOf(guild) {
  return Object.values(page.state.channels).reduce((n, c) => n + (c.guild === guild && !muted(c) ? c.unread : 0), 0);
}

/** @param {{unread: number, mentions: number}} t */
function summary(t) {
  const mine = savedOf(page.view), whole = !mine || byChannel(mine);
  const mentions = whole ? t.mentions : 0; // of a view of some messages, those of its channels say nothing
  const n = Object.values(page.state.channels).filter((c) => c.unread > 0 && !muted(c) && (!mine || inPlaces(mine, c, page.state, page.parents))).length;
  if (!t.unread && !mentions) return words.allCaughtUp;
  return [words.unreadCount(t.unread), mentions ? words.mentionsOf(mentions) : '', whole ? words.inChannels(n) : ''].filter(Boolean).join(' · ');
}

/** @param {{unread: number, mentions: number}} t */
function paintStream(t) {
  const stick = sticks(), at = stick ? null : anchor();
  stream.setAttribute('aria-busy', String(page.busy && !page.problem));
  streams.draw(stream, page.list.messages, { ...context(), dated: !follows() });
  highlight('found', stream, page.view.kind === 'search' ? page.view.q ?? '' : '');
  const byId = new Map(page.list.messages.map((m) => [m.id, m]));
  for (const n of stream.querySelectorAll('article')) {
    const unread = String(isUnread(byId.get(n.dataset.id ?? '')));
    if (n.dataset.unread !== unread) n.dataset.unread = unread;
  }
  older.hidden = !page.list.older || page.busy || (page.view.kind === 'unread' && t.unread === 0);
  say('older', follows() ? words.olderMessages : words.more);
  older.classList.toggle('last', !follows());
  paintEnd(t);
  paintBanner();
  if (stick) {
    scroll.scrollTop = scroll.scrollHeight;
    page.below = 0;
  } else if (at) {
    const n = find(at.id);
    const by = n ? n.getBoundingClientRect().top - scroll.getBoundingClientRect().top - at.top : 0;
    if (Math.abs(by) >= 1) scroll.scrollTop += by;
  }
  if (page.below && !page.list.newer && atBottom()) page.below = 0; // all of it is in sight
  paintPill();
  keepFocus();
}

/** @param {{unread: number, mentions: number}} t */
function paintEnd(t) {
  const v = page.view, empty = page.list.messages.length === 0;
  const done = v.kind === 'unread' && t.unread === 0 && !page.list.messages.some(isUnread);
  byID('end').hidden = !(page.problem && empty) && (page.busy || page.list.newer || !(empty || done) || (v.kind === 'search' && !v.q));
  const caughtUp = v.kind === 'unread' && !page.problem;
  say('end-title', caughtUp ? words.allCaughtUp : '');
  byID('end-title').hidden = !caughtUp;
  const noKeywords = v.kind === 'keywords' && !page.keywords.length && !page.problem;
  say('end-text', page.problem || (noKeywords ? words.noKeywordsYet : words.empty[v.kind]));
  endLinks(page.unfetched ? 'again' : caughtUp ? 'on' : noKeywords ? 'keywords' : '');
  byID('end').classList.toggle('fault', Boolean(page.problem));
  if (page.problem && byID('end').dataset.said !== page.problem) byID('said').textContent = page.problem;
  byID('end').dataset.said = page.problem;
}

/** endLinks is where one goes on from the end. @param {'' | 'again' | 'on' | 'keywords'} which */
function endLinks(which) {
  const links = byID('end-links');
  if (links.dataset.which === which) return;
  links.dataset.which = which;
  links.hidden = !which;
  const now = el('button', { type: 'button', class: 'primary quiet-primary' }, words.fetchAgain);
  now.addEventListener('click', again);
  links.replaceChildren(...(which === 'again' ? [now] : which === 'keywords' ? [el('a', { href: '/settings#keywords-title' }, words.chooseKeywords)] : [el('a', { href: '/?filter=all', 'data-view': 'all' }, words.everything), ' · ', el('a', { href: '/saved', 'data-view': 'saved' }, words.saved)]));
}

/** paintBanner says what is worth knowing of what is above: unread messages beyond the list, gaps, what was found late. */
function paintBanner() {
  const v = page.view, c = v.channel ? page.state.channels[v.channel] : null;
  /** @type {(HTMLElement | null)[]} */
  const lines = [];
  const oldest = !follows() || v.kind === 'mentions' || v.kind === 'all' || v.kind === 'keywords' || v.kind === 'view' ? null : c ? (c.unread ? c.first_unread : null) : oldestUnread();
  const top = page.list.messages[0];
  if (oldest && top && !page.list.messages.some((m) => m.id === oldest) && page.list.older) {
    const jump = el('button', { type: 'button', class: 'link' }, words.beginAtFirst);
    jump.addEventListener('click', toFirstUnread);
    lines.push(el('p', {}, words.unreadBefore, jump));
  }
  if (c && page.detail) {
    const missing = page.detail.gaps.filter((g) => !g.backfill && !g.unclear);
    const whole = page.detail.complete_since ? words.wholeSince(fullTime(new Date(page.detail.complete_since))) : '';
    if (missing.length) lines.push(el('p', {}, words.mayBeMissing(fullTime(new Date(missing[missing.length - 1].since)), page.detail.left_seconds), whole));
    else if (page.detail.gaps.some((g) => g.unclear)) lines.push(el('p', {}, words.cannotBeRead, whole));
    else if (page.detail.gaps.length) lines.push(el('p', {}, words.pastIsFetched));
  }
  if (c?.recovered) lines.push(el('p', {}, words.recovered(c.recovered)));
  const box = byID('recovered');
  const key = lines.map((l) => l?.textContent).join('\n');
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    box.replaceChildren(.../** @type {HTMLElement[]} */ (lines));
  }
  box.hidden = lines.length === 0;
}

function paintPill() {
  const pill = byID('pill');
  pill.hidden = page.below === 0 && !page.list.newer || page.list.messages.length === 0;
  say('pill', page.below ? words.newBelow(short(page.below)) : words.toLatest);
}

// What the person does --------------------------------------------------------------------------------------------------

/** drawer pulls the inbox out on a narrow page, or puts it away; the focus goes with it. @param {boolean} out */
function drawer(out) {
  const inside = byID('inbox').contains(document.activeElement);
  document.body.classList.toggle('drawer', out);
  byID('menu').setAttribute('aria-expanded', String(out));
  byID('inbox').toggleAttribute('inert', narrow.matches && !out);
  byID('main').toggleAttribute('inert', narrow.matches && out);
  if (!narrow.matches) return;
  if (out) /** @type {HTMLElement | null} */ (document.querySelector('#inbox [aria-current]') ?? document.querySelector('#inbox a'))?.focus({ preventScroll: true });
  else if (inside) byID('menu').focus();
}

function findChannel() {
  if (narrow.matches) drawer(true);
  filter.focus();
  filter.select();
}

function search() {
  const v = page.view;
  if (v.kind !== 'search') {
    const c = v.channel ? page.state.channels[v.channel] : null;
    open({ ...searchView(''), title: words.search });
    searchBox.value = c ? `in:${c.id} ` : '';
  }
  searchBox.focus();
  if (!searchBox.value.startsWith('in:')) searchBox.select();
}

function help() {
  const box = /** @type {HTMLDialogElement} */ (byID('help'));
  if (box.open) return;
  box.showModal();
  box.scrollTop = 0; // the focus is on what closes it, at its end
}

function close() {
  if (closeMenu()) return;
  if (document.body.classList.contains('drawer')) drawer(false);
  if (document.activeElement === filter) {
    filter.value = '';
    page.filter = '';
    filter.blur();
    changed();
  } else if (document.activeElement === searchBox) {
    searchBox.blur();
    scroll.focus({ preventScroll: true });
  } else if (page.selected) drop();
}

/** withChosen does something to the chosen message. @param {(m: any) => void} act */
const withChosen = (act) => () => {
  const m = chosen();
  if (m) act(m);
  else toast(words.chooseFirst);
};

/** withChannel shows something of the open channel beside it. @param {import('./beside.js').Kind} kind */
const withChannel = (kind) => () => {
  if (page.view.channel) beside(kind, page.view.channel);
  else toast(words.openChannelFirst);
};

/** @type {Record<string, (n: number) => void>} */
const acts = {
  next: nextMessage, previous: previousMessage, nextUnread, previousUnread, nextChannel: () => nextChannel(1), previousChannel: () => nextChannel(-1),
  firstUnread: toFirstUnread, latest: () => toLatest().then(() => end(true)),
  open: withChosen((m) => open(channelView(m.channel, m.id))), discord: withChosen(openInDiscord), save: withChosen(save), copy: withChosen(copyLink),
  menu: withChosen((m) => ofMessage(m, find(m.id))),
  read: () => markHere(chosen()), readAll: markAll, unread: () => markUnread(chosen()), undo, search, find: findChannel, help, close, palette,
  placeMenu: () => { if (!ofPlace()) toast(words.openChannelFirst); },
  findHere: withChannel('find'), threads: withChannel('threads'), pins: withChannel('pins'), about: withChannel('about'),
  goKeywords: () => open(feedView('keywords')), goView: (n) => saved.nth(n), newView: () => saved.form(),
  goFeed: () => open(feedView('unread')), goMentions: () => open(feedView('mentions')), goAll: () => open(feedView('all')), goSaved: () => open({ kind: 'saved', title: words.saved }),
  goSettings: () => location.assign('/settings'),
  goInbox: () => {
    if (narrow.matches) drawer(true);
    (/** @type {HTMLElement | null} */ (channels.querySelector('a[data-open]')) ?? filter).focus();
  },
};

/** follow opens what a link inside the page points to, without loading the page anew. @param {MouseEvent} e */
function follow(e) {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  const target = /** @type {HTMLElement} */ (e.target);
  const a = target.closest('a[data-open], a[data-view], a[data-saved]');
  if (a) {
    e.preventDefault();
    const mine = a.getAttribute('data-saved');
    if (mine) return void open(savedView(mine));
    const channel = a.getAttribute('data-open'), kind = a.getAttribute('data-view') ?? 'unread';
    if (channel && a.matches('.thread') && innerWidth > 1100) beside('thread', channel);
    else if (channel) jump(channel, a.getAttribute('data-at') ?? undefined);
    else if (kind === 'saved') acts.goSaved(1);
    else if (kind === 'search') search();
    else open(feedView(/** @type {any} */ (kind)));
    return;
  }
  const folding = target.closest('[data-fold]');
  if (folding) return fold(folding.getAttribute('data-fold') ?? '');
  target.closest('.spoiler')?.classList.toggle('shown');
  const message = target.closest('article');
  if (message && stream.contains(message) && !target.closest('a, button, .spoiler, summary, audio, video') && getSelection()?.isCollapsed) select(message.dataset.id ?? null);
}

/** jump shows a message: where it is, if it is in the list. @param {string} channel @param {string} [at] */
function jump(channel, at) {
  const here = at && page.view.channel === channel && find(at);
  if (!here) return void open(channelView(channel, at));
  select(at);
  here.scrollIntoView({ block: 'center' });
}

/** more fetches what follows at an end of the list that is near. */
function more() {
  const top = scroll.scrollTop, rest = scroll.scrollHeight - top - scroll.clientHeight;
  if (!follows()) {
    if (rest < 600) grow('older');
    return;
  }
  if (top < 600) grow('older');
  if (rest < 600) grow('newer');
}

/** The buttons beside the message under the pointer; one set for all messages. */
function tools() {
  const box = byID('tools');
  /** @type {HTMLElement | null} */
  let over = null;
  const of = () => page.list.messages.find((m) => m.id === over?.dataset.id);
  stream.addEventListener('pointerover', (e) => {
    if (e.pointerType === 'touch') return;
    over = /** @type {Element} */ (e.target).closest('article');
    if (!over) return;
    const top = over.getBoundingClientRect().top - byID('main').getBoundingClientRect().top;
    box.hidden = false;
    box.style.top = Math.max(64, top - 14) + 'px';
    const m = of();
    byID('tool-save').setAttribute('aria-pressed', String(Boolean(m && page.saved.has(m.id))));
  });
  scroll.addEventListener('scroll', () => { box.hidden = true; }, { passive: true });
  byID('main').addEventListener('pointerleave', () => { box.hidden = true; });
  byID('tool-read').addEventListener('click', () => { const m = of(); if (m) { select(m.id); markHere(m); } });
  byID('tool-save').addEventListener('click', () => { const m = of(); if (m) save(m); });
  byID('tool-more').addEventListener('click', () => {
    const m = of(), at = byID('tool-more').getBoundingClientRect();
    if (m) ofMessage(m, over, { x: at.left, y: at.bottom + 4 });
  });
}

function listenAround() {
  document.addEventListener('click', follow);
  document.addEventListener('keydown', (e) => {
    const target = /** @type {HTMLElement} */ (e.target);
    if ((e.key === 'Enter' || e.key === ' ') && target.classList.contains('spoiler')) {
      e.preventDefault();
      target.classList.toggle('shown');
    }
  });
  byID('mark').addEventListener('click', () => {
    const mine = savedOf(page.view);
    if (page.view.channel) markChannel(page.view.channel);
    else if (mine) markView(mine.name, (c) => inPlaces(mine, c, page.state, page.parents));
    else if (page.view.guild) markGuild(page.view.guild);
    else markAll();
  });
  byID('mark-more').addEventListener('click', () => ofMarks(byID('mark-more')));
  for (const [id, kind] of /** @type {const} */ ([['show-find', 'find'], ['show-pins', 'pins'], ['show-threads', 'threads'], ['show-about', 'about']])) {
    byID(id).addEventListener('click', () => withChannel(kind)());
  }
  byID('show-more').addEventListener('click', () => ofChannel(page.view.channel ?? '', byID('show-more')));
  byID('new-view').addEventListener('click', () => saved.form());
  byID('edit-view').addEventListener('click', () => saved.form(saved.current()));
  byID('menu').addEventListener('click', () => drawer(true));
  byID('shade').addEventListener('click', () => drawer(false));
  byID('keys').addEventListener('click', help);
  byID('pill').addEventListener('click', () => toLatest());
  byID('quiet').addEventListener('click', () => {
    page.quiet = !page.quiet;
    localStorage.setItem('quiet', page.quiet ? 'yes' : 'no');
    changed();
  });
  byID('search').addEventListener('submit', (e) => {
    e.preventDefault();
    // With something found, the keys walk over it; / goes back to the words.
    open(searchView(searchBox.value.trim())).then(() => { if (page.list.messages.length && document.activeElement === searchBox) scroll.focus({ preventScroll: true }); });
  });
  older.addEventListener('click', () => grow('older'));
  // A wheel or a finger at the very edge scrolls nothing, and wants more all the same.
  scroll.addEventListener('wheel', more, { passive: true });
  scroll.addEventListener('touchmove', more, { passive: true });
  scroll.addEventListener('scroll', () => {
    more();
    if (page.below && !page.list.newer && atBottom()) {
      page.below = 0;
      changed();
    }
    look();
  }, { passive: true });
  filter.addEventListener('input', () => {
    page.filter = filter.value;
    changed();
  });
  filter.addEventListener('keydown', (e) => {
    const hit = /** @type {HTMLElement | null} */ (channels.querySelector('a[data-open]'));
    if (e.key === 'Enter' && hit) {
      filter.value = '';
      page.filter = '';
      filter.blur();
      hit.click();
    } else if (e.key === 'ArrowDown') {
      e.preventDefault();
      hit?.focus();
    }
  });
  channels.addEventListener('keydown', (e) => {
    const rows = [...channels.querySelectorAll('a[data-open], [data-fold]')], at = rows.indexOf(/** @type {Element} */ (document.activeElement));
    const by = e.key === 'ArrowDown' ? 1 : e.key === 'ArrowUp' ? -1 : 0;
    if (!by || at < 0) return;
    e.preventDefault();
    /** @type {HTMLElement | undefined} */ (rows[at + by])?.focus();
  });
  channels.addEventListener('mouseleave', () => changed());
  window.addEventListener('popstate', () => open(viewOfAddress(), false));
  window.addEventListener('focus', look);
  window.addEventListener('blur', look);
  window.addEventListener('online', () => live.wake());
  window.addEventListener('pagehide', () => {
    keepPlace();
    live.pause();
  });
  window.addEventListener('pageshow', (e) => { if (e.persisted) live.resume(); });
  document.addEventListener('resume', () => live.wake());
  window.addEventListener('storage', (e) => { if (e.key === 'preferences') apply(); });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    live.wake();
    changed();
    if (page.views.length) saved.refresh();
  });
  narrow.addEventListener('change', () => drawer(false));
}

function writeHelp() {
  const groups = Map.groupBy(keys, (k) => k.of);
  byID('help-keys').append(...[...groups].map(([of, list]) => el('div', { class: 'keys' }, el('h3', {}, of), el('dl', {}, ...list.map((k) =>
    el('div', {}, el('dt', {}, ...k.key.split(' ').map((x) => el('kbd', {}, /^[A-Z]$/.test(x) ? 'Shift+' + x : x))), el('dd', {}, k.text)))))));
}

function start() {
  apply();
  // What the server wrote is in its own time zone; the whole is drawn again by draw(), which keeps nothing that it did not draw.
  paintWith(paint);
  onOpen.push((v) => {
    drawer(false);
    if (page.beside) besideModule().then((b) => b.left(v));
    if (v.kind === 'search' && document.activeElement !== searchBox) searchBox.value = v.q ?? '';
  });
  writeHelp();
  listenAround();
  tools();
  listen(acts);
  commandsFrom(() => [
    ...keys.filter((k) => !['next', 'previous', 'close', 'palette', 'menu', 'goView'].includes(k.does)).map((k) => ({ text: k.text, key: k.key, act: () => acts[k.does]?.(1) })),
    ...[1, 7, 30].map((days) => ({ text: words.markOlder(days), key: '', act: () => markOlder(days) })),
    { text: words.notCovered, key: '', act: () => beside('coverage', '') },
  ]);
  drawer(false);
  begin();
  saved.takeShared();
  watchCoverage();
  if (page.views.some((v) => !byChannel(v))) saved.refresh();
  live.start();
  tick(stream);
  // A mute that ends, and a day that does, are noticed within half a minute.
  setInterval(() => changed('outside'), 30_000);
  document.body.dataset.ready = 'yes';
  performance.mark('ready');
  hold();
  if ('serviceWorker' in navigator) navigator.serviceWorker.register('/worker.js').then(watchBuild).catch(() => {});
}

start();
