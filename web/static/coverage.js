// What is not covered here, and how far what is missing has been fetched: said below the inbox, where people look for it.

import { api } from './api.js';
import { byID } from './render/dom.js';
import { page } from './page.js';
import { beside } from './menu.js';
import { words } from './words.js';

/** How often healing is asked for while something is being fetched, and otherwise, in ms. */
const busyEvery = 20_000, calmEvery = 10 * 60_000;

async function coverage() {
  const button = byID('coverage');
  try {
    const c = await api.coverage();
    const n = c.servers.length + c.channels.length;
    button.hidden = n === 0;
    button.textContent = words.notCoveredCount(n);
  } catch {
    button.hidden = true; // It is a courtesy.
  }
}

async function healing() {
  const line = byID('healing');
  let busy = false;
  try {
    const { healing: h } = await api.status();
    const minutes = h?.left_seconds ? Math.max(1, Math.round(h.left_seconds / 60)) : 0;
    const said = h?.gaps ? words.healing(h.gaps, minutes) : h?.pasts ? words.fetchingPasts(h.pasts, minutes) : '';
    busy = Boolean(said);
    if (line.textContent !== said) line.textContent = said;
    line.hidden = !said;
  } catch {
    line.hidden = true;
  }
  busy ||= Object.values(page.state.channels).some((c) => c.complete_since === null);
  setTimeout(() => (document.hidden ? document.addEventListener('visibilitychange', healing, { once: true }) : healing()), busy ? busyEvery : calmEvery);
}

/** watchCoverage begins to look, once the page has come to rest. */
export function watchCoverage() {
  byID('coverage').addEventListener('click', () => beside('coverage', ''));
  setTimeout(() => {
    coverage();
    healing();
  }, 2500);
}
