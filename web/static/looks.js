// Runs before the first paint, so that the page never flashes in the wrong colours. preferences.js is the rest of it.
try {
  const p = JSON.parse(localStorage.getItem('preferences') ?? '{}');
  document.documentElement.dataset.theme = ['light', 'dark'].includes(p.theme) ? p.theme : 'system';
  document.documentElement.dataset.density = p.density === 'compact' ? 'compact' : 'roomy';
} catch {
  // As usual then.
}
