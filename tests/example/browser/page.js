// A page that does what a bad one does: it shifts after it was loaded, and it blocks what a person clicks on.
'use strict';

function block(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

document.querySelector('#block').addEventListener('click', () => block(250));
document.querySelector('#next').addEventListener('click', (event) => {
  event.preventDefault();
  block(50);
  history.pushState(null, '', event.currentTarget.href);
  document.querySelector('h1').textContent = 'Another zebra';
  document.querySelector('#text').textContent = 'Text of the second page. '.repeat(20);
});
addEventListener('load', () => {
  setTimeout(() => {
    document.querySelector('#above').style.height = '300px';
  }, 600);
});
