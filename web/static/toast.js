// The line at the bottom that says what was just done, with a way back.

import { byID, el } from './render/dom.js';

const lasts = 6000;
let timer = 0;
/** What had the focus before the line's button. @type {HTMLElement | null} */
let before = null;

/** @param {string} said @param {string} [action] @param {() => void} [act] */
export function toast(said, action, act) {
  clearTimeout(timer);
  const box = byID('toast');
  const button = action ? el('button', { type: 'button' }, action) : null;
  button?.addEventListener('click', () => {
    clear(box);
    act?.();
  });
  const line = el('div', {}, el('span', {}, said), button);
  // Who is about to take it back is given the time to.
  const used = () => line.matches(':hover, :focus-within');
  const go = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (used() ? go() : clear(box)), lasts);
  };
  line.addEventListener('focusin', (e) => { if (e.relatedTarget instanceof HTMLElement && !line.contains(e.relatedTarget)) before = e.relatedTarget; });
  box.replaceChildren(line);
  go();
}

/** clear takes the line away and gives the focus back to what had it before. @param {HTMLElement} box */
function clear(box) {
  const focused = box.contains(document.activeElement);
  box.replaceChildren();
  if (focused && before?.isConnected) before.focus({ preventScroll: true });
  before = null;
}

/** stay says something that does not go away, with a link. @param {string} said @param {string} label @param {string} href */
export function stay(said, label, href) {
  clearTimeout(timer);
  byID('toast').replaceChildren(el('div', {}, el('span', {}, said), el('a', { href }, label)));
}
