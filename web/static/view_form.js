// The form of a saved view: what it is called and what it shows. Loaded when it is first asked for.

import { api, Problem } from './api.js';
import { byID, el } from './render/dom.js';
import { featureNames } from './filters.js';
import { page } from './page.js';
import { clean, put, remove, share } from './saved_views.js';
import { toast } from './toast.js';
import { words } from './words.js';

/** @typedef {import('./filters.js').SavedView} SavedView */

const dialog = /** @type {HTMLDialogElement} */ (byID('view-form')), form = /** @type {HTMLFormElement} */ (byID('view-fields'));
const name = /** @type {HTMLInputElement} */ (byID('view-name')), where = /** @type {HTMLInputElement} */ (byID('view-where')), who = /** @type {HTMLInputElement} */ (byID('view-who'));
/** Places that are offered at once, at most. */
const offered = 60;

/** @type {SavedView} */
let view = { id: '', name: '' };

/** edit opens the form. @param {SavedView} [v] without an id: a new one */
export function edit(v) {
  view = structuredClone(v ?? { id: '', name: '', guilds: page.view.guild ? [page.view.guild] : [], channels: page.view.channel ? [page.view.channel] : [] });
  byID('view-title').textContent = view.id ? words.editView : words.newView;
  name.value = view.name;
  where.value = who.value = '';
  byID('view-problem').textContent = '';
  byID('view-has').replaceChildren(...featureNames.map((f) => check('has', f, words.has[f] ?? f, view.has?.includes(f) ?? false)));
  for (const k of ['mentions_only', 'unread_only', 'keywords_only']) /** @type {HTMLInputElement} */ (form.elements.namedItem(k)).checked = Boolean(/** @type {any} */ (view)[k]);
  for (const id of ['view-delete', 'view-share', 'view-feed']) byID(id).hidden = !view.id;
  byID('view-feed-end').hidden = !view.feed;
  byID('view-feed').textContent = view.feed ? words.feedReplace : words.feedAddress;
  byID('view-secret').hidden = true;
  chips();
  places();
  people();
  if (!dialog.open) dialog.showModal();
  name.focus();
}

/** @param {string} field @param {string} value @param {string} label @param {boolean} on */
function check(field, value, label, on) {
  return el('label', {}, el('input', { type: 'checkbox', name: field, value, checked: on }), ' ', el('span', {}, el('bdi', {}, label)));
}

/** Everything that a view can be about. @returns {{id: string, kind: 'guilds' | 'categories' | 'channels', text: string, under: string}[]} */
function allPlaces() {
  const guilds = Object.values(page.state.guilds);
  const nameOfGuild = (/** @type {string} */ id) => page.state.guilds[id]?.name ?? '';
  /** @type {ReturnType<typeof allPlaces>} */
  const out = guilds.map((g) => ({ id: g.id, kind: 'guilds', text: g.name, under: words.server }));
  const guildOf = new Map(Object.values(page.state.channels).flatMap((c) => (c.parent ? [[c.parent, c.guild]] : [])));
  for (const [id, p] of page.parents) if (guildOf.has(id) && !page.state.channels[id]) out.push({ id, kind: 'categories', text: p.name, under: nameOfGuild(guildOf.get(id) ?? '') });
  for (const c of Object.values(page.state.channels)) out.push({ id: c.id, kind: 'channels', text: '#' + c.name, under: nameOfGuild(c.guild) });
  return out;
}

const chosenPlaces = () => [...view.guilds ?? [], ...view.categories ?? [], ...view.channels ?? []];

function places() {
  const typed = where.value.trim().toLowerCase(), all = allPlaces(), chosen = chosenPlaces();
  const fit = all.filter((p) => !chosen.includes(p.id) && (typed ? p.text.toLowerCase().includes(typed) || p.under.toLowerCase().includes(typed) : p.kind !== 'channels'));
  byID('view-places').replaceChildren(...fit.slice(0, offered).map((p) => {
    const b = el('button', { type: 'button' }, el('bdi', {}, p.text), el('small', {}, p.under));
    b.addEventListener('click', () => {
      view[p.kind] = [...view[p.kind] ?? [], p.id];
      where.value = '';
      chips();
      places();
      where.focus();
    });
    return el('li', {}, b);
  }));
}

function chips() {
  const all = new Map(allPlaces().map((p) => [p.id, p.text]));
  fill('view-chosen', chosenPlaces(), (id) => all.get(id) ?? words.somethingUnseen, words.noPlaces, (id) => {
    for (const k of /** @type {const} */ (['guilds', 'categories', 'channels'])) view[k] = view[k]?.filter((x) => x !== id);
    places();
  });
  const known = namesKnown();
  fill('view-authors', view.authors ?? [], (id) => known.get(id) ?? words.person(id), words.noAuthors, (id) => { view.authors = view.authors?.filter((x) => x !== id); });
}

