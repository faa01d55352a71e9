// Next.js runs this file before the application. Set NEXT_PUBLIC_OBS_VITALS_ENABLED=true to measure, and set
// NEXT_PUBLIC_OBS_VITALS_ROUTES to the value of OBS_VITALS_ROUTES of the service: /,/rooms/[id].

import { routeAmong, startWebVitals } from './lib/obs/webvitals';

startWebVitals({
  enabled: process.env.NEXT_PUBLIC_OBS_VITALS_ENABLED === 'true',
  route: routeAmong((process.env.NEXT_PUBLIC_OBS_VITALS_ROUTES ?? '').split(',').map((route) => route.trim())),
});
