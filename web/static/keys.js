// The keyboard. Keys do nothing while somebody writes or while a dialog is open.

/** What each key does, for the help and for the listener. Two keys in a row are written with a space. */
export const keys = [
  { key: 'j', does: 'next', text: 'Next message' },
  { key: 'k', does: 'previous', text: 'Previous message' },
  { key: 'Enter', does: 'open', text: 'Open the message’s channel' },
  { key: 'm', does: 'read', text: 'Mark as read up to here' },
  { key: 'M', does: 'readAll', text: 'Mark everything as read' },
  { key: 'u', does: 'unread', text: 'Mark as unread from here' },
  { key: 'z', does: 'undo', text: 'Undo the last mark' },
  { key: 'n', does: 'nextChannel', text: 'Next unread channel' },
  { key: '/', does: 'find', text: 'Find a channel (also Ctrl+K)' },
  { key: 'g f', does: 'goFeed', text: 'Go to the feed' },
  { key: 'g i', does: 'goInbox', text: 'Go to the inbox' },
  { key: 'g m', does: 'goMentions', text: 'Go to mentions' },
  { key: 'Escape', does: 'close', text: 'Close what is open' },
  { key: '?', does: 'help', text: 'These keys' },
];

const waitForSecond = 1200;

/** @param {Record<string, () => void>} acts */
export function listen(acts) {
  let first = '', since = 0;
  document.addEventListener('keydown', (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.altKey && e.key.toLowerCase() === 'k') {
      e.preventDefault();
      acts.find?.();
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
    const target = /** @type {HTMLElement} */ (e.target);
    if (e.key === 'Escape') {
      acts.close?.();
      return;
    }
    if (target.closest('input, textarea, select, dialog[open], [contenteditable]')) return;
    if (e.key === 'Enter' && target.closest('a, button, summary, .spoiler')) return;
    const pair = first && Date.now() - since < waitForSecond ? `${first} ${e.key}` : '';
    first = '';
    const hit = keys.find((k) => k.key === pair) ?? keys.find((k) => k.key === e.key);
    if (hit) {
      e.preventDefault();
      acts[hit.does]?.();
    } else if (keys.some((k) => k.key.startsWith(e.key + ' '))) {
      first = e.key;
      since = Date.now();
    }
  });
}
