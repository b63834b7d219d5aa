// Modules that are loaded when they are first asked for, in the version that this page is of. Soon after the page has come to rest the browser is
// told to hold them, so that an update of the service meanwhile does not matter. Where they were not held, the service says that it has another
// build; what follows from that is build.js's matter.

import { toast } from './toast.js';
import { words } from './words_notify.js';

/** All of them. What they import must be what the page has anyway. */
const names = ['beside.js', 'view_form.js'];

/** "own" asks for this build and no other. @param {string} name */
const address = (name) => new URL(`./${name}?own`, import.meta.url).href;

/** @type {() => void} */
let onOther = () => {};
/** whenOther says what is done when the service has another build. @param {() => void} f */
export function whenOther(f) {
  onOther = f;
}

/** own loads a module. Where it cannot be had that is said here, and nothing comes of what was asked. @param {string} name @returns {Promise<any>} */
async function own(name) {
  try {
    return await import(address(name));
  } catch (e) {
    const answer = await fetch(address(name), { cache: 'no-store' }).catch(() => null);
    if (answer?.status === 410) onOther();
    else if (answer?.ok) throw e; // it is there, and the fault in it
    else toast(words.notLoaded);
    return new Promise(() => {});
  }
}

/** @returns {Promise<typeof import('./beside.js')>} */
export const besideModule = () => own('beside.js');
/** @returns {Promise<typeof import('./view_form.js')>} */
export const viewFormModule = () => own('view_form.js');

/** hold has the browser fetch them, once it has nothing better to do. */
export function hold() {
  setTimeout(() => {
    for (const name of names) {
      const link = document.createElement('link');
      Object.assign(link, { rel: 'modulepreload', href: address(name) });
      document.head.append(link);
    }
  }, 3000);
}
