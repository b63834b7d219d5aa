// The part of the settings that is about notifications: how this browser gives them, and of what, when and where the person wants any.

import { api } from './api.js';
import { byID, el } from './render/dom.js';
import { since } from './render/time.js';
import { prefer, preferences } from './preferences.js';
import { possible, subscribe, unsubscribe } from './push.js';
import { words } from './words_notify.js';
import { agent, attempt, fill, first, names } from './settings.js';

const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byID(id));
const radios = (/** @type {string} */ name) => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll(`input[name="${name}"]`)]);
const note = (/** @type {string} */ said) => { byID('notify-note').textContent = said; };
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** @type {any} what GET /api/notifications says */
let now = null;

async function load() {
  now = await api.notifications();
  draw();
}

function draw() {
  for (const r of radios('notify')) r.checked = r.value === preferences().notify;
  input('notify-words').checked = preferences().words === 'yes';
  for (const r of radios('level')) r.checked = r.value === now.level;
  input('notify-keywords').checked = now.keywords;
  input('quiet-on').checked = now.quiet !== null;
  if (now.quiet) {
    input('quiet-from').value = now.quiet.from;
    input('quiet-to').value = now.quiet.to;
  }
  for (const id of ['quiet-from', 'quiet-to']) input(id).disabled = !now.quiet;
  byID('quiet-zone').textContent = words.inZone(now.quiet?.zone ?? here);
  fill('levels', now.levels.map(level), words.noLevels);
  fill('browsers', now.browsers.map(browser), words.noBrowsers);
}

/** @param {any} l */
function level(l) {
  const name = names.get(l.scope) ?? words.unseen;
  const select = el('select', { 'aria-label': words.tellMeIn(name) }, ...words.levels.map(([value, text]) => el('option', { value, selected: value === l.level }, text)));
  select.addEventListener('change', () => attempt(async () => {
    await api.setLevel(l.scope, /** @type {HTMLSelectElement} */ (select).value);
    await load();
  }));
  const away = el('button', { type: 'button', 'aria-label': words.removeLevel(name) }, words.remove);
  away.addEventListener('click', () => attempt(async () => {
    await api.unsetLevel(l.scope);
    await load();
    byID('level-scope').focus();
  }));
  return el('li', {}, el('div', {}, el('bdi', {}, name)), el('span', { class: 'acts' }, select, away));
}

/** @param {any} b */
function browser(b) {
  const away = el('button', { type: 'button', 'aria-label': words.tellNoMore(agent(b.agent)) }, words.remove);
  away.addEventListener('click', () => attempt(async () => {
    if (b.current) await become('none');
    else await api.tellBrowserNoMore(b.id);
    await load();
    byID('browsers').closest('section')?.querySelector('input')?.focus();
  }));
  const last = b.last_error || (b.last_at ? words.lastTold(since(new Date(b.last_at))) : words.nothingYet);
  return el('li', {}, el('div', {}, el('bdi', {}, agent(b.agent)), el('small', {}, last + (b.current ? words.thisOne : ''))), away);
}

/** place offers what can have a level of its own. */
function places() {
  byID('level-scope').replaceChildren(...first.guilds.map((/** @type {any} */ g) => {
    const inside = [...g.parents, ...g.channels].map((c) => el('option', { value: c.id }, c.type === 4 ? words.category(c.name) : '#' + c.name));
    return el('optgroup', { label: g.name }, el('option', { value: g.id }, words.allOf(g.name)), ...inside);
  }));
  for (const g of first.guilds) for (const c of g.parents) if (c.type === 4) names.set(c.id, words.inGuild(c.name, g.name));
}

async function allowed() {
  if (!('Notification' in window)) return false;
  return Notification.permission === 'granted' || (Notification.permission === 'default' && (await Notification.requestPermission()) === 'granted');
}

/** become makes this browser notify in another way. @param {'none' | 'open' | 'push'} how */
async function become(how) {
  note('');
  const mine = now.browsers.find((/** @type {any} */ b) => b.current);
  if (how !== 'none' && !(await allowed())) {
    note(words.notAllowed);
    how = 'none';
  } else if (how === 'push' && !possible()) {
    note(words.notPossible);
    how = 'open';
  } else if (how === 'push') {
    try {
      await subscribe(now.push_key);
    } catch (e) {
      note(/** @type {Error} */ (e).message);
      how = 'open';
    }
  }
  prefer('notify', how);
  if (how !== 'push' && mine) await unsubscribe(mine.id);
  if (how !== 'none' && !byID('notify-note').textContent) note(how === 'push' ? words.toldClosed : words.toldOpen);
}

async function save() {
  const from = input('quiet-from').value, to = input('quiet-to').value, on = input('quiet-on').checked;
  for (const id of ['quiet-from', 'quiet-to']) input(id).disabled = !on;
  if (on && (!from || !to)) return; // still being typed
  await api.setNotifications({
    level: radios('level').find((r) => r.checked)?.value ?? 'mentions', keywords: input('notify-keywords').checked,
    ...(on ? { quiet: { from, to, zone: here } } : {}),
  });
  await load();
}

function start() {
  places();
  for (const r of radios('notify')) r.addEventListener('change', () => attempt(async () => {
    await become(/** @type {any} */ (r.value));
    await load();
  }));
  input('notify-words').addEventListener('change', () => attempt(async () => {
    prefer('words', input('notify-words').checked ? 'yes' : 'no');
    if (preferences().notify === 'push') await become('push');
  }));
  for (const r of radios('level')) r.addEventListener('change', () => attempt(save));
  for (const id of ['notify-keywords', 'quiet-on', 'quiet-from', 'quiet-to']) input(id).addEventListener('change', () => attempt(save));
  byID('level-add').addEventListener('submit', (e) => {
    e.preventDefault();
    attempt(async () => {
      await api.setLevel(/** @type {HTMLSelectElement} */ (byID('level-scope')).value, /** @type {HTMLSelectElement} */ (byID('level-of')).value);
      await load();
    });
  });
  attempt(load).then(() => { byID('notify-how').dataset.ready = 'yes'; });
}

start();
