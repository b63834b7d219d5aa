// Moving about: which message is chosen, and the next one of a kind.

import { byID } from './render/dom.js';
import * as inbox from './render/inbox.js';
import { muted } from './state.js';
import { page, changed, messageOf, paintNow } from './page.js';
import { toast } from './toast.js';
import { words } from './words.js';
import { channelView, find, follows, grow, isUnread, open, selectWith } from './views.js';

const stream = byID('stream'), scroll = byID('scroll');

/** select chooses a message, or none. The choice has the focus. @param {string | null} id */
export function select(id) {
  const was = stream.querySelector('[data-selected]');
  const node = id ? find(id) : null;
  if (was && was !== node) was.removeAttribute('data-selected');
  page.selected = node ? id : null;
  if (!node) {
    if (was === document.activeElement) scroll.focus({ preventScroll: true });
    return;
  }
  node.setAttribute('data-selected', '');
  node.focus({ preventScroll: true });
  node.scrollIntoView({ block: 'nearest' });
}
selectWith(select);

/** chosen is the chosen message: of those beside the stream the one with the focus. */
export function chosen() {
  const beside = document.activeElement?.closest('#beside article');
  return beside ? messageOf(beside) : page.list.messages.find((m) => m.id === page.selected);
}

/** side is where more of the list comes from when one moves beyond its end. @param {1 | -1} by @returns {'older' | 'newer' | null} */
function side(by) {
  if (!follows()) return by > 0 ? 'older' : null; // these stand newest first
  return by < 0 ? 'older' : 'newer';
}

/** move chooses the next message of a kind, or the one before, and tells whether there was one. @param {1 | -1} by @param {(m: any) => boolean} [wanted] */
async function move(by, wanted = () => true) {
  const from = side(by);
  for (;;) {
    const list = page.list.messages;
    let at = list.findIndex((m) => m.id === page.selected);
    at = at < 0 ? begin(by) : at + by;
    while (at >= 0 && at < list.length && !wanted(list[at])) at += by;
    if (at >= 0 && at < list.length) {
      select(list[at].id);
      if (from && (by < 0 ? at < 5 : at > list.length - 5)) grow(from);
      return true;
    }
    const before = page.list;
    if (!from || !before[from]) return false;
    if (list.length) select(list[by < 0 ? 0 : list.length - 1].id);
    await grow(from);
    if (page.list === before) return false;
  }
}

/** begin is where moving starts when nothing is chosen: at the first unread message, or at what is in sight. @param {1 | -1} by */
function begin(by) {
  const list = page.list.messages;
  const unread = list.findIndex(isUnread);
  return by < 0 ? list.length - 1 : Math.max(0, unread);
}

export const nextMessage = () => move(1);
export const previousMessage = () => move(-1);

export async function nextUnread() {
  if (!(await move(1, isUnread)) && page.view.kind === 'channel') nextChannel(1);
  else if (!chosen()) toast(words.nothingFurtherDown);
}

export async function previousUnread() {
  if (!(await move(-1, isUnread))) toast(words.nothingFurtherUp);
}

/** nextChannel opens the unread channel that stands below the open one in the inbox, or above it. @param {1 | -1} by */
export function nextChannel(by) {
  const rows = inbox.sections(page.state, { current: page.view.channel ?? null, filter: '', quiet: false, folded: page.folded, parents: page.parents })
    .flatMap((g) => g.rows.map((r) => r.channel)).filter((c) => c.id === page.view.channel || (c.unread > 0 && !muted(c)));
  if (!rows.some((c) => c.id !== page.view.channel)) {
    toast(words.everythingIsRead);
    return;
  }
  const at = rows.findIndex((c) => c.id === page.view.channel);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : (at + by + rows.length) % rows.length;
  open(channelView(rows[next].id));
}

/** end chooses the first or the last message. @param {boolean} last */
export function end(last) {
  const m = page.list.messages.at(last ? -1 : 0);
  if (m) select(m.id);
}

/** keepFocus gives the focus to what came in place of what had it. */
export function keepFocus() {
  if (page.selected && !page.list.messages.some((m) => m.id === page.selected)) page.selected = null;
  if (document.activeElement === document.body && !document.querySelector('dialog[open]')) {
    const node = page.selected ? find(page.selected) : null;
    (node ?? scroll).focus({ preventScroll: true });
  }
}

/** drop forgets the choice. */
export function drop() {
  select(null);
  changed();
  paintNow();
}