/** @param {string} id @param {string[]} list @param {(id: string) => string} called @param {string} none @param {(id: string) => void} without */
function fill(id, list, called, none, without) {
  byID(id).replaceChildren(...(list.length ? list.map((x) => {
    const b = el('button', { type: 'button', 'aria-label': words.remove(called(x)) }, el('bdi', {}, called(x)), el('span', { 'aria-hidden': 'true' }, '×'));
    b.addEventListener('click', () => {
      without(x);
      chips();
      (id === 'view-chosen' ? where : who).focus();
    });
    return el('li', {}, b);
  }) : [el('li', { class: 'nothing' }, none)]));
}

/** Who has been seen here. @returns {Map<string, string>} */
function namesKnown() {
  const m = new Map(Object.entries(JSON.parse(localStorage.getItem('names') ?? '{}')));
  for (const x of [...page.list.messages, ...page.beside?.messages ?? []]) m.set(x.author.id, x.author.name);
  return m;
}

function people() {
  byID('view-people').replaceChildren(...[...namesKnown()].slice(-200).map(([id, n]) => el('option', { value: n, 'data-id': id })));
}

/** addPerson takes the name or the id that was typed. */
function addPerson() {
  const typed = who.value.trim();
  if (!typed) return;
  const hit = [...namesKnown()].find(([id, n]) => n.toLowerCase() === typed.toLowerCase() || id === typed)?.[0] ?? (/^\d{5,20}$/.test(typed) ? typed : '');
  if (!hit) {
    byID('view-problem').textContent = words.nothingByName;
    return;
  }
  if (!view.authors?.includes(hit)) view.authors = [...view.authors ?? [], hit];
  who.value = '';
  byID('view-problem').textContent = '';
  chips();
}

where.addEventListener('input', places);
where.addEventListener('keydown', (e) => {
  if (e.key !== 'Enter') return;
  e.preventDefault();
  /** @type {HTMLElement | null} */ (byID('view-places').querySelector('button'))?.click();
});
who.addEventListener('keydown', (e) => {
  if (e.key !== 'Enter') return;
  e.preventDefault();
  addPerson();
});
who.addEventListener('change', addPerson);

/** attempt does something and says in the form what went wrong. @param {() => Promise<void>} act */
async function attempt(act) {
  try {
    await act();
  } catch (e) {
    if (!(e instanceof Problem)) throw e;
    byID('view-problem').textContent = e.message;
  }
}

form.addEventListener('submit', (e) => {
  e.preventDefault();
  addPerson();
  view.name = name.value.trim();
  if (!view.name) {
    byID('view-problem').textContent = words.nameNeeded;
    name.focus();
    return;
  }
  const data = new FormData(form);
  view.has = data.getAll('has').map(String);
  view.mentions_only = data.has('mentions_only');
  view.unread_only = data.has('unread_only');
  view.keywords_only = data.has('keywords_only');
  attempt(async () => {
    const saved = await (view.id ? api.changeView(view.id, clean(view)) : api.createView(clean(view)));
    dialog.close();
    put(saved);
    toast(words.viewSaved);
  });
});
byID('view-cancel').addEventListener('click', () => dialog.close());
byID('view-delete').addEventListener('click', () => {
  dialog.close();
  const kept = page.views.find((v) => v.id === view.id);
  if (kept) remove(kept);
});
byID('view-share').addEventListener('click', () => {
  const kept = page.views.find((v) => v.id === view.id);
  if (kept) share(kept);
});
byID('view-feed').addEventListener('click', () => attempt(async () => {
  const { atom, json } = await api.openFeed(view.id);
  told(true);
  byID('view-secret').replaceChildren(el('p', {}, words.feedTold), el('code', { tabindex: 0 }, atom), el('code', { tabindex: 0 }, json));
  byID('view-secret').hidden = false;
  await navigator.clipboard?.writeText(atom).then(() => toast(words.linkCopied), () => {});
}));
byID('view-feed-end').addEventListener('click', () => attempt(async () => {
  await api.closeFeed(view.id);
  told(false);
  byID('view-secret').hidden = true;
  toast(words.feedEnded);
  byID('view-feed').focus();
}));

/** told keeps in mind whether the view has an address. @param {boolean} feed */
function told(feed) {
  view.feed = feed;
  page.views = page.views.map((v) => (v.id === view.id ? { ...v, feed } : v));
  byID('view-feed-end').hidden = !feed;
  byID('view-feed').textContent = feed ? words.feedReplace : words.feedAddress;
}
