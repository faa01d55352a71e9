// For a page without a bundler: `npm run bundle` makes one file of this and web-vitals.
//
//     <script defer src="/vitals.js" data-enabled="true" data-endpoint="/ops/ingest" data-routes="/,/rooms/[id]"></script>

import { routeAmong, startWebVitals } from './webvitals';

const { enabled, endpoint, routes = '' } = document.currentScript?.dataset ?? {};

startWebVitals({
  enabled: enabled === 'true',
  route: routeAmong(routes.split(',').map((route) => route.trim())),
  ...(endpoint === undefined ? {} : { endpoint }),
});
