// The page without a connection: it looks from time to time whether the service is back, and then shows what was asked for.

let pause = 2000;

async function look() {
  try {
    const answer = await fetch('/healthz', { cache: 'no-store' });
    if (answer.ok) {
      location.reload();
      return;
    }
  } catch {
    // Still away.
  }
  pause = Math.min(pause * 1.5, 30_000);
  setTimeout(look, pause * (0.75 + Math.random() / 2));
}

addEventListener('online', () => location.reload());
setTimeout(look, pause);
