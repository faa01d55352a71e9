// For pages without a bundler: `npm run bundle` bundles this file and web-vitals into one script.
//
//     <script defer src="/vitals.js" data-enabled="true" data-endpoint="/ops/ingest" data-routes="/,/rooms/[id]"></script>

import { routeAmong, startWebVitals } from './webvitals';

const { enabled, endpoint, routes = '' } = document.currentScript?.dataset ?? {};

startWebVitals({
  enabled: enabled === 'true',
  route: routeAmong(routes.split(',').map((route) => route.trim())),
  ...(endpoint === undefined ? {} : { endpoint }),
});
