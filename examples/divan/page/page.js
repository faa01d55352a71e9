// The two views of the page, and what the service says to the holder of the admin token.
'use strict';

const { prefix } = document.currentScript.dataset;
const token = document.querySelector('input');
const output = document.querySelector('pre');
const view = document.querySelector('section');
const views = { '/': view.cloneNode(true), '/vitals': document.querySelector('template').content };

// A browser sees a soft navigation where a click changes the URL and new elements are painted.
function showView() {
  view.replaceChildren(...views[location.pathname].cloneNode(true).childNodes);
}

function navigate(event) {
  const path = event.target.closest('a')?.getAttribute('href');
  if (path in views && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    history.pushState(null, '', path);
    showView();
  }
}

async function show(event) {
  const { shows, only } = event.currentTarget.dataset;
  // A header is ASCII; any other token is wrong.
  const headers = /^[!-~]+$/.test(token.value) ? { authorization: `Bearer ${token.value}` } : {};
  try {
    const response = await fetch(prefix + shows, { headers });
    const text = await response.text();
    if (!response.ok) {
      output.textContent = `${response.status}: ${text}`;
    } else if (only === undefined) {
      output.textContent = text;
    } else {
      const lines = text.split('\n').filter((line) => line.includes(only) && !line.startsWith('#'));
      output.textContent = lines.join('\n') || 'Nothing has been counted yet.';
    }
  } catch (error) {
    output.textContent = `The service did not answer: ${error.message}`;
  }
}

for (const button of document.querySelectorAll('button')) {
  button.addEventListener('click', show);
}
document.querySelector('form').addEventListener('submit', (event) => event.preventDefault());
addEventListener('click', navigate);
addEventListener('popstate', showView);
if (location.pathname !== '/') {
  showView();
}
