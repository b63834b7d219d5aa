// Touch: a swipe to the left reads up to a message, one to the right opens its menu.

import { byID } from './render/dom.js';
import { page } from './page.js';
import { markTo } from './reading.js';
import { ofMessage } from './menu.js';

const stream = byID('stream');
/** How far a finger goes before it means something, in px. */
const far = 72;

/** @type {{node: HTMLElement, x: number, y: number, by: number, sure: boolean} | null} */
let swipe = null;

stream.addEventListener('touchstart', (e) => {
  const node = /** @type {Element} */ (e.target).closest('article');
  const t = e.touches[0];
  swipe = e.touches.length === 1 && node && !(/** @type {Element} */ (e.target).closest('pre, audio, video')) ? { node, x: t.clientX, y: t.clientY, by: 0, sure: false } : null;
}, { passive: true });

stream.addEventListener('touchmove', (e) => {
  if (!swipe) return;
  const t = e.touches[0], x = t.clientX - swipe.x, y = t.clientY - swipe.y;
  if (!swipe.sure && Math.abs(y) > 12 && Math.abs(y) > Math.abs(x)) { // the person scrolls
    swipe = null;
    return;
  }
  if (Math.abs(x) > 16) swipe.sure = true;
  if (!swipe.sure) return;
  swipe.by = Math.max(-120, Math.min(120, x));
  swipe.node.style.transform = `translateX(${swipe.by}px)`;
  swipe.node.dataset.swipe = swipe.by < -far ? 'read' : swipe.by > far ? 'menu' : 'begun';
}, { passive: true });

/** @param {boolean} done */
function leave(done) {
  if (!swipe) return;
  const { node, by } = swipe;
  swipe = null;
  node.style.transform = '';
  delete node.dataset.swipe;
  const m = page.list.messages.find((x) => x.id === node.dataset.id);
  if (!done || !m) return;
  if (by < -far) markTo(m);
  else if (by > far) ofMessage(m, node);
}

stream.addEventListener('touchend', () => leave(true), { passive: true });
stream.addEventListener('touchcancel', () => leave(false), { passive: true });
