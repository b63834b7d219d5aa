// Noticing that the machine was asleep: the clock has jumped.

const every = 5_000, jump = 20_000;

/** noticeJumps calls wake when more time has passed than should have. @param {() => void} wake */
export function noticeJumps(wake) {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now(), slept = now - last > jump;
    last = now;
    if (slept) wake();
  }, every);
}
