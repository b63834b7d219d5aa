// A page that stays true while somebody looks at it: it is asked for again from time to time, and what it says takes the place of
// what it said. The focus and the place stay where they are, and nothing changes while somebody fills in a form.

const every = Number(/** @type {HTMLElement | null} */ (document.querySelector('[data-every]'))?.dataset.every) || 10;

/** busy tells whether something on the page would be lost. */
const busy = () => document.hidden || Boolean(document.activeElement?.closest('form, select, input')) || !getSelection()?.isCollapsed ||
  [...document.querySelectorAll('input')].some((i) => i.type !== 'hidden' && (i.checked !== i.defaultChecked || i.value !== i.defaultValue));

async function again() {
  try {
    if (busy()) return;
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, credentials: 'same-origin' });
    if (answer.redirected || answer.status === 401) return location.reload();
    if (!answer.ok || busy()) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const old = document.querySelector('main'), main = fresh.querySelector('main');
    if (!old || !main || fresh.body.className !== document.body.className) return location.reload();
    // What somebody has opened stays open, in the row that it is about.
    for (const open of old.querySelectorAll('details[open][id]')) main.querySelector(`#${open.id}`)?.setAttribute('open', '');
    const links = [...old.querySelectorAll('a')], at = links.indexOf(/** @type {HTMLAnchorElement} */ (document.activeElement));
    old.replaceChildren(...main.childNodes);
    if (at >= 0) old.querySelectorAll('a')[at]?.focus({ preventScroll: true });
  } catch {
    // Away for a moment; the next look finds it again.
  } finally {
    setTimeout(again, every * 1000);
  }
}

setTimeout(again, every * 1000);
