// The page of settings. What concerns looks is kept in this browser; the rest is the server's.

import { api, Problem } from './api.js';
import { byID, el } from './render/dom.js';
import { since } from './render/time.js';
import { apply, prefer, preferences } from './preferences.js';
import { toast } from './toast.js';

export const first = JSON.parse(byID('first').textContent ?? '');
/** @type {Map<string, string>} */
export const names = new Map();
for (const g of first.guilds) {
  names.set(g.id, g.name);
  for (const c of [...g.channels, ...g.parents]) names.set(c.id, `#${c.name} in ${g.name}`);
}

/** attempt does something and says what went wrong. @param {() => Promise<any>} act */
export async function attempt(act) {
  try {
    await act();
  } catch (e) {
    if (e instanceof Problem && e.status === 401) location.assign('/login?to=/settings');
    else if (e instanceof Problem) toast(e.message);
    else throw e;
  }
}

/** @param {string} id @param {HTMLElement[]} items @param {string} empty */
export function fill(id, items, empty) {
  byID(id).replaceChildren(...(items.length ? items : [el('li', { class: 'none' }, empty)]));
}

/** @param {string} name @param {string} note @param {string} label @param {(() => Promise<any>) | null} act */
function item(name, note, label, act) {
  const b = el('button', { type: 'button', 'aria-label': `${label}: ${name}` }, label);
  b.addEventListener('click', () => attempt(async () => {
    await act?.();
    await load();
    if (document.activeElement === document.body) byID('toast').parentElement?.querySelector('main')?.focus();
  }));
  return el('li', {}, el('div', {}, el('bdi', {}, name), el('small', {}, note)), act && b);
}

const loaders = {
  async mutes() {
    const { mutes } = await api.mutes();
    fill('mutes', mutes.map((/** @type {any} */ m) => item(names.get(m.scope) ?? 'Something you cannot see now', m.until ? 'until ' + new Date(m.until).toLocaleString() : 'until you end it', 'End', () => api.unmute(m.scope))), 'Nothing is muted.');
  },
  async ignored() {
    const { authors } = await api.ignored();
    const known = JSON.parse(localStorage.getItem('names') ?? '{}');
    fill('ignored', authors.map((/** @type {string} */ a) => item(known[a] ?? 'Person ' + a, '', 'Count again', () => api.unignore(a))), 'Nobody is ignored.');
  },
  async sessions() {
    const { sessions } = await api.sessions();
    fill('sessions', sessions.map((/** @type {any} */ s) => item(agent(s.agent), 'since ' + new Date(s.created_at).toLocaleString() + (s.current ? ' · this one' : ''), 'Sign out', s.current ? null : () => api.endSession(s.id))), 'No browser is signed in.');
  },
  async tokens() {
    const { tokens } = await api.tokens();
    fill('tokens', tokens.map((/** @type {any} */ t) => item(t.name || 'Without a name', `${t.scopes.join(', ')} · ${t.used_at ? 'used ' + since(new Date(t.used_at)) : 'never used'}`, 'Revoke', () => api.revokeToken(t.id))), 'There is none.');
  },
};

/** agent makes what a browser calls itself short. @param {string} text */
export function agent(text) {
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\/(\d+)/.exec(text), system = /(Windows|Mac OS X|Android|iPhone|iPad|Linux|CrOS)/.exec(text);
  return [browser && `${{ Edg: 'Edge', OPR: 'Opera' }[browser[1]] ?? browser[1]} ${browser[2]}`, system?.[1]].filter(Boolean).join(' on ') || text.slice(0, 60) || 'A browser';
}

const load = () => Promise.all(Object.values(loaders).map((f) => attempt(f)));

function start() {
  const p = /** @type {Record<string, string>} */ (preferences());
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('[data-preference] input'))) {
    input.checked = p[input.name] === input.value;
    input.addEventListener('change', () => prefer(/** @type {any} */ (input.name), /** @type {any} */ (input.value)));
  }
  byID('out').addEventListener('click', () => attempt(async () => {
    await api.endSessions();
    location.assign('/');
  }));
  byID('make').addEventListener('submit', (e) => {
    e.preventDefault();
    const form = /** @type {HTMLFormElement} */ (e.target), data = new FormData(form);
    attempt(async () => {
      const scopes = data.getAll('scope').map(String);
      if (!scopes.length) return toast('Choose what the token may do.');
      const { token } = await api.createToken(String(data.get('name')), scopes);
      byID('made').hidden = false;
      byID('secret').textContent = token;
      form.reset();
      return loaders.tokens();
    });
  });
  apply();
  load().then(() => { document.body.dataset.ready = 'yes'; });
}

start();
