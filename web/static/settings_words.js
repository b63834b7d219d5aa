// Keywords and saved views on the page of settings.

import { api, Problem } from './api.js';
import { byID, el } from './render/dom.js';
import { toast } from './toast.js';
import { words as say } from './words.js';

/** @type {string[]} */
let words = [];

/** attempt does something and says what went wrong. @param {() => Promise<any>} act */
async function attempt(act) {
  try {
    await act();
  } catch (e) {
    if (!(e instanceof Problem)) throw e;
    toast(e.message);
  }
}

function draw() {
  byID('keywords').replaceChildren(...(words.length ? words.map((w) => {
    const b = el('button', { type: 'button', 'aria-label': say.remove(w) }, el('bdi', {}, w), el('span', { 'aria-hidden': 'true' }, '×'));
    b.addEventListener('click', () => attempt(async () => {
      const before = words;
      await set(words.filter((x) => x !== w));
      byID('keyword').focus();
      toast(say.keywordGone(w), say.undo, () => attempt(() => set(before)));
    }));
    return el('li', {}, b);
  }) : [el('li', { class: 'none' }, say.noKeywords)]));
}

/** @param {string[]} list */
async function set(list) {
  words = (await api.setKeywords(list)).keywords;
  draw();
}

async function views() {
  const { views: list } = await api.views();
  byID('views').replaceChildren(...(list.length ? list.map((/** @type {any} */ v) => {
    const gone = el('button', { type: 'button', class: 'danger', 'aria-label': `${say.deleteView}: ${v.name}` }, say.delete);
    gone.addEventListener('click', () => attempt(async () => {
      await api.deleteView(v.id);
      await views();
      toast(say.viewDeleted(v.name));
      byID('views-title').focus();
    }));
    return el('li', {}, el('div', {}, el('a', { href: '/?view=' + v.id }, el('bdi', {}, v.name)), el('small', {}, v.feed ? say.hasFeed : '')), gone);
  }) : [el('li', { class: 'none' }, say.noViews)]));
}

byID('views-title').tabIndex = -1;
byID('add-keyword').addEventListener('submit', (e) => {
  e.preventDefault();
  const input = /** @type {HTMLInputElement} */ (byID('keyword'));
  attempt(async () => {
    await set([...words, input.value]);
    input.value = '';
  });
});
attempt(async () => {
  words = (await api.keywords()).keywords;
  draw();
});
attempt(views);
