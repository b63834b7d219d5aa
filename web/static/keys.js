// The keyboard. Keys do nothing while somebody writes or while a dialog or a menu is open.

/** What each key does, for the help, the palette and the listener. Two keys in a row are written with a space. */
export const keys = [
  { key: 'j', does: 'next', text: 'Next message', of: 'Moving' },
  { key: 'k', does: 'previous', text: 'Previous message', of: 'Moving' },
  { key: 'n', does: 'nextUnread', text: 'Next unread message', of: 'Moving' },
  { key: 'p', does: 'previousUnread', text: 'Previous unread message', of: 'Moving' },
  { key: 'J', does: 'nextChannel', text: 'Next unread channel', of: 'Moving' },
  { key: 'K', does: 'previousChannel', text: 'Previous unread channel', of: 'Moving' },
  { key: '.', does: 'firstUnread', text: 'First unread message', of: 'Moving' },
  { key: 'G', does: 'latest', text: 'Latest message', of: 'Moving' },
  { key: 'Enter', does: 'open', text: 'Open the message in its channel', of: 'Message' },
  { key: 'o', does: 'discord', text: 'Open in Discord', of: 'Message' },
  { key: 's', does: 'save', text: 'Save for later', of: 'Message' },
  { key: 'c', does: 'copy', text: 'Copy the link', of: 'Message' },
  { key: 'x', does: 'menu', text: 'More of the message', of: 'Message' },
  { key: 'm', does: 'read', text: 'Mark as read up to here', of: 'Reading' },
  { key: 'M', does: 'readAll', text: 'Mark everything as read', of: 'Reading' },
  { key: 'U', does: 'unread', text: 'Mark as unread from here', of: 'Reading' },
  { key: 'u', does: 'undo', text: 'Undo the last mark', of: 'Reading' },
  { key: '/', does: 'search', text: 'Search', of: 'Going' },
  { key: 'F', does: 'findHere', text: 'Find in the open channel', of: 'Channel' },
  { key: 't', does: 'threads', text: 'Threads, beside the channel', of: 'Channel' },
  { key: 'b', does: 'pins', text: 'What is pinned', of: 'Channel' },
  { key: 'i', does: 'about', text: 'About the channel', of: 'Channel' },
  { key: 'X', does: 'placeMenu', text: 'Mute, notifications and more of the channel', of: 'Channel' },
  { key: 'f', does: 'find', text: 'Find a channel in the inbox', of: 'Going' },
  { key: 'g f', does: 'goFeed', text: 'Go to the feed', of: 'Going' },
  { key: 'g i', does: 'goInbox', text: 'Go to the inbox', of: 'Going' },
  { key: 'g m', does: 'goMentions', text: 'Go to mentions', of: 'Going' },
  { key: 'g k', does: 'goKeywords', text: 'Go to keywords', of: 'Going' },
  { key: 'g s', does: 'goSaved', text: 'Go to what is saved', of: 'Going' },
  { key: 'g a', does: 'goAll', text: 'Go to everything', of: 'Going' },
  { key: 'g 1', does: 'goView', text: 'Go to the first view, g 2 to the second …', of: 'Going' },
  { key: 'v', does: 'newView', text: 'New view', of: 'Going' },
  { key: 'g p', does: 'goSettings', text: 'Go to the settings', of: 'Going' },
  { key: 'Ctrl+K', does: 'palette', text: 'Go to any channel or command', of: 'Going' },
  { key: 'Escape', does: 'close', text: 'Close what is open', of: 'Going' },
  { key: '?', does: 'help', text: 'These keys', of: 'Going' },
];

const waitForSecond = 1500;

/** @param {Record<string, (n: number) => void>} acts */
export function listen(acts) {
  let before = '', since = 0;
  document.addEventListener('keydown', (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey && e.key.toLowerCase() === 'k') {
      e.preventDefault();
      acts.palette?.(1);
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || e.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (e.target);
    if (target.closest('dialog[open], [role="menu"]')) return;
    if (e.key === 'Escape') {
      acts.close?.(1);
      return;
    }
    if (target.closest('input, textarea, select, [contenteditable]')) return;
    if (e.key === 'Enter' && target.closest('a, button, summary, .spoiler')) return;
    const pair = before && Date.now() - since < waitForSecond ? `${before} ${e.key}` : '';
    before = '';
    const nth = /^g [1-9]$/.test(pair) ? Number(pair[2]) : 1;
    const hit = keys.find((k) => k.key === pair || (nth > 1 && k.key === 'g 1')) ?? keys.find((k) => k.key === e.key);
    if (hit) {
      e.preventDefault();
      acts[hit.does]?.(nth);
    } else if (keys.some((k) => k.key.startsWith(e.key + ' '))) {
      before = e.key;
      since = Date.now();
    }
  });
}
