// The line at the bottom that says what was just done, with a way back.

import { byID, el } from './render/dom.js';

const lasts = 6000;
let timer = 0;

/** @param {string} said @param {string} [action] @param {() => void} [act] */
export function toast(said, action, act) {
  clearTimeout(timer);
  const box = byID('toast');
  const button = action ? el('button', { type: 'button' }, action) : null;
  button?.addEventListener('click', () => {
    box.replaceChildren();
    act?.();
  });
  box.replaceChildren(el('div', {}, el('span', {}, said), button));
  timer = setTimeout(() => box.replaceChildren(), lasts);
}

/** stay says something that does not go away, with a link. @param {string} said @param {string} label @param {string} href */
export function stay(said, label, href) {
  clearTimeout(timer);
  byID('toast').replaceChildren(el('div', {}, el('span', {}, said), el('a', { href }, label)));
}
